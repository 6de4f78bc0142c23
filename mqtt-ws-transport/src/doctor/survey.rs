//! What a port really speaks: tries the other ways to carry MQTT, and the usual paths, until one works.
//!
//! A probe tells no secrets: no user name, no password, no headers of the program, no client certificate.

use super::mqtt::{self, Answer};
use super::{Patient, Speaks};
use crate::connect::{ConnectError, connect};
use crate::rt::Runtime;
use crate::tls::TlsError;
use crate::url::{Endpoint, Scheme};
use crate::ws::HandshakeError;

/// Where brokers serve WebSocket by default, most frequent first.
const PATHS: [&str; 7] = ["/mqtt", "/", "/ws", "/ws/mqtt", "/mqtt/ws", "/websocket", "/mqtt/"];

/// What a survey found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) speaks: Speaks,
    /// The URL that works.
    pub(super) works: Option<Endpoint>,
}

/// What one probe learned.
enum Probe {
    Works(Endpoint),
    /// The outer layers work, MQTT does not.
    Http,
    Tls,
    No,
}

/// Tries `schemes` in order on the host and port of `endpoint`.
pub(super) async fn survey<R: Runtime>(
    patient: &Patient<'_, R>,
    endpoint: &Endpoint,
    schemes: impl IntoIterator<Item = Scheme>,
) -> Found {
    let mut speaks = Speaks::Unknown;
    for scheme in schemes {
        match probe(patient, endpoint, scheme).await {
            Probe::Works(works) => return Found { speaks: Speaks::Mqtt(scheme), works: Some(works) },
            Probe::Http => speaks = Speaks::Http,
            Probe::Tls if speaks == Speaks::Unknown => speaks = Speaks::Tls,
            Probe::Tls | Probe::No => {}
        }
    }
    Found { speaks, works: None }
}

/// The first path other than that of `endpoint` at which MQTT over WebSocket works.
pub(super) async fn path<R: Runtime>(patient: &Patient<'_, R>, endpoint: &Endpoint) -> Option<Endpoint> {
    for path in PATHS.into_iter().filter(|path| *path != endpoint.path()) {
        let there = variant(endpoint, endpoint.scheme(), path)?;
        if let Probe::Works(works) = probe_one(patient, &there).await {
            return Some(works);
        }
    }
    None
}

async fn probe<R: Runtime>(patient: &Patient<'_, R>, endpoint: &Endpoint, scheme: Scheme) -> Probe {
    if !scheme.is_websocket() {
        return match variant(endpoint, scheme, "") {
            Some(there) => probe_one(patient, &there).await,
            None => Probe::No,
        };
    }
    // The path of the URL first, if it has one that means something.
    let given = Some(endpoint.path()).filter(|path| !path.is_empty());
    let paths = given.into_iter().chain(PATHS.into_iter().filter(|path| Some(*path) != given));
    let mut learned = Probe::No;
    for path in paths {
        let Some(there) = variant(endpoint, scheme, path) else { continue };
        match probe_one(patient, &there).await {
            Probe::Http => learned = Probe::Http,
            // Whatever is there, other paths change nothing.
            other => return other,
        }
    }
    learned
}

async fn probe_one<R: Runtime>(patient: &Patient<'_, R>, there: &Endpoint) -> Probe {
    let mut options = patient.stranger();
    #[cfg(feature = "tls")]
    if there.scheme().is_tls() {
        let Ok((config, _)) = super::chain::recording::config() else { return Probe::No };
        options = options.tls(config);
    }
    options.timeout = patient.patience();
    let mut link = match connect(patient.runtime, there, &options).await {
        Ok(link) => link,
        Err(ConnectError::WebSocket(
            HandshakeError::Refused { .. }
            | HandshakeError::Subprotocol { .. }
            | HandshakeError::NotWebSocket(_),
        )) => return Probe::Http,
        Err(ConnectError::Tls(TlsError::NotTls | TlsError::Ended | TlsError::Io(_))) => return Probe::No,
        Err(ConnectError::Tls(_)) => return Probe::Tls,
        Err(ConnectError::WebSocket(_)) if there.scheme().is_tls() => return Probe::Tls,
        Err(_) => return Probe::No,
    };
    match mqtt::ask(patient.runtime, &mut link, there, false, patient.patience()).await {
        // 3 is how a port for something else refuses MQTT, ours among them: that is not the port.
        Answer::ConnAck(3, _) => Probe::No,
        Answer::ConnAck(..) => Probe::Works(there.clone()),
        _ if there.scheme().is_websocket() => Probe::Http,
        Answer::Other(first) if first.starts_with(b"HTTP/") => Probe::Http,
        _ if there.scheme().is_tls() => Probe::Tls,
        _ => Probe::No,
    }
}

/// The same host and port in another way, without user name and password.
pub(super) fn variant(endpoint: &Endpoint, scheme: Scheme, path: &str) -> Option<Endpoint> {
    let query = match endpoint.query() {
        Some(query) if scheme.is_websocket() => format!("?{query}"),
        _ => String::new(),
    };
    let path = if scheme.is_websocket() { path } else { "" };
    format!("{scheme}://{}:{}{path}{query}", endpoint.host(), endpoint.port()).parse().ok()
}
