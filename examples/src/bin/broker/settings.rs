//! What the broker shall do: the command line over the configuration file over the defaults.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use mqttkit_broker_core::Config;

use crate::file::{Access, Bind, CertificateName, File, Listener, Log, Scheme, Tls, Trace, is_set};

/// An MQTT broker on TCP and WebSocket, with a page to try it.
#[derive(Debug, Default, Parser)]
#[command(version)]
pub(crate) struct CommandLine {
    /// MQTT over TCP: ADDR:PORT, a PORT alone, or "off" [default: 1883]
    #[arg(long, value_name = "ADDR")]
    tcp: Option<Wish>,
    /// MQTT over WebSocket at /mqtt, and the demo page at / [default: 8083]
    #[arg(long, value_name = "ADDR")]
    ws: Option<Wish>,
    /// MQTT over TLS [default: 8883 with a certificate, else off]
    #[arg(long, value_name = "ADDR")]
    tls: Option<Wish>,
    /// MQTT over WebSocket over TLS, and the page [default: 8084 with a certificate, else off]
    #[arg(long, value_name = "ADDR")]
    wss: Option<Wish>,
    /// All of these on one port, TLS with a certificate: the first bytes of a client decide [default: off]
    #[arg(long, value_name = "ADDR")]
    any: Option<Wish>,
    /// The certificate chain for TLS, as PEM, the server's own first
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Ask clients for a certificate signed by one of these CAs, as PEM
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Refuse the client certificates in this revocation list, as PEM
    #[arg(long, value_name = "FILE")]
    client_crl: Option<PathBuf>,
    /// Make a certificate for localhost at each start. For development only
    #[arg(long, conflicts_with = "cert")]
    tls_self_signed: bool,
    /// Save that certificate, as PEM, so that clients can be told to trust it
    #[arg(long, value_name = "FILE", requires = "tls_self_signed")]
    write_cert: Option<PathBuf>,
    /// Let in only users in this file of NAME:HASH, which "broker passwd FILE USER" makes
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Let clients do only what the rules in this file allow; they are described at the broker's `Acl`
    #[arg(long, value_name = "FILE")]
    acl_file: Option<PathBuf>,
    /// Take the common name of the client's certificate as its user name, before any password
    #[arg(long)]
    certificate_identity: bool,
    /// Threads that serve clients; 0 is one for each processor, and one alone with up to two of them [default: 0]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// What to log: a level, or levels by target, such as "info" or "warn,mqttkit_broker_core=debug"
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Log every packet of this client; can be given several times
    #[arg(long, value_name = "CLIENT-ID")]
    trace_client: Vec<String>,
    /// Log every publication to this topic filter; can be given several times
    #[arg(long, value_name = "FILTER")]
    trace_topic: Vec<String>,
    /// Say what is wrong with the configuration, or nothing, and do nothing else
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Read this TOML file, of which examples/broker.toml has all keys; the command line wins. SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Everything, decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) broker: Config,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) access: Access,
    pub(crate) log: Log,
    pub(crate) trace: Trace,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) threads: usize,
}

/// A listener on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Off,
    At(Bind),
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|error| format!("{error}, nor off"))
    }
}

impl CommandLine {
    /// Reads it, which ends the program at a mistake.
    pub(crate) fn read() -> Result<Self, String> {
        Self::try_parse().or_else(|error| match error.kind() {
            // Said like all that is wrong with an address: in one line.
            ErrorKind::ValueValidation => Err(error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned()),
            _ => error.exit(),
        })
    }

    /// The settings that follow from it and from its file, which is read now.
    pub(crate) fn settings(&self) -> Result<Settings, String> {
        let file = self.config.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
        self.over(file)
    }

