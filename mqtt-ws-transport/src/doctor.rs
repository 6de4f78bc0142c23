//! The connection doctor: why a URL does not lead to an MQTT session, and which one would.
//!
//! [`diagnose`] goes the way of a client step by step. Where it fails, the doctor asks the server again in other ways
//! until it knows what is wrong: which path works, what the port really speaks, whose certificate it is. An ordinary
//! [`connect`] does none of that; its errors tell what can be told from one attempt.
//!
//! ```no_run
//! # async fn example() {
//! use mqttkit_ws_transport::doctor::diagnose;
//! use mqttkit_ws_transport::{ConnectOptions, TokioRuntime};
//!
//! let report = diagnose(&TokioRuntime::new(), "ws://localhost:8083/ws", &ConnectOptions::new()).await;
//! println!("{report}");
//! if let Some(url) = report.suggestion() {
//!     println!("this one works: {url}");
//! }
//! # }
//! ```
#![doc = concat!("\n", include_str!("../docs/doctor.md"))]

mod chain;
mod diagnosis;
mod mqtt;
mod refusal;
mod report;
mod survey;

pub use diagnosis::{Diagnosis, Speaks};
pub use report::{Report, Step};

use crate::connect::{ConnectError, ConnectOptions, Phase, connect};
use crate::error::LinkError;
use crate::rt::{Runtime, timeout};
use crate::tls::TlsError;
use crate::url::{Endpoint, Host, Scheme, UrlError};
use mqtt::Answer;
use std::io;
use std::time::Duration;
use survey::{Found, survey};

/// Opens a session at `url` with `options`, closes it, and reports each step; where one fails, finds out why.
///
/// It opens up to some thirty connections to the one host and port, one after the other, the first and second with the
/// headers and credentials given and the others without, and each is given up after [`ConnectOptions::timeout`],
/// those that only look around after 2 s. The client identifier is `mqttkit-doctor`. Dropping the future ends it.
pub async fn diagnose<R: Runtime>(runtime: &R, url: &str, options: &ConnectOptions) -> Report {
    let patient = Patient { runtime, options };
    let endpoint = match url.parse::<Endpoint>() {
        Ok(endpoint) => endpoint,
        Err(error) => return patient.mistaken(url, error).await,
    };
    let mut report = Report::new(endpoint.to_string());
    report.pass(Step::Url, format!("{} at port {}", endpoint.scheme(), endpoint.port()));
    match patient.examine(&endpoint, &mut report).await {
        Ok(()) => report,
        Err((step, diagnosis, suggestion)) => report.fail(step, diagnosis, suggestion),
    }
}

type Failure = (Step, Diagnosis, Option<String>);

/// Who is examined.
#[derive(Debug)]
struct Patient<'a, R> {
    runtime: &'a R,
    options: &'a ConnectOptions,
}

