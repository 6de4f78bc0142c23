//! A broker on TCP and WebSocket, with a page to try it: what the crates make together.

mod access;
mod page;
mod passwd;
mod settings;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use mqttkit_broker_core::{Broker, Config, Listen};
use mqttkit_ws_transport::tls::{ClientAuth, ReloadableTls, ServerTls, self_signed};
use mqttkit_ws_transport::ws::WsLimits;
use mqttkit_ws_transport::{AcceptOptions, Scheme};
use tokio::signal::unix::{Signal, SignalKind, signal};

use settings::{Bind, Settings};

/// How long clients get to say goodbye at the end.
const SHUTDOWN: Duration = Duration::from_millis(1500);

#[tokio::main]
async fn main() -> ExitCode {
    let done = match passwd::run() {
        Some(done) => done,
        None => run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("broker: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let settings = Settings::load()?;
    let config = config(&settings);
    let tls = tls(&settings)?;
    let listeners = listeners(&settings, &config, tls.as_ref())?;
    let access = access::Access::open(&settings)?;
    if settings.check_config {
        return Ok(());
    }
    let mut stop = Stop::new()?;
    if let Some(tls) = tls {
        let hangup =
            signal(SignalKind::hangup()).map_err(|error| format!("cannot wait for signals: {error}"))?;
        tokio::spawn(reload_on(hangup, tls));
    }
    if let Some(users) = access.users.clone() {
        let hangup =
            signal(SignalKind::hangup()).map_err(|error| format!("cannot wait for signals: {error}"))?;
        tokio::spawn(access::reload_on(hangup, users));
    }
    let broker = access.give(Broker::builder().config(config)).build();
    let mut page = None;
    for (scheme, address, options) in listeners {
        let flag = flag(scheme);
        let listening = broker
            .listen(
                scheme.map_or(Listen::any(address), |scheme| Listen::new(scheme, address)).options(options),
            )
            .await
            .map_err(|error| format!("--{flag}: {error}"))?;
        let address = listening.local_addr();
        println!("listening {flag} {address}");
        if matches!(scheme, Some(Scheme::Ws) | None) {
            page = Some(address.port());
        }
    }
    if let Some(port) = page {
        eprintln!("open http://localhost:{port}/ in a browser");
    }
    stop.requested().await;
    tokio::select! {
        _ = broker.shutdown(SHUTDOWN) => Ok(()),
        () = stop.requested() => Err("stopped at once: asked twice".to_owned()),
    }
}

/// What to listen on, with everything that can be wrong about it found before the first socket opens.
fn listeners(
    settings: &Settings,
    config: &Config,
    tls: Option<&ReloadableTls>,
) -> Result<Vec<(Option<Scheme>, SocketAddr, AcceptOptions)>, String> {
    let plain = |bind: Option<Bind>, port| bind.unwrap_or(Bind::any(port)).address();
    let secure = |bind: Option<Bind>, port| {
        let default = if settings.has_certificate() { Bind::any(port) } else { Bind::Off };
        bind.unwrap_or(default).address()
    };
    let wanted = [
        (Some(Scheme::Tcp), plain(settings.tcp, 1883)),
        (Some(Scheme::Ws), plain(settings.ws, 8083)),
        (Some(Scheme::Tls), secure(settings.tls, 8883)),
        (Some(Scheme::Wss), secure(settings.wss, 8084)),
        (None, settings.any.and_then(Bind::address)),
    ];
    // Clients send a packet in one message; a little more than that for those that gather.
    let limits = WsLimits::default().max_message_size(config.max_packet_size as usize + (64 << 10));
    let mut listeners = Vec::new();
    for (scheme, address) in wanted {
        let Some(address) = address else { continue };
        let mut options = AcceptOptions::new().limits(limits).http(page::handler());
        if let (None, Some(tls)) = (scheme, tls) {
            options = options.tls(tls);
        }
        if scheme.is_some_and(Scheme::is_tls) {
            let tls = tls.ok_or_else(|| {
                let flag = flag(scheme);
                format!("--{flag} needs a certificate: give --cert and --key, or --tls-self-signed to try it")
            })?;
            options = options.tls(tls);
        }
        listeners.push((scheme, address, options));
    }
    if listeners.is_empty() {
        return Err("every listener is off: there is nothing to do".to_owned());
    }
    Ok(listeners)
}

/// What a listener is called here: by what carries MQTT, as its option is.
fn flag(scheme: Option<Scheme>) -> &'static str {
    match scheme {
        Some(Scheme::Tcp) => "tcp",
        Some(Scheme::Tls) => "tls",
        Some(Scheme::Ws) => "ws",
        Some(Scheme::Wss) => "wss",
        None => "any",
    }
}

/// SIGHUP reads the certificate, the CA and the revocation list again; connections live on.
async fn reload_on(mut hangup: Signal, tls: ReloadableTls) {
    while hangup.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => eprintln!("broker: the certificate and its lists were read again"),
            Err(error) => eprintln!("broker: the old certificate stays: {error}"),
        }
    }
}

fn tls(settings: &Settings) -> Result<Option<ReloadableTls>, String> {
    let server = if let (Some(cert), Some(key)) = (&settings.cert, &settings.key) {
        ServerTls::from_files(cert, key)
    } else if settings.tls_self_signed {
        let made = self_signed(&[]).map_err(|error| error.to_string())?;
        if let Some(path) = &settings.write_cert {
            std::fs::write(path, &made.certificate_pem)
                .map_err(|error| format!("cannot write the certificate to {}: {error}", path.display()))?;
        }
        ServerTls::from_pem(made.certificate_pem, made.key_pem)
    } else {
        return Ok(None);
    };
    let server = match &settings.client_ca {
        Some(ca) => server.client_ca_file(ca, ClientAuth::Required),
        None => server,
    };
    let server = match &settings.client_crl {
        Some(list) => server.client_crl_file(list),
        None => server,
    };
    ReloadableTls::new(server).map(Some).map_err(|error| error.to_string())
}

fn config(settings: &Settings) -> Config {
    let limits = &settings.limits;
    let mut config = Config::default();
    config.max_packet_size = limits.max_packet_size.unwrap_or(config.max_packet_size);
    config.max_connections = limits.max_connections.unwrap_or(config.max_connections);
    config.max_sessions = limits.max_sessions.unwrap_or(config.max_sessions);
    config.max_subscriptions = limits.max_subscriptions.unwrap_or(config.max_subscriptions);
    config.max_retained_messages = limits.max_retained_messages.unwrap_or(config.max_retained_messages);
    config.offline_messages = limits.offline_messages.unwrap_or(config.offline_messages);
    if let Some(seconds) = limits.session_expiry_seconds {
        config.session_expiry = Duration::from_secs(seconds);
    }
    config
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
