//! `Signpost`: where else a server is, for the answers to those who came to the wrong port.

use crate::url::Scheme;
use std::sync::{Arc, PoisonError, RwLock};

/// The ports on which a server serves MQTT. Cheap to clone; all clones are one.
///
/// Give the same one to all listeners of a server ([`AcceptOptions::signpost`](crate::AcceptOptions::signpost)) and
/// add each of them: a client at the wrong port is told the URL of the right one.
///
/// ```
/// use mqttkit_ws_transport::{AcceptOptions, Scheme, Signpost};
///
/// let signpost = Signpost::new();
/// let options = AcceptOptions::new().sniff(true).signpost(signpost.clone());
/// signpost.add(Scheme::Tcp, 1883, "");
/// signpost.add(Scheme::Ws, 8083, "/mqtt");
/// # drop(options);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Signpost(Arc<RwLock<Vec<Sign>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sign {
    scheme: Scheme,
    port: u16,
    path: String,
}

impl Signpost {
    /// Without a sign.
    pub fn new() -> Self {
        Self::default()
    }

    /// `scheme` is served at `port`, and where it is WebSocket, at `path`.
    pub fn add(&self, scheme: Scheme, port: u16, path: impl Into<String>) {
        let path = if scheme.is_websocket() { path.into() } else { String::new() };
        let sign = Sign { scheme, port, path };
        let mut signs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !signs.contains(&sign) {
            signs.push(sign);
        }
    }

    /// `scheme` is no longer served at `port`.
    pub fn remove(&self, scheme: Scheme, port: u16) {
        let mut signs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        signs.retain(|sign| (sign.scheme, sign.port) != (scheme, port));
    }

    /// The URLs, those first that differ least from what a client of the wrong kind at a port for `here` wants: the
    /// same protection, WebSocket before plain MQTT, since a client that is wrong at an MQTT port speaks HTTP.
    pub(crate) fn urls(&self, host: &str, here: Scheme) -> Vec<String> {
        let mut signs = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        signs.sort_by_key(|sign| {
            let same_kind = sign.scheme.is_websocket() == here.is_websocket();
            (sign.scheme.is_tls() != here.is_tls(), same_kind, sign.scheme, sign.port)
        });
        signs.iter().map(|Sign { scheme, port, path }| format!("{scheme}://{host}:{port}{path}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Signpost;
    use crate::url::Scheme;

    #[test]
    fn the_likely_one_comes_first() {
        let signpost = Signpost::new();
        for scheme in Scheme::ALL {
            signpost.add(scheme, 1000 + scheme.default_port(), "/live");
        }
        assert_eq!(
            signpost.urls("h", Scheme::Tcp),
            ["ws://h:1080/live", "mqtt://h:2883", "wss://h:1443/live", "mqtts://h:9883"]
        );
        assert_eq!(signpost.urls("h", Scheme::Ws)[0], "mqtt://h:2883");
        assert_eq!(signpost.urls("h", Scheme::Tls)[0], "wss://h:1443/live");
        signpost.remove(Scheme::Ws, 1080);
        assert_eq!(signpost.urls("h", Scheme::Tcp)[0], "mqtt://h:2883");
    }
}
