//! The command line of `pub` and `sub`: the arguments of a connection, how to fail, and when to stop.

use clap::{Args, ValueEnum};
use mqttkit_client::transport::tls::{ClientTls, TlsConfigError};
use mqttkit_client::{Client, ConnectError, Options, OptionsError, QoS, TopicFilter, TopicName, Version};
use std::fmt::Display;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How to connect.
#[derive(Debug, Args)]
pub struct Connection {
    /// Where to: mqtt://, mqtts://, ws:// or wss://; user and password may be in it.
    #[arg(long, value_name = "URL", default_value = "ws://localhost:8083/mqtt")]
    url: String,
    /// Client identifier; random if not given.
    #[arg(short = 'i', long, value_name = "ID")]
    id: Option<String>,
    /// User name.
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password.
    #[arg(short = 'P', long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Keep the session when the connection ends, and resume an old one.
    #[arg(short = 'c', long)]
    disable_clean_session: bool,
    /// Seconds until an idle connection shows that it is alive; 0 is never.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 50)]
    keepalive: u16,
    /// The version of MQTT to speak.
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5")]
    protocol_version: Protocol,
    /// Topic of the will: what the server publishes when this program dies.
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    will_topic: Option<TopicName>,
    /// Payload of the will.
    #[arg(long, value_name = "PAYLOAD", requires = "will_topic")]
    will_payload: Option<String>,
    /// QoS of the will.
    #[arg(long, value_name = "QOS", requires = "will_topic", default_value = "0", value_parser = qos)]
    will_qos: QoS,
    /// Retain the will.
    #[arg(long, requires = "will_topic")]
    will_retain: bool,
    /// Trust the CA certificates in this PEM file, and no others.
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Show this certificate chain (PEM) when the server asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Accept any certificate from anybody. For development only.
    #[arg(long)]
    insecure: bool,
}

/// The versions as they are written on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    #[value(name = "31")]
    V31,
    #[value(name = "311")]
    V311,
    #[value(name = "5")]
    V5,
}

impl Connection {
    /// The options of the client. `session_expiry` is in seconds; a kept session without one is kept for ever.
    pub fn options(self, session_expiry: Option<u32>) -> Result<Options, Failure> {
        let version = match self.protocol_version {
            Protocol::V31 => Version::V31,
            Protocol::V311 => Version::V311,
            Protocol::V5 => Version::V5,
        };
        let mut options = Client::builder(&self.url)
            .version(version)
            .clean_start(!self.disable_clean_session)
            .keep_alive(Duration::from_secs(self.keepalive.into()));
        if let Some(id) = self.id {
            options = options.client_id(id);
        }
        if let Some(name) = self.username {
            options = options.user_name(name);
        }
        if let Some(password) = self.password {
            options = options.password(password);
        }
        if let Some(seconds) = session_expiry.or(self.disable_clean_session.then_some(u32::MAX)) {
            options = options.session_expiry(Duration::from_secs(seconds.into()));
        }
        if let Some(topic) = self.will_topic {
            let payload = self.will_payload.unwrap_or_default();
            options = options.last_will(topic.as_str(), payload, self.will_qos, self.will_retain);
        }
        if self.cafile.is_some() || self.cert.is_some() || self.insecure {
            let mut tls = ClientTls::new().danger_accept_invalid_certs(self.insecure);
            if let Some(file) = self.cafile {
                tls = tls.ca_file(file).only_given_cas();
            }
            if let (Some(certificate), Some(key)) = (self.cert, self.key) {
                tls = tls.identity_files(certificate, key);
            }
            options = options.tls(tls.build()?);
        }
        Ok(options)
    }
}

/// A QoS on the command line.
pub fn qos(text: &str) -> Result<QoS, String> {
    let qos = text.parse().ok().and_then(QoS::from_u8);
    qos.ok_or_else(|| "it is 0, 1 or 2".to_owned())
}

/// A topic name on the command line.
pub fn topic(text: &str) -> Result<TopicName, Failure> {
    TopicName::try_from(text).map_err(|error| Failure::new(format_args!("topic {text:?}: {error}")))
}

/// A topic filter on the command line.
pub fn filter(text: &str) -> Result<TopicFilter, Failure> {
    TopicFilter::try_from(text).map_err(|error| Failure::new(format_args!("topic {text:?}: {error}")))
}

/// Why a program fails: one line.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// With this line.
    pub fn new(line: impl Display) -> Self {
        Self(line.to_string().replace(['\r', '\n'], " "))
    }

    fn with_hint(line: impl Display, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => Self::new(format_args!("{line}. {hint}")),
            None => Self::new(line),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::with_hint(&error, error.hint())
    }
}

impl From<OptionsError> for Failure {
    fn from(error: OptionsError) -> Self {
        ConnectError::from(error).into()
    }
}

impl From<TlsConfigError> for Failure {
    fn from(error: TlsConfigError) -> Self {
        Self::new(error)
    }
}

/// Runs a program to its end, and says in one line what went wrong, if something did.
pub fn run(program: &str, body: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let result = tokio::runtime::Runtime::new().map_err(Failure::new).and_then(|runtime| {
        let result = runtime.block_on(body);
        // Not waiting for a thread that still reads standard input.
        runtime.shutdown_background();
        result
    });
    result.unwrap_or_else(|failure| {
        eprintln!("{program}: {failure}");
        ExitCode::FAILURE
    })
}

/// What `future` gives, or `None` when the program is told to stop before.
pub async fn until_stopped<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<Option<T>, Failure>
where
    Failure: From<E>,
{
    tokio::select! {
        output = future => Ok(Some(output?)),
        stopped = stop_signal() => stopped.map(|()| None).map_err(Failure::new),
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = term.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