    /// What the command line leaves open, the file decides.
    fn over(&self, file: File) -> Result<Settings, String> {
        let File { shutdown_timeout, threads, mut log, mut trace, mut access, mut tls, broker, listener } =
            file;
        self.decide_tls(&mut tls);
        if let Some(filter) = &self.log {
            log.filter.clone_from(filter);
        }
        trace.clients.extend_from_slice(&self.trace_client);
        trace.topics.extend_from_slice(&self.trace_topic);
        if let Some(path) = &self.password_file {
            access.password_file.clone_from(path);
        }
        if let Some(path) = &self.acl_file {
            access.acl_file.clone_from(path);
        }
        if self.certificate_identity && access.certificate_identity == CertificateName::Off {
            access.certificate_identity = CertificateName::CommonName;
        }
        let listeners = self.listeners(listener, &tls)?;
        let asked = listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(Tls::asks_clients));
        if access.certificate_identity != CertificateName::Off && !asked {
            return Err("the identity of certificates needs a CA for clients (--client-ca): no client is asked for one"
                .to_owned());
        }
        let threads = self.threads.unwrap_or(threads);
        Ok(Settings { broker, listeners, access, log, trace, shutdown_timeout, threads })
    }

    fn decide_tls(&self, tls: &mut Tls) {
        // A certificate is one decision, wherever it is made.
        if self.cert.is_some() || self.tls_self_signed {
            tls.certificate = self.cert.clone().unwrap_or_default();
            tls.key = self.key.clone().unwrap_or_default();
            tls.self_signed = self.tls_self_signed;
            tls.write_certificate = self.write_cert.clone().unwrap_or_default();
        }
        if let Some(path) = &self.client_ca {
            tls.client_ca.clone_from(path);
        }
        if let Some(path) = &self.client_crl {
            tls.client_crl = vec![path.clone()];
        }
    }

    /// Those of the file, or of the defaults, with the addresses of the command line.
    fn listeners(&self, listed: Option<Vec<Listener>>, tls: &Tls) -> Result<Vec<Listener>, String> {
        let mut listeners = listed.unwrap_or_else(|| {
            let at = |scheme, port| Listener::new(scheme, Bind::any(port));
            let mut all = vec![at(Scheme::Tcp, 1883), at(Scheme::Ws, 8083)];
            if tls.has_certificate() {
                all.extend([at(Scheme::Tls, 8883), at(Scheme::Wss, 8084)]);
            }
            all
        });
        let wishes = [
            (Scheme::Tcp, self.tcp),
            (Scheme::Ws, self.ws),
            (Scheme::Tls, self.tls),
            (Scheme::Wss, self.wss),
            (Scheme::Any, self.any),
        ];
        for (scheme, wish) in wishes {
            let Some(wish) = wish else { continue };
            let known = listeners.iter().find(|listener| listener.scheme == scheme).cloned();
            listeners.retain(|listener| listener.scheme != scheme);
            if let Wish::At(address) = wish {
                let listener = known.unwrap_or_else(|| Listener::new(scheme, address));
                listeners.push(Listener { address, ..listener });
            }
        }
        if listeners.is_empty() {
            return Err("every listener is off: there is nothing to do".to_owned());
        }
        for listener in &mut listeners {
            let own = listener.tls.take().unwrap_or_else(|| tls.clone());
            let name = listener.display_name();
            if listener.scheme.needs_certificate() && !own.has_certificate() {
                return Err(format!(
                    "{name} needs a certificate: give --cert and --key, or --tls-self-signed to try it"
                ));
            }
            if is_set(&own.certificate) != is_set(&own.key) {
                return Err(format!("{name}: a certificate and a key belong together"));
            }
            if own.self_signed && is_set(&own.certificate) {
                return Err(format!("{name}: a certificate and self-signed exclude each other"));
            }
            let speaks_tls = listener.scheme.needs_certificate() || listener.scheme == Scheme::Any;
            listener.tls = Some(own).filter(|own| speaks_tls && own.has_certificate());
        }
        for (index, listener) in listeners.iter().enumerate() {
            let name = listener.display_name();
            let same = |other: &Listener| {
                other.display_name() == name && !(listener.name.is_empty() && listener.address.0.port() == 0)
            };
            if listeners[..index].iter().any(same) {
                return Err(format!("two listeners are called {name}"));
            }
        }
        Ok(listeners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../broker.toml");

    fn settings(line: &[&str], file: &str) -> Result<Settings, String> {
        let line = CommandLine::try_parse_from(["broker"].iter().chain(line)).unwrap();
        line.over(File::parse(file).unwrap())
    }

    #[test]
    fn the_example_is_what_there_is_without_a_file() {
        assert_eq!(settings(&[], EXAMPLE).unwrap(), settings(&[], "").unwrap());
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = r#"
            [tls]
            self-signed = true
            [access]
            password-file = "users"
            acl-file = "other"
            [log]
            filter = "debug"
            [trace]
            clients = ["a"]
            [[listener]]
            scheme = "tcp"
            address = "127.0.0.1:1"
            [[listener]]
            scheme = "ws"
            address = 2
            path = "/live"
            [[listener]]
            scheme = "ws"
            address = 3
            [[listener]]
            scheme = "wss"
            address = 4
        "#;
        let line = [
            "--tcp",
            "off",
            "--ws",
            "127.0.0.1:9",
            "--acl-file",
            "rules",
            "--log",
            "info",
            "--trace-client",
            "b",
        ];
        let settings = settings(&line, file).unwrap();
        let listeners: Vec<_> = settings
            .listeners
            .iter()
            .map(|listener| (listener.scheme, listener.address.0.to_string(), listener.path.as_str()))
            .collect();
        assert_eq!(
            listeners,
            [(Scheme::Wss, "0.0.0.0:4".to_owned(), "/mqtt"), (Scheme::Ws, "127.0.0.1:9".to_owned(), "/live")]
        );
        assert!(settings.listeners[0].tls.as_ref().unwrap().self_signed);
        assert!(settings.listeners[1].tls.is_none());
        assert_eq!(settings.access.password_file, PathBuf::from("users"));
        assert_eq!(settings.access.acl_file, PathBuf::from("rules"));
        assert_eq!(settings.log.filter, "info");
        assert_eq!(settings.trace.clients, ["a", "b"]);
    }

    #[test]
    fn a_certificate_opens_the_secure_ports() {
        let schemes = |line: &[&str]| -> Vec<_> {
            settings(line, "").unwrap().listeners.iter().map(|listener| listener.scheme.name()).collect()
        };
        assert_eq!(schemes(&[]), ["tcp", "ws"]);
        assert_eq!(schemes(&["--tls-self-signed"]), ["tcp", "ws", "tls", "wss"]);
    }

    #[test]
    fn a_listener_may_have_a_certificate_of_its_own() {
        let file = r#"
            tls.certificate = "all.pem"
            tls.key = "all.key"
            listener = [
                { scheme = "tls", address = 1 },
                { scheme = "tls", address = 2, tls = { certificate = "own.pem", key = "own.key", versions = ["1.3"] } },
            ]
        "#;
        let settings = settings(&[], file).unwrap();
        let certificates: Vec<_> = settings
            .listeners
            .iter()
            .map(|listener| listener.tls.as_ref().unwrap().certificate.clone())
            .collect();
        assert_eq!(certificates, [PathBuf::from("all.pem"), PathBuf::from("own.pem")]);
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        for (line, file, problem) in [
            (&["--tcp", "off", "--ws", "off"][..], "", "nothing to do"),
            (&["--tls", "1"], "", "needs a certificate"),
            (&["--certificate-identity", "--tls-self-signed"], "", "CA for clients"),
            (&[], "tls.certificate = 'a'\nlistener = [{ scheme = 'tls', address = 1 }]", "belong together"),
            (
                &[],
                "listener = [{ scheme = 'tcp', address = 1 }, { scheme = 'tcp', address = 1 }]",
                "called tcp://",
            ),
        ] {
            let error = settings(line, file).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