impl<R: Runtime> Patient<'_, R> {
    /// How long a probe waits for an answer.
    fn patience(&self) -> Duration {
        self.options.timeout.min(Duration::from_secs(2))
    }

    /// The options of a probe: nothing in them is a secret that the server would see.
    fn stranger(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new().timeout(self.patience()).limits(self.options.limits);
        // The same way to the server, or it would be another server.
        options.proxy = self.options.proxy.clone();
        options
    }

    /// A URL that is none: the one that was probably meant is tried, and all others on its port.
    async fn mistaken(&self, url: &str, error: UrlError) -> Report {
        let mut suggestion = error.suggestion();
        if let Some(meant) = suggestion.as_ref().and_then(|url| url.parse::<Endpoint>().ok()) {
            let first = meant.scheme();
            let others = Scheme::ALL.into_iter().filter(|scheme| *scheme != first);
            if let Found { works: Some(works), .. } =
                survey(self, &meant, std::iter::once(first).chain(others)).await
            {
                suggestion = Some(works.to_string());
            }
        }
        Report::new(without_userinfo(url)).fail(Step::Url, Diagnosis::Url(error), suggestion)
    }

    /// The way of a client.
    async fn examine(&self, endpoint: &Endpoint, report: &mut Report) -> Result<(), Failure> {
        let is_tls = endpoint.scheme().is_tls();
        let resolved = self.addresses(endpoint).await;
        let attempt = connect(self.runtime, endpoint, self.options).await;
        let failed_at = attempt.as_ref().err().map_or(Step::Connect, step_of);
        if failed_at > Step::Dns {
            report.pass(Step::Dns, resolved);
        }
        if failed_at > Step::Tcp {
            report.pass(Step::Tcp, format!("port {} is open", endpoint.port()));
        }
        if failed_at > Step::Tls && is_tls {
            report.pass(Step::Tls, "the certificate is trusted");
        }
        let mut link = match attempt {
            Ok(link) => link,
            Err(error) => {
                let (diagnosis, suggestion) = self.explain(endpoint, error).await;
                return Err((failed_at, diagnosis, suggestion));
            }
        };
        if endpoint.scheme().is_websocket() {
            report.pass(Step::Upgrade, format!("WebSocket at {}", endpoint.path()));
        }
        let mut version = "3.1.1";
        let mut v5 = false;
        let mut answer = mqtt::ask(self.runtime, &mut link, endpoint, false, self.options.timeout).await;
        // A broker for 5.0 alone refuses the version, or does not understand what it sees.
        if matches!(answer, Answer::ConnAck(1 | 0x84, _) | Answer::Closed(None))
            && let Ok(mut link) = connect(self.runtime, endpoint, self.options).await
        {
            let again = mqtt::ask(self.runtime, &mut link, endpoint, true, self.options.timeout).await;
            if matches!(again, Answer::ConnAck(..)) {
                (answer, version, v5) = (again, "5.0", true);
            }
        }
        match answer {
            Answer::ConnAck(0, _) => {
                report.pass(Step::Connect, format!("accepted, MQTT {version}"));
                Ok(())
            }
            answer => {
                let (diagnosis, suggestion) = self.explain_answer(endpoint, answer, v5).await;
                Err((Step::Connect, diagnosis, suggestion))
            }
        }
    }

    /// For the report only; what matters is how the attempt itself resolves.
    async fn addresses(&self, endpoint: &Endpoint) -> String {
        let name = match endpoint.host() {
            Host::Ip(_) => return "an address needs no name".to_owned(),
            Host::Name(name) => name,
        };
        if !matches!(self.options.proxy.of(endpoint), Ok(None)) {
            return "left to the proxy".to_owned();
        }
        let resolving = self.runtime.resolve(name, endpoint.port());
        match timeout(self.runtime, self.patience(), resolving).await {
            Ok(Ok(addresses)) => {
                let mut list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
                list.dedup();
                list.truncate(8);
                list.join(", ")
            }
            _ => "found at the second try".to_owned(),
        }
    }

    /// From the error of one attempt, and from probes, to the cause.
    async fn explain(&self, endpoint: &Endpoint, error: ConnectError) -> (Diagnosis, Option<String>) {
        match error {
            ConnectError::Resolve { host, error } => {
                (Diagnosis::NameNotFound { host, error: Some(error) }, None)
            }
            ConnectError::NoAddress { host } => (Diagnosis::NameNotFound { host, error: None }, None),
            ConnectError::Tcp { attempts } => {
                let refused =
                    attempts.iter().all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
                let diagnosis = if refused {
                    Diagnosis::Refused {
                        addresses: attempts.into_iter().map(|(address, _)| address).collect(),
                    }
                } else {
                    Diagnosis::Unreachable { attempts }
                };
                (diagnosis, None)
            }
            ConnectError::Proxy { proxy, error } => (Diagnosis::Proxy { proxy, error }, None),
            ConnectError::Tls(error) => self.explain_tls(endpoint, error).await,
            ConnectError::WebSocket(error) => self.explain_upgrade(endpoint, error).await,
            ConnectError::TimedOut { phase, .. } => match phase {
                Phase::Tls => self.explain_tls(endpoint, TlsError::Ended).await,
                Phase::WebSocket => {
                    let Found { speaks, works } = survey(self, endpoint, others(endpoint.scheme())).await;
                    match speaks {
                        Speaks::Mqtt(scheme) if scheme.is_tls() == endpoint.scheme().is_tls() => {
                            (Diagnosis::WebSocketToMqttPort, url(works))
                        }
                        Speaks::Unknown => (Diagnosis::TimedOut { phase }, None),
                        speaks => (Diagnosis::PlainToTlsPort { speaks }, url(works)),
                    }
                }
                phase => (Diagnosis::TimedOut { phase }, None),
            },
            error => (Diagnosis::Other(error), None),
        }
    }

    async fn explain_tls(&self, endpoint: &Endpoint, error: TlsError) -> (Diagnosis, Option<String>) {
        match error {
            TlsError::WrongName { expected, presented } => {
                let mut names = chain::fetch(self, endpoint).await.names();
                if names.is_empty() {
                    names = presented;
                }
                // A wildcard is no host, and nobody knows which one is meant.
                let suggestion = names.iter().find(|name| !name.contains('*')).and_then(|name| {
                    let name = if name.contains(':') { format!("[{name}]") } else { name.clone() };
                    let path = endpoint.path();
                    format!("{}://{name}:{}{path}", endpoint.scheme(), endpoint.port()).parse().ok()
                });
                (Diagnosis::WrongName { used: expected, names }, url(suggestion))
            }
            TlsError::Expired => {
                let since = chain::fetch(self, endpoint).await.days().map(|(_, last)| last);
                (Diagnosis::Expired { since }, None)
            }
            TlsError::NotYetValid => {
                let from = chain::fetch(self, endpoint).await.days().map(|(first, _)| first);
                (Diagnosis::NotYetValid { from }, None)
            }
            TlsError::UnknownIssuer => {
                let (issuer, self_signed) = chain::fetch(self, endpoint).await.issuer();
                (Diagnosis::UnknownIssuer { issuer, self_signed }, None)
            }
            TlsError::ClientCertificateRequired => (Diagnosis::ClientCertificateRequired, None),
            error @ TlsError::CertificateRefused { .. } => (Diagnosis::ClientCertificateRefused(error), None),
            error @ (TlsError::NotTls | TlsError::Ended | TlsError::Io(_) | TlsError::Alert { .. }) => {
                let likely = if endpoint.scheme() == Scheme::Wss {
                    [Scheme::Ws, Scheme::Tcp]
                } else {
                    [Scheme::Tcp, Scheme::Ws]
                };
                let Found { speaks, works } = survey(self, endpoint, likely).await;
                match (&error, speaks) {
                    (TlsError::NotTls, _) | (_, Speaks::Mqtt(_) | Speaks::Http) => {
                        (Diagnosis::TlsToPlainPort { speaks }, url(works))
                    }
                    // TLS 1.2 has no alert of its own for it: whoever shows a certificate gets in.
                    (TlsError::Alert { alert: 40 }, _)
                        if chain::fetch(self, endpoint).await.days().is_some() =>
                    {
                        (Diagnosis::ClientCertificateRequired, None)
                    }
                    _ => (Diagnosis::Tls(error), None),
                }
            }
            error => (Diagnosis::Tls(error), None),
        }
    }

    /// From what came instead of CONNACK to the cause.
    async fn explain_answer(
        &self,
        endpoint: &Endpoint,
        answer: Answer,
        v5: bool,
    ) -> (Diagnosis, Option<String>) {
        let scheme = endpoint.scheme();
        if let Answer::Closed(Some(LinkError::Tls(error))) = answer {
            return self.explain_tls(endpoint, error).await;
        }
        // A port for something else refuses MQTT with "server unavailable" if it can.
        let misled = !matches!(answer, Answer::ConnAck(code, _) if code != 3) && !scheme.is_websocket();
        if misled {
            let is_tls =
                matches!(&answer, Answer::Other(first) if matches!(first.first(), Some(0x15 | 0x16)));
            let Found { speaks, works } = survey(self, endpoint, others(scheme)).await;
            match speaks {
                Speaks::Mqtt(found) if found.is_tls() && !scheme.is_tls() => {
                    return (Diagnosis::PlainToTlsPort { speaks }, url(works));
                }
                Speaks::Mqtt(_) | Speaks::Http => {
                    return (Diagnosis::MqttToHttpPort { speaks }, url(works));
                }
                Speaks::Tls if !scheme.is_tls() => {
                    let there = survey::variant(endpoint, Scheme::Tls, "");
                    return (Diagnosis::PlainToTlsPort { speaks }, url(there));
                }
                _ if matches!(&answer, Answer::Other(first) if first.starts_with(b"HTTP/")) => {
                    return (Diagnosis::MqttToHttpPort { speaks: Speaks::Http }, None);
                }
                _ if is_tls => return (Diagnosis::PlainToTlsPort { speaks: Speaks::Tls }, None),
                _ => {}
            }
        }
        let diagnosis = match answer {
            Answer::ConnAck(code, reason) => Diagnosis::ConnectRefused { code, v5, reason },
            Answer::Other(first) => Diagnosis::NotMqtt { first },
            Answer::Closed(error) => Diagnosis::ConnectUnanswered { error, closed: true },
            Answer::Silent => Diagnosis::ConnectUnanswered { error: None, closed: false },
        };
        (diagnosis, None)
    }
}

