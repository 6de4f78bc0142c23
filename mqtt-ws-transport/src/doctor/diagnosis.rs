//! `Diagnosis`: what is wrong, told from what the peer did, with its sentence and its number.

use crate::connect::{ConnectError, Phase};
use crate::error::LinkError;
use crate::proxy::ProxyError;
use crate::tls::TlsError;
use crate::url::{Scheme, UrlError};
use crate::ws::HandshakeError;
use http::StatusCode;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// What a port was found to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Speaks {
    /// MQTT that is carried so.
    Mqtt(Scheme),
    /// HTTP, without an MQTT endpoint that could be found.
    Http,
    /// TLS, with something inside that is not known.
    Tls,
    /// Neither TLS nor HTTP nor an MQTT that answers.
    Unknown,
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt(Scheme::Tcp) => "MQTT without TLS or WebSocket",
            Self::Mqtt(Scheme::Tls) => "MQTT over TLS",
            Self::Mqtt(Scheme::Ws) => "MQTT over WebSocket",
            Self::Mqtt(Scheme::Wss) => "MQTT over WebSocket over TLS",
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Unknown => "something else",
        })
    }
}

/// The one thing that is wrong. [`hint`](Self::hint) says what to do, [`code`](Self::code) is its number.
#[derive(Debug)]
#[non_exhaustive]
pub enum Diagnosis {
    /// The URL cannot be used: no scheme, an unknown one, no host …
    Url(UrlError),
    /// The host name does not exist, or the resolver does not answer.
    NameNotFound {
        /// The name.
        host: String,
        /// What the resolver says; `None` when the name exists but has no address.
        error: Option<io::Error>,
    },
    /// Every address refused the connection: nothing listens on the port.
    Refused {
        /// The addresses tried.
        addresses: Vec<SocketAddr>,
    },
    /// No address could be reached.
    Unreachable {
        /// The addresses tried, and what came of each.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
    /// A step took too long: nobody answers.
    TimedOut {
        /// The step.
        phase: Phase,
    },
    /// There is no way through the proxy.
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// Why not.
        error: ProxyError,
    },
    /// TLS to a port that speaks without.
    TlsToPlainPort {
        /// What it speaks.
        speaks: Speaks,
    },
    /// No TLS to a port that wants it.
    PlainToTlsPort {
        /// What it speaks.
        speaks: Speaks,
    },
    /// WebSocket to a port for MQTT without it.
    WebSocketToMqttPort,
    /// MQTT without WebSocket to a port for HTTP or WebSocket.
    MqttToHttpPort {
        /// What it speaks.
        speaks: Speaks,
    },
    /// The certificate is for another host.
    WrongName {
        /// The host of the URL.
        used: String,
        /// The names and addresses in the certificate.
        names: Vec<String>,
    },
    /// The certificate has expired.
    Expired {
        /// The day, as `YYYY-MM-DD`, where it could be read.
        since: Option<String>,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// The day, as `YYYY-MM-DD`, where it could be read.
        from: Option<String>,
    },
    /// The certificate comes from an authority that is not trusted.
    UnknownIssuer {
        /// Who signed it, where it could be read.
        issuer: Option<String>,
        /// The certificate signed itself.
        self_signed: bool,
    },
    /// The server demands a client certificate and there is none.
    ClientCertificateRequired,
    /// The server does not take our client certificate.
    ClientCertificateRefused(TlsError),
    /// TLS failed in another way.
    Tls(TlsError),
    /// The path is wrong.
    WrongPath {
        /// The path of the URL.
        path: String,
        /// What the server answered.
        status: Option<StatusCode>,
        /// The path that works, where one was found.
        works: Option<String>,
    },
    /// The server upgrades to a WebSocket, but without the sub-protocol of MQTT.
    SubprotocolUnanswered,
    /// The server refuses the upgrade because of the sub-protocol, or chooses one that was not offered.
    SubprotocolRefused {
        /// What it chose, or what it says.
        answer: String,
    },
    /// The server sends us elsewhere.
    Redirect {
        /// The status.
        status: StatusCode,
        /// Where to.
        location: Option<String>,
    },
    /// 401: the upgrade needs credentials.
    Unauthorized {
        /// What the server says.
        line: String,
    },
    /// 403: the upgrade is not allowed.
    Forbidden {
        /// What the server says.
        line: String,
    },
    /// 407: a proxy in between needs credentials.
    ProxyAuthentication,
    /// 5xx: the server, or what is behind the proxy that answered, does not work.
    ServerError {
        /// The status.
        status: StatusCode,
        /// What the server says.
        line: String,
    },
    /// A page instead of an upgrade: a proxy, a captive portal, another web server.
    Page {
        /// The status.
        status: StatusCode,
        /// The first line of it.
        line: String,
    },
    /// The upgrade failed in another way.
    Upgrade(HandshakeError),
    /// MQTT begins, but the server does not take the client.
    ConnectRefused {
        /// The return code of MQTT 3 or the reason code of 5.
        code: u8,
        /// It is a reason code of MQTT 5.
        v5: bool,
        /// The reason in the server's words, which only MQTT 5 has.
        reason: Option<String>,
    },
    /// CONNECT was answered with something that is no MQTT.
    NotMqtt {
        /// Up to 16 of the first bytes.
        first: Vec<u8>,
    },
    /// CONNECT was not answered: the server closed, or kept silent.
    ConnectUnanswered {
        /// Why the connection ended; `None` when it is open and silent.
        error: Option<LinkError>,
        /// It ended.
        closed: bool,
    },
    /// The attempt failed in a way that has no diagnosis of its own.
    Other(ConnectError),
}

