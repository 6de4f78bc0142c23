//! Where the load goes: the options of every connection.

use std::error::Error;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use mqttkit_codec::{Binary, Codec, Connect, QoS, Str, Version};
use mqttkit_ws_transport::rustls::pki_types::ServerName;
use mqttkit_ws_transport::tls::ClientTls;
use mqttkit_ws_transport::{Endpoint, Host};

use crate::stream::TlsTarget;

/// How to connect.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetOptions {
    /// Where to: mqtt://, mqtts://, ws:// or wss://; user and password may be in it.
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883", global = true)]
    pub(crate) url: Endpoint,
    /// The version of MQTT to speak.
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "311", global = true)]
    pub(crate) protocol_version: Protocol,
    /// Seconds until an idle connection shows that it is alive; 0 is never.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 300, global = true)]
    pub(crate) keepalive: u16,
    /// Trust the CA certificates in this PEM file, and no others.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) cafile: Option<PathBuf>,
    /// Accept any certificate from anybody.
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// What the identifiers of the clients begin with. Default: `bench` and the number of the process.
    #[arg(long, value_name = "TEXT", global = true)]
    pub(crate) prefix: Option<String>,
    /// The most connections that are opened at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 200, global = true)]
    pub(crate) at_once: usize,
}

/// The versions as they are written on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Protocol {
    #[value(name = "31")]
    V31,
    #[value(name = "311")]
    V311,
    #[value(name = "5")]
    V5,
}

impl From<Protocol> for Version {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::V31 => Self::V31,
            Protocol::V311 => Self::V311,
            Protocol::V5 => Self::V5,
        }
    }
}

/// A QoS on the command line.
pub(crate) fn qos(text: &str) -> Result<QoS, String> {
    let qos = text.parse().ok().and_then(QoS::from_u8);
    qos.ok_or_else(|| "it is 0, 1 or 2".to_owned())
}

/// The same, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) version: Version,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsTarget>,
    /// The HTTP request of a WebSocket.
    pub(crate) upgrade: Option<Vec<u8>>,
    pub(crate) prefix: String,
    pub(crate) at_once: usize,
    keep_alive: u16,
}

/// The key of every handshake, and what a server makes of it: the example of RFC 6455. That it is no secret is no matter.
pub(crate) const WS_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const WS_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl TryFrom<TargetOptions> for Target {
    type Error = Box<dyn Error>;

    fn try_from(options: TargetOptions) -> Result<Self, Self::Error> {
        let endpoint = options.url;
        let scheme = endpoint.scheme();
        let host = match endpoint.host() {
            Host::Name(name) => name.clone(),
            Host::Ip(ip) => ip.to_string(),
        };
        let addresses: Vec<_> = (host.as_str(), endpoint.port()).to_socket_addrs()?.collect();
        // Brokers that listen on one of localhost's two addresses listen on this.
        let address = addresses.iter().find(|address| matches!(address.ip(), IpAddr::V4(_)));
        let address = *address.or(addresses.first()).ok_or("the name has no address")?;
        let tls = if scheme.is_tls() {
            let mut tls = ClientTls::new().danger_accept_invalid_certs(options.insecure);
            if let Some(file) = options.cafile {
                tls = tls.ca_file(file).only_given_cas();
            }
            Some(TlsTarget { config: Arc::new(tls.build()?), name: ServerName::try_from(host)? })
        } else {
            None
        };
        let upgrade = scheme.is_websocket().then(|| {
            format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: {WS_KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
                endpoint.request_target(),
                endpoint.authority()
            )
            .into_bytes()
        });
        Ok(Self {
            version: options.protocol_version.into(),
            address,
            tls,
            upgrade,
            prefix: options.prefix.unwrap_or_else(|| format!("bench{}", std::process::id())),
            at_once: options.at_once.max(1),
            keep_alive: options.keepalive,
            endpoint,
        })
    }
}

impl Target {
    pub(crate) fn is_websocket(&self) -> bool {
        self.upgrade.is_some()
    }

    /// The CONNECT of the client with this number.
    pub(crate) fn connect(&self, number: usize) -> Result<Vec<u8>, Box<dyn Error>> {
        let id = format!("{}-{number}", self.prefix);
        let mut connect = Connect::new(self.version, Str::try_from(id)?);
        connect.keep_alive = self.keep_alive;
        if let Some(name) = self.endpoint.username() {
            connect.user_name = Some(Str::try_from(name)?);
        }
        if let Some(password) = self.endpoint.password() {
            connect.password = Some(Binary::try_from(password.as_bytes())?);
        }
        let mut packet = bytes::BytesMut::new();
        Codec::new(self.version).encode(&connect, &mut packet)?;
        Ok(packet.to_vec())
    }
}
