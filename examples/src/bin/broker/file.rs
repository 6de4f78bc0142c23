//! The configuration file as it is written: tables, keys, and their defaults. `examples/broker.toml` explains each.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use mqttkit_broker_core::{Config, units};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    #[serde(with = "units::duration")]
    pub(crate) shutdown_timeout: Duration,
    pub(crate) threads: usize,
    pub(crate) log: Log,
    pub(crate) trace: Trace,
    pub(crate) access: Access,
    pub(crate) tls: Tls,
    pub(crate) broker: Config,
    /// `None`: those of the defaults.
    pub(crate) listener: Option<Vec<Listener>>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            shutdown_timeout: Duration::from_millis(1500),
            threads: 0,
            log: Log::default(),
            trace: Trace::default(),
            access: Access::default(),
            tls: Tls::default(),
            broker: Config::default(),
            listener: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "warn,broker=info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Trace {
    pub(crate) clients: Vec<String>,
    pub(crate) topics: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Access {
    pub(crate) order: Vec<Step>,
    pub(crate) certificate_identity: CertificateName,
    pub(crate) password_file: PathBuf,
    pub(crate) allow_anonymous: bool,
    pub(crate) acl_file: PathBuf,
    pub(crate) mount_point: String,
    pub(crate) client_id: String,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            order: vec![Step::Certificate, Step::Passwords, Step::Anonymous, Step::Acl],
            certificate_identity: CertificateName::Off,
            password_file: PathBuf::new(),
            allow_anonymous: false,
            acl_file: PathBuf::new(),
            mount_point: String::new(),
            client_id: String::new(),
        }
    }
}

/// Who is asked about a client, and about what it does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Certificate,
    Passwords,
    Anonymous,
    Acl,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateName {
    #[default]
    Off,
    CommonName,
    Subject,
    DnsName,
    Uri,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) more: Vec<Pair>,
    pub(crate) self_signed: bool,
    pub(crate) write_certificate: PathBuf,
    pub(crate) client_ca: PathBuf,
    pub(crate) client_certificate: Demand,
    pub(crate) client_crl: Vec<PathBuf>,
    pub(crate) crl_only_end_entity: bool,
    pub(crate) crl_allow_uncovered: bool,
    pub(crate) crl_refuse_outdated: bool,
    pub(crate) versions: Vec<TlsVersion>,
    pub(crate) alpn: Vec<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            more: Vec::new(),
            self_signed: false,
            write_certificate: PathBuf::new(),
            client_ca: PathBuf::new(),
            client_certificate: Demand::Required,
            client_crl: Vec::new(),
            crl_only_end_entity: false,
            crl_allow_uncovered: false,
            crl_refuse_outdated: false,
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            alpn: Vec::new(),
        }
    }
}

impl Tls {
    /// Whether there is a certificate to offer.
    pub(crate) fn has_certificate(&self) -> bool {
        self.self_signed || is_set(&self.certificate)
    }

