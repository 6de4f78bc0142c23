//! What the answers to a WebSocket upgrade mean that are no upgrade.

use super::survey::{self, Found, survey};
use super::{Diagnosis, Patient, Speaks, others, url};
use crate::connect::ConnectError;
use crate::rt::Runtime;
use crate::url::{Endpoint, Scheme};
use crate::ws::HandshakeError;
use http::StatusCode;

impl<R: Runtime> Patient<'_, R> {
    pub(super) async fn explain_upgrade(
        &self,
        endpoint: &Endpoint,
        error: HandshakeError,
    ) -> (Diagnosis, Option<String>) {
        match error {
            HandshakeError::Refused { status, line, location } => {
                self.explain_refusal(endpoint, status, line, location).await
            }
            HandshakeError::Subprotocol { chosen } => {
                // A server for something else may be at this path, and MQTT at another.
                let works = survey::path(self, endpoint).await;
                let diagnosis = match (&works, chosen) {
                    (Some(works), _) => Diagnosis::WrongPath {
                        path: endpoint.path().to_owned(),
                        status: None,
                        works: Some(works.path().to_owned()),
                    },
                    (None, None) => Diagnosis::SubprotocolUnanswered,
                    (None, Some(chosen)) => {
                        Diagnosis::SubprotocolRefused { answer: format!("it chose {chosen}") }
                    }
                };
                (diagnosis, url(works))
            }
            error @ (HandshakeError::NotHttp { .. }
            | HandshakeError::Ended { .. }
            | HandshakeError::Io(_)) => {
                let alert =
                    matches!(&error, HandshakeError::NotHttp { first } if first.first() == Some(&0x15));
                let Found { speaks, works } = survey(self, endpoint, others(endpoint.scheme())).await;
                match speaks {
                    Speaks::Mqtt(scheme) if scheme.is_tls() == endpoint.scheme().is_tls() => {
                        (Diagnosis::WebSocketToMqttPort, url(works))
                    }
                    Speaks::Mqtt(_) | Speaks::Tls if !endpoint.scheme().is_tls() => {
                        let there = works.or_else(|| survey::variant(endpoint, Scheme::Wss, endpoint.path()));
                        (Diagnosis::PlainToTlsPort { speaks }, url(there))
                    }
                    _ if alert => {
                        let there = survey::variant(endpoint, Scheme::Wss, endpoint.path());
                        (Diagnosis::PlainToTlsPort { speaks: Speaks::Tls }, url(there))
                    }
                    _ => (Diagnosis::Upgrade(error), None),
                }
            }
            error => (Diagnosis::Upgrade(error), None),
        }
    }

    async fn explain_refusal(
        &self,
        endpoint: &Endpoint,
        status: StatusCode,
        line: String,
        location: Option<String>,
    ) -> (Diagnosis, Option<String>) {
        match status.as_u16() {
            300..=399 => {
                let there = location.as_deref().and_then(|location| follow(endpoint, location));
                return (Diagnosis::Redirect { status, location }, url(there));
            }
            401 => return (Diagnosis::Unauthorized { line }, None),
            403 => return (Diagnosis::Forbidden { line }, None),
            407 => return (Diagnosis::ProxyAuthentication, None),
            500..=599 => return (Diagnosis::ServerError { status, line }, None),
            _ => {}
        }
        let path = endpoint.path().to_owned();
        if let Some(works) = survey::path(self, endpoint).await {
            let there = Some(works.path().to_owned());
            return (Diagnosis::WrongPath { path, status: Some(status), works: there }, url(Some(works)));
        }
        // Both a TLS port asked without TLS and an MQTT port that is polite answer 400.
        if status == StatusCode::BAD_REQUEST {
            let Found { speaks, works } = survey(self, endpoint, others(endpoint.scheme())).await;
            match speaks {
                Speaks::Mqtt(scheme) if scheme.is_tls() == endpoint.scheme().is_tls() => {
                    return (Diagnosis::WebSocketToMqttPort, url(works));
                }
                Speaks::Mqtt(_) => return (Diagnosis::PlainToTlsPort { speaks }, url(works)),
                _ if self.is_about_the_subprotocol(endpoint, &line).await => {
                    return (Diagnosis::SubprotocolRefused { answer: line }, None);
                }
                _ => {}
            }
        }
        match status.as_u16() {
            200..=299 => (Diagnosis::Page { status, line }, None),
            _ if line.starts_with('<') && status != StatusCode::NOT_FOUND => {
                (Diagnosis::Page { status, line }, None)
            }
            _ => (Diagnosis::WrongPath { path, status: Some(status), works: None }, None),
        }
    }

    /// The server says so, or would have taken the same upgrade without.
    async fn is_about_the_subprotocol(&self, endpoint: &Endpoint, line: &str) -> bool {
        let line = line.to_ascii_lowercase();
        if line.contains("subprotocol") || line.contains("sub-protocol") {
            return true;
        }
        let bare = self.stranger().protocols([""; 0]);
        #[cfg(feature = "tls")]
        let bare = match super::chain::recording::config() {
            Ok((config, _)) => bare.tls(config),
            Err(_) => bare,
        };
        // One that was not offered is chosen all the same: it became a WebSocket.
        matches!(
            crate::connect(self.runtime, endpoint, &bare).await,
            Ok(_) | Err(ConnectError::WebSocket(HandshakeError::Subprotocol { .. }))
        )
    }
}

/// Where a redirect leads, as an MQTT URL.
fn follow(endpoint: &Endpoint, location: &str) -> Option<Endpoint> {
    if let Some(path) = location.strip_prefix('/').filter(|rest| !rest.starts_with('/')) {
        let authority = format!("{}:{}", endpoint.host(), endpoint.port());
        return format!("{}://{authority}/{path}", endpoint.scheme()).parse().ok();
    }
    let (scheme, rest) = location.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Scheme::Ws,
        "https" | "wss" => Scheme::Wss,
        _ => return None,
    };
    format!("{scheme}://{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::follow;

    #[test]
    fn redirects_become_mqtt_urls() {
        let from = "ws://h:8083/mqtt".parse().unwrap();
        let to = |location| follow(&from, location).map(|endpoint| endpoint.to_string());
        assert_eq!(to("https://other/mqtt").as_deref(), Some("wss://other:443/mqtt"));
        assert_eq!(to("/mqtt/").as_deref(), Some("ws://h:8083/mqtt/"));
        assert_eq!(to("ftp://x"), None);
        assert_eq!(to("//other/x"), None);
        assert_eq!(to("relative"), None);
    }
}