impl Diagnosis {
    /// A stable number of the cause, the exit code of the `doctor` program. 10 is the URL, 20 the name, 30 to 33 TCP and
    /// the proxy, 40 to 48 TLS, 50 to 59 the upgrade, 60 to 62 MQTT; 0, 1 and 2 are left to success, failure and usage.
    pub fn code(&self) -> u8 {
        match self {
            Self::Url(_) => 10,
            Self::NameNotFound { .. } | Self::TimedOut { phase: Phase::Resolve } => 20,
            Self::Refused { .. } => 30,
            Self::Unreachable { .. } => 31,
            Self::TimedOut { .. } => 32,
            Self::Tls(_) => 40,
            Self::WrongName { .. } => 41,
            Self::Expired { .. } => 42,
            Self::NotYetValid { .. } => 43,
            Self::UnknownIssuer { .. } => 44,
            Self::ClientCertificateRequired => 45,
            Self::ClientCertificateRefused(_) => 46,
            Self::TlsToPlainPort { .. } => 47,
            Self::PlainToTlsPort { .. } => 48,
            Self::Upgrade(_) => 50,
            Self::WrongPath { .. } => 51,
            Self::SubprotocolRefused { .. } | Self::SubprotocolUnanswered => 52,
            Self::Redirect { .. } => 53,
            Self::Unauthorized { .. } | Self::Forbidden { .. } => 54,
            Self::ProxyAuthentication
            | Self::Proxy { error: ProxyError::AuthenticationRequired { .. }, .. } => 55,
            Self::Proxy { .. } => 33,
            Self::ServerError { .. } => 56,
            Self::Page { .. } => 57,
            Self::WebSocketToMqttPort => 58,
            Self::MqttToHttpPort { .. } => 59,
            Self::ConnectRefused { .. } => 60,
            Self::NotMqtt { .. } => 61,
            Self::ConnectUnanswered { .. } => 62,
            Self::Other(_) => 1,
        }
    }

    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Url(error) => return error.hint(),
            Self::Tls(error) | Self::ClientCertificateRefused(error) => return error.hint(),
            Self::Upgrade(error) => return error.hint(),
            Self::Other(error) => return error.hint(),
            Self::Proxy { error, .. } => return error.hint(),
            Self::WrongName { names, .. } if !names.is_empty() => {
                return format!("Connect to {}, or have a certificate made for this host", names.join(" or "));
            }
            Self::Expired { .. } => "Renew the certificate on the server, and check the clock of this machine",
            Self::NotYetValid { .. } => "Check the clock of this machine and that of the server",
            Self::UnknownIssuer { self_signed: true, .. } => {
                "Give this certificate as a trusted CA if it is yours, or have one made by an authority"
            }
            Self::UnknownIssuer { issuer: Some(issuer), .. } => {
                return format!(
                    "Give the certificate of {issuer} as a trusted CA, or let the server send its chain"
                );
            }
            Self::WrongName { .. } => "Connect to the name in the certificate, or have one made for this host",
            Self::UnknownIssuer { .. } => "Give the CA that signed the certificate as a trusted CA",
            Self::NameNotFound { host, .. } => {
                return format!("Check the spelling of {host} and the DNS of this machine");
            }
            Self::Refused { .. } => "Is the broker running, and is it the right port?",
            Self::Unreachable { .. } => "Check host, port and network; a firewall may be in between",
            Self::TimedOut { phase: Phase::Resolve } => "The DNS does not answer: check the network",
            Self::TimedOut { phase: Phase::Tcp } => "A firewall may drop the packets, or the host is down",
            Self::TimedOut { .. } => "Something accepts connections and keeps silent: check the port",
            Self::TlsToPlainPort { .. } => "Use the scheme without TLS, or the port for TLS",
            Self::PlainToTlsPort { .. } => "Use the scheme with TLS",
            Self::WebSocketToMqttPort => "Use mqtt:// here, or the port for WebSocket, often 8083",
            Self::MqttToHttpPort { .. } => "Use ws:// here, or the port for MQTT, often 1883",
            Self::ClientCertificateRequired => "Give a client certificate and its key",
            Self::WrongPath { works: Some(works), .. } => return format!("Use the path {works}"),
            Self::WrongPath { .. } => "None of the usual paths works either: ask for the path of the server",
            Self::SubprotocolUnanswered => {
                "It is a WebSocket server, but perhaps not one for MQTT: check path and port"
            }
            Self::SubprotocolRefused { .. } => "Offer the sub-protocol mqtt, and check path and port",
            Self::Redirect { .. } => "Connect to where it points",
            Self::Unauthorized { .. } => {
                "Give credentials with the upgrade: a header such as Authorization or Cookie, or a token in the query"
            }
            Self::Forbidden { .. } => "The server knows you, or your Origin, and says no: ask its operator",
            Self::ProxyAuthentication => "Give user name and password for the proxy",
            Self::ServerError { .. } => "Is the broker behind the proxy running? See the log of the server",
            Self::Page { .. } => {
                "Check the port; on a foreign network, open a page in a browser first and log in"
            }
            Self::ConnectRefused { code, v5: false, .. } => match code {
                1 => "Use another version of MQTT",
                2 => "Use another client identifier",
                3 => "The broker is there and does not serve at the moment: try later",
                4 | 5 => "Give user name and password",
                _ => "See the log of the broker",
            },
            Self::ConnectRefused { code, .. } => match code {
                0x84 => "Use another version of MQTT",
                0x85 => "Use another client identifier",
                0x86 | 0x87 | 0x8C => "Give user name and password",
                0x9C | 0x9D => "Use the server that the broker names",
                _ => "See the log of the broker",
            },
            Self::NotMqtt { .. } => "Another service listens there: check the port",
            Self::ConnectUnanswered { .. } => "It does not look like MQTT: check the port, and the broker's log",
        }
        .to_owned()
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |line: &str| if line.is_empty() { String::new() } else { format!(": {line}") };
        match self {
            Self::Url(error) => error.fmt(f),
            Self::NameNotFound { host, error: Some(error) } => {
                write!(f, "the name {host} cannot be found ({error})")
            }
            Self::NameNotFound { host, error: None } => write!(f, "the name {host} has no address"),
            Self::Refused { addresses } => {
                let list: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                write!(f, "nothing listens on {}", list.join(", "))
            }
            Self::Unreachable { attempts } => {
                let list: Vec<_> = attempts.iter().map(|(a, error)| format!("{a}: {error}")).collect();
                write!(f, "no connection: {}", list.join("; "))
            }
            Self::TimedOut { phase } => write!(f, "{phase} took too long: nobody answers"),
            Self::TlsToPlainPort { speaks: Speaks::Unknown } => f.write_str("the port does not speak TLS"),
            Self::TlsToPlainPort { speaks } => write!(f, "the port does not speak TLS, but {speaks}"),
            Self::PlainToTlsPort { speaks } | Self::MqttToHttpPort { speaks } => {
                write!(f, "the port speaks {speaks}")
            }
            Self::WebSocketToMqttPort => f.write_str("the port speaks MQTT without WebSocket"),
            Self::WrongName { used, names } if names.is_empty() => {
                write!(f, "the certificate is not for {used}")
            }
            Self::WrongName { used, names } => {
                write!(f, "the certificate is not for {used}, but for {}", names.join(", "))
            }
            Self::Expired { since: Some(day) } => write!(f, "the certificate expired on {day}"),
            Self::Expired { since: None } => f.write_str("the certificate has expired"),
            Self::NotYetValid { from: Some(day) } => write!(f, "the certificate is not valid before {day}"),
            Self::NotYetValid { from: None } => f.write_str("the certificate is not valid yet"),
            Self::UnknownIssuer { self_signed: true, .. } => {
                f.write_str("the certificate signed itself and is not trusted")
            }
            Self::UnknownIssuer { issuer: Some(issuer), .. } => {
                write!(f, "the certificate was signed by {issuer}, which is not trusted")
            }
            Self::UnknownIssuer { .. } => {
                f.write_str("the certificate was signed by an authority that is not trusted")
            }
            Self::ClientCertificateRequired => f.write_str("the server demands a client certificate"),
            Self::ClientCertificateRefused(error) | Self::Tls(error) => error.fmt(f),
            Self::WrongPath { path, status, works } => {
                write!(f, "no MQTT at {path}")?;
                if let Some(status) = status {
                    write!(f, " ({status})")?;
                }
                works.as_ref().map_or(Ok(()), |works| write!(f, ", but at {works}"))
            }
            Self::SubprotocolUnanswered => {
                f.write_str("the server became a WebSocket, but did not agree to the sub-protocol mqtt")
            }
            Self::SubprotocolRefused { answer } => {
                write!(f, "the server does not agree to the sub-protocol mqtt{}", said(answer))
            }
            Self::Redirect { status, location: Some(location) } => {
                write!(f, "the server redirects to {location} ({status})")
            }
            Self::Redirect { status, location: None } => {
                write!(f, "the server redirects and does not say where to ({status})")
            }
            Self::Unauthorized { line } => {
                write!(f, "the server wants credentials (401 Unauthorized){}", said(line))
            }
            Self::Forbidden { line } => {
                write!(f, "the server does not allow it (403 Forbidden){}", said(line))
            }
            Self::ProxyAuthentication => {
                f.write_str("a proxy wants credentials (407 Proxy Authentication Required)")
            }
            Self::ServerError { status, line } => {
                write!(f, "the server, or a proxy before it, has a problem ({status}){}", said(line))
            }
            Self::Page { status, line } => {
                write!(f, "a page came instead of a WebSocket ({status}){}", said(line))
            }
            Self::Upgrade(error) => error.fmt(f),
            Self::ConnectRefused { code, v5, reason } => {
                let name = if *v5 { "reason" } else { "return" };
                write!(f, "the broker refused the client with {name} code ")?;
                if *v5 {
                    write!(f, "0x{code:02x}")?;
                } else {
                    write!(f, "{code}")?;
                }
                write!(f, " ({}){}", code_name(*code, *v5), said(reason.as_deref().unwrap_or_default()))
            }
            Self::NotMqtt { first } => {
                write!(f, "the answer to CONNECT is not MQTT: \"{}\"", first.escape_ascii())
            }
            Self::ConnectUnanswered { error: Some(error), .. } => {
                write!(f, "CONNECT was not answered: {error}")
            }
            Self::ConnectUnanswered { closed: true, .. } => {
                f.write_str("the server closed the connection instead of answering CONNECT")
            }
            Self::ConnectUnanswered { .. } => f.write_str("the server does not answer CONNECT"),
            Self::Proxy { proxy, error } => write!(f, "{proxy}: {error}"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Diagnosis {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::NameNotFound { error, .. } => error.as_ref().map(|error| error as _),
            Self::Tls(error) | Self::ClientCertificateRefused(error) => Some(error),
            Self::Upgrade(error) => Some(error),
            Self::ConnectUnanswered { error, .. } => error.as_ref().map(|error| error as _),
            Self::Proxy { error, .. } => Some(error),
            Self::Other(error) => Some(error),
            _ => None,
        }
    }
}

fn code_name(code: u8, v5: bool) -> &'static str {
    match (v5, code) {
        (false, 1) | (true, 0x84) => "unacceptable protocol version",
        (false, 2) | (true, 0x85) => "client identifier not valid",
        (false, 3) | (true, 0x88) => "server unavailable",
        (false, 4) | (true, 0x86) => "bad user name or password",
        (false, 5) | (true, 0x87) => "not authorized",
        (true, 0x83) => "refused by this server",
        (true, 0x89) => "server busy",
        (true, 0x8A) => "banned",
        (true, 0x8C) => "bad authentication method",
        (true, 0x97) => "quota exceeded",
        (true, 0x9C) => "use another server",
        (true, 0x9D) => "server moved",
        (true, 0x9F) => "connection rate exceeded",
        _ => "unspecified",
    }
}