    /// Whether clients are asked for theirs.
    pub(crate) fn asks_clients(&self) -> bool {
        is_set(&self.client_ca)
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Demand {
    Off,
    Optional,
    #[default]
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum TlsVersion {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Listener {
    pub(crate) scheme: Scheme,
    pub(crate) address: Bind,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) mount_point: String,
    #[serde(default = "yes")]
    pub(crate) sniff: bool,
    #[serde(default = "ten_seconds", with = "units::duration")]
    pub(crate) handshake_timeout: Duration,
    #[serde(default, with = "units::number_or_off")]
    pub(crate) max_connections: Option<usize>,
    #[serde(default, with = "units::number_or_off")]
    pub(crate) max_handshakes: Option<usize>,
    #[serde(default, with = "units::number_or_off")]
    pub(crate) max_connections_per_address: Option<usize>,
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<String>,
    #[serde(default = "off")]
    pub(crate) proxy_protocol: Demand,
    #[serde(default)]
    pub(crate) client_address_from: AddressHeader,
    #[serde(default = "mqtt")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) path_prefix: bool,
    #[serde(default = "yes")]
    pub(crate) page: bool,
    #[serde(default = "yes")]
    pub(crate) require_subprotocol: bool,
    #[serde(default)]
    pub(crate) origins: Vec<String>,
    #[serde(default)]
    pub(crate) require_origin: bool,
    #[serde(default)]
    pub(crate) packets_per_frame: PacketsPerFrame,
    #[serde(default = "ping_interval", with = "units::duration_or_off")]
    pub(crate) ping_interval: Option<Duration>,
    #[serde(default = "pong_timeout", with = "units::duration")]
    pub(crate) pong_timeout: Duration,
    #[serde(default = "head_size", with = "units::bytes")]
    pub(crate) max_head_size: usize,
    #[serde(default, with = "size_or_auto")]
    pub(crate) max_message_size: Option<usize>,
    #[serde(default, with = "size_or_auto")]
    pub(crate) max_frame_size: Option<usize>,
    /// `None`: the table `[tls]`.
    #[serde(default)]
    pub(crate) tls: Option<Tls>,
}

impl Listener {
    /// With everything else as it is by default.
    pub(crate) fn new(scheme: Scheme, address: Bind) -> Self {
        Self {
            scheme,
            address,
            name: String::new(),
            mount_point: String::new(),
            sniff: true,
            handshake_timeout: ten_seconds(),
            max_connections: None,
            max_handshakes: None,
            max_connections_per_address: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: Demand::Off,
            client_address_from: AddressHeader::Off,
            path: mqtt(),
            path_prefix: false,
            page: true,
            require_subprotocol: true,
            origins: Vec::new(),
            require_origin: false,
            packets_per_frame: PacketsPerFrame::Many,
            ping_interval: ping_interval(),
            pong_timeout: pong_timeout(),
            max_head_size: head_size(),
            max_message_size: None,
            max_frame_size: None,
            tls: None,
        }
    }

    /// What it is called in logs and by policies.
    pub(crate) fn display_name(&self) -> String {
        if self.name.is_empty() {
            format!("{}://{}", self.scheme.name(), self.address.0)
        } else {
            self.name.clone()
        }
    }
}

fn yes() -> bool {
    true
}

fn off() -> Demand {
    Demand::Off
}

fn mqtt() -> String {
    "/mqtt".to_owned()
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

#[allow(clippy::unnecessary_wraps, reason = "a default must have the type of its field")]
fn ping_interval() -> Option<Duration> {
    Some(Duration::from_secs(30))
}

fn pong_timeout() -> Duration {
    Duration::from_secs(15)
}

fn head_size() -> usize {
    16 << 10
}

/// Bytes, or `"auto"`: what the largest packet needs.
mod size_or_auto {
    use super::{Deserialize, Deserializer, Serializer, de, units};

    #[allow(clippy::ref_option, reason = "serde hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(value: &Option<usize>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => units::bytes::serialize(bytes, serializer),
            None => serializer.serialize_str("auto"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Size {
            Number(u64),
            Text(String),
        }
        let number = match Size::deserialize(deserializer)? {
            Size::Text(text) if text == "auto" => return Ok(None),
            Size::Text(text) => {
                units::bytes::deserialize(de::value::StringDeserializer::<D::Error>::new(text))
            }
            Size::Number(number) => {
                units::bytes::deserialize(de::value::U64Deserializer::<D::Error>::new(number))
            }
        };
        number.map(Some)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scheme {
    Tcp,
    Ws,
    Tls,
    Wss,
    Any,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ws => "ws",
            Self::Tls => "tls",
            Self::Wss => "wss",
            Self::Any => "any",
        }
    }

    /// Whether nothing goes without TLS.
    pub(crate) fn needs_certificate(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AddressHeader {
    #[default]
    Off,
    XForwardedFor,
    XRealIp,
    Forwarded,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PacketsPerFrame {
    #[default]
    Many,
    Single,
}

/// Where to listen: an address with its port, or a port of every IPv4 address of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BindText")]
pub(crate) struct Bind(pub(crate) SocketAddr);

#[derive(Deserialize)]
#[serde(untagged)]
enum BindText {
    Text(String),
    Port(u16),
}

impl TryFrom<BindText> for Bind {
    type Error = String;

    fn try_from(text: BindText) -> Result<Self, String> {
        match text {
            BindText::Text(text) => text.parse(),
            BindText::Port(port) => Ok(Self::any(port)),
        }
    }
}

impl Serialize for Bind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.trim_start_matches(':').parse() {
            return Ok(Self::any(port));
        }
        text.parse().map(Self).map_err(|_| {
            format!("\"{text}\" is not an address such as 127.0.0.1:1883 or [::1]:1883, nor a port")
        })
    }
}

impl Bind {
    pub(crate) fn any(port: u16) -> Self {
        Self(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }
}

/// A path that is not the empty one, which stands for none.
pub(crate) fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|(line, problem)| format!("{}, line {line}: {problem}", path.display()))
    }

    /// What is wrong comes with its line.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            (line, error.message().replace('\n', " "))
        })
    }
}

#[cfg(test)]
mod tests;
