//! What the broker shall do: the command line over the configuration file over the defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Parser;
use clap::error::ErrorKind;
use serde::Deserialize;

/// An MQTT broker on TCP and WebSocket, with a page to try it.
#[derive(Debug, Default, Parser, Deserialize)]
#[command(version)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// MQTT over TCP: ADDR:PORT, a PORT alone, or "off" [default: 1883]
    #[arg(long, value_name = "ADDR")]
    pub(crate) tcp: Option<Bind>,
    /// MQTT over WebSocket at /mqtt, and the demo page at / [default: 8083]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ws: Option<Bind>,
    /// MQTT over TLS [default: 8883 with a certificate, else off]
    #[arg(long, value_name = "ADDR")]
    pub(crate) tls: Option<Bind>,
    /// MQTT over WebSocket over TLS, and the page [default: 8084 with a certificate, else off]
    #[arg(long, value_name = "ADDR")]
    pub(crate) wss: Option<Bind>,
    /// All of these on one port, TLS with a certificate: the first bytes of a client decide [default: off]
    #[arg(long, value_name = "ADDR")]
    pub(crate) any: Option<Bind>,
    /// The certificate chain for TLS, as PEM, the server's own first
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Ask clients for a certificate signed by one of these CAs, as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Refuse the client certificates in this revocation list, as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) client_crl: Option<PathBuf>,
    /// Make a certificate for localhost at each start. For development only
    #[arg(long, conflicts_with = "cert")]
    pub(crate) tls_self_signed: bool,
    /// Save that certificate, as PEM, so that clients can be told to trust it
    #[arg(long, value_name = "FILE", requires = "tls_self_signed")]
    pub(crate) write_cert: Option<PathBuf>,
    /// Let in only users in this file of NAME:HASH, which "broker passwd FILE USER" makes; read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Let clients do only what the rules in this file allow; they are described at the broker's `Acl`
    #[arg(long, value_name = "FILE")]
    pub(crate) acl_file: Option<PathBuf>,
    /// Take the common name of the client's certificate as its user name, before any password
    #[arg(long)]
    pub(crate) certificate_identity: bool,
    /// Say what is wrong with the configuration, or nothing, and do nothing else
    #[arg(long)]
    #[serde(skip)]
    pub(crate) check_config: bool,
    /// Read these options, without the dashes, and the table "limits" from a TOML file; the command line wins
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    #[arg(skip)]
    pub(crate) limits: Limits,
}

/// Limits that the file may set; what each means stands in the documentation of the broker's `Config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Limits {
    pub(crate) max_packet_size: Option<u32>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) max_subscriptions: Option<usize>,
    pub(crate) max_retained_messages: Option<usize>,
    pub(crate) offline_messages: Option<usize>,
    pub(crate) session_expiry_seconds: Option<u64>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "BindText")]
pub(crate) enum Bind {
    Off,
    At(SocketAddr),
}

/// An address in the file: text, or a port as a number.
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

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Ok(port) = text.trim_start_matches(':').parse() {
            return Ok(Self::any(port));
        }
        text.parse().map(Self::At).map_err(|_| {
            format!("\"{text}\" is not an address such as 127.0.0.1:1883 or [::1]:1883, a port, or off")
        })
    }
}

impl Bind {
    /// This port on every IPv4 address of the machine.
    pub(crate) fn any(port: u16) -> Self {
        Self::At(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl Settings {
    /// Reads the command line, which ends the program at a mistake, and the file that it names.
    pub(crate) fn load() -> Result<Self, String> {
        let line = Self::try_parse().or_else(|error| match error.kind() {
            // Said like all that is wrong with an address: in one line.
            ErrorKind::ValueValidation => Err(error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned()),
            _ => error.exit(),
        })?;
        match line.config.clone() {
            Some(path) => Ok(line.over(Self::read(&path)?)),
            None => Ok(line),
        }
    }

    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            format!("{}, line {line}: {}", path.display(), error.message())
        })
    }

    /// What the command line leaves open, the file decides.
    fn over(self, file: Self) -> Self {
        // A certificate is one decision, wherever it is made.
        let decided = self.cert.is_some() || self.tls_self_signed;
        let (cert, key, tls_self_signed) = if decided {
            (self.cert, self.key, self.tls_self_signed)
        } else {
            (file.cert, file.key, file.tls_self_signed)
        };
        Self {
            tcp: self.tcp.or(file.tcp),
            ws: self.ws.or(file.ws),
            tls: self.tls.or(file.tls),
            wss: self.wss.or(file.wss),
            any: self.any.or(file.any),
            cert,
            key,
            client_ca: self.client_ca.or(file.client_ca),
            client_crl: self.client_crl.or(file.client_crl),
            tls_self_signed,
            write_cert: self.write_cert.or(file.write_cert),
            password_file: self.password_file.or(file.password_file),
            acl_file: self.acl_file.or(file.acl_file),
            certificate_identity: self.certificate_identity || file.certificate_identity,
            check_config: self.check_config,
            config: self.config,
            limits: file.limits,
        }
    }

    /// Whether there is a certificate to offer.
    pub(crate) fn has_certificate(&self) -> bool {
        self.cert.is_some() || self.tls_self_signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file: Settings = toml::from_str(
            "tcp = \"127.0.0.1:1\"\nws = 2\ntls-self-signed = true\npassword-file = \"users\"\nacl-file = \"other\"\n[limits]\nmax-packet-size = 1000\n",
        )
        .unwrap();
        let line = Settings::parse_from(["broker", "--tcp", "off", "--acl-file", "rules"]);
        let settings = line.over(file);
        assert!(matches!(settings.tcp, Some(Bind::Off)));
        assert_eq!(settings.ws.unwrap().address(), Some("0.0.0.0:2".parse().unwrap()));
        assert_eq!(settings.password_file, Some("users".into()));
        assert_eq!(settings.acl_file, Some("rules".into()));
        assert!(settings.tls_self_signed);
        assert_eq!(settings.limits.max_packet_size, Some(1000));
    }

    #[test]
    fn a_mistake_in_the_file_is_named() {
        assert!(toml::from_str::<Settings>("tpc = 1883").unwrap_err().message().contains("tpc"));
        assert!(toml::from_str::<Settings>("tcp = \"nonsense\"").unwrap_err().message().contains("nonsense"));
    }
}