/// The step at which an attempt failed.
fn step_of(error: &ConnectError) -> Step {
    match error {
        ConnectError::Resolve { .. } | ConnectError::NoAddress { .. } => Step::Dns,
        // With TLS 1.3 the verdict on a client certificate comes with the first answer; it is one of TLS all the same.
        ConnectError::Tls(_) | ConnectError::TlsConfig(_) => Step::Tls,
        ConnectError::WebSocket(_) => Step::Upgrade,
        ConnectError::TimedOut { phase, .. } => match phase {
            Phase::Resolve => Step::Dns,
            Phase::Tls => Step::Tls,
            Phase::WebSocket => Step::Upgrade,
            _ => Step::Tcp,
        },
        _ => Step::Tcp,
    }
}

/// The other schemes, those first that differ in one thing only.
fn others(scheme: Scheme) -> [Scheme; 3] {
    match scheme {
        Scheme::Tcp => [Scheme::Ws, Scheme::Tls, Scheme::Wss],
        Scheme::Tls => [Scheme::Wss, Scheme::Tcp, Scheme::Ws],
        Scheme::Ws => [Scheme::Tcp, Scheme::Wss, Scheme::Tls],
        Scheme::Wss => [Scheme::Tls, Scheme::Ws, Scheme::Tcp],
    }
}

fn url(endpoint: Option<Endpoint>) -> Option<String> {
    endpoint.map(|endpoint| endpoint.to_string())
}

/// What is shown must not carry a password into a log.
fn without_userinfo(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let rest = rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}
