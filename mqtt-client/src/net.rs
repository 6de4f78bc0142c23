//! `NetConnector`: connects over the network, to several servers in turn, and to where a server sends it.

use crate::connector::{Attempt, Connector, Credentials, Failure, Opened, Recipe};
use crate::error::ConnectError;
use bytes::Bytes;
use mqttkit_ws_transport::{ClientLink, ConnectOptions, Endpoint, Runtime, Target, connect_by};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Connects over the network: TCP, TLS, WebSocket, or WebSocket over TLS, as the URL says.
///
/// With several servers each attempt that fails goes on to the next one, in a circle. One that was connected is tried again
/// first.
#[derive(Debug, Clone)]
pub struct NetConnector<R> {
    runtime: R,
    /// Where to, first of all.
    pub endpoint: Arc<Endpoint>,
    /// With which headers, TLS configuration and proxy. Its timeout is replaced by the client's.
    pub options: ConnectOptions,
    recipe: Option<Recipe>,
    /// `endpoint` and what may take its place.
    servers: Vec<Endpoint>,
    /// Which of them is next.
    next: usize,
    detour: Detour,
}

/// Where a server has sent the client for a while.
#[derive(Debug, Clone)]
enum Detour {
    None,
    /// The next attempt goes there.
    Ahead(Endpoint),
    /// The latest attempt went there.
    Taken,
}

impl<R: Runtime> NetConnector<R> {
    /// To `endpoint`.
    pub fn new(runtime: R, endpoint: Endpoint, options: ConnectOptions) -> Self {
        Self {
            runtime,
            servers: vec![endpoint.clone()],
            endpoint: Arc::new(endpoint),
            options,
            recipe: None,
            next: 0,
            detour: Detour::None,
        }
    }

    /// And to these when it fails, in turn. One that names no user has the user name and password of the first.
    #[must_use]
    pub fn or_else(mut self, servers: impl IntoIterator<Item = Endpoint>) -> Self {
        let first = Endpoint::clone(&self.endpoint);
        self.servers.extend(servers.into_iter().map(|server| with_credentials_of(server, &first)));
        self
    }

    pub(crate) fn with_recipe(mut self, recipe: Option<Recipe>) -> Self {
        self.recipe = recipe;
        self
    }

    /// Where this attempt goes, after what became of the one before.
    fn choose(&mut self, last_failure: Option<&Failure>) -> Endpoint {
        match std::mem::replace(&mut self.detour, Detour::None) {
            Detour::Ahead(endpoint) => {
                self.detour = Detour::Taken;
                return endpoint;
            }
            // Back to where it came from.
            Detour::Taken => {}
            Detour::None => {
                if matches!(last_failure, Some(Failure::Connect(_))) {
                    self.next = (self.next + 1) % self.servers.len();
                }
            }
        }
        self.servers[self.next].clone()
    }
}

fn with_credentials_of(endpoint: Endpoint, other: &Endpoint) -> Endpoint {
    match (endpoint.username(), endpoint.password(), other.username(), other.password()) {
        (None, None, Some(user_name), Some(password)) => {
            let (user_name, password) = (user_name.to_owned(), password.to_owned());
            endpoint.with_credentials(user_name, password)
        }
        _ => endpoint,
    }
}

/// The first place that a Server Reference names, as a URL or as `host` or `host:port`, reached like `from`.
/// (MQTT 5.0, chapter 4.13)
fn referenced(reference: &str, from: &Endpoint) -> Option<Endpoint> {
    let first = reference.split_ascii_whitespace().next()?;
    let endpoint: Endpoint = if first.contains("://") {
        first.parse().ok()?
    } else {
        format!("{}://{first}{}", from.scheme(), from.path()).parse().ok()?
    };
    // What was secret on the way stays so.
    let safe = endpoint.scheme().is_tls() || !from.scheme().is_tls();
    safe.then(|| with_credentials_of(endpoint, from))
}

impl<R: Runtime> Connector for NetConnector<R> {
    type Link = ClientLink<R>;

    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let opened = self.attempt(1, None, timeout);
        async move { Ok(opened.await?.link) }
    }

    fn attempt(
        &mut self,
        number: u32,
        last_failure: Option<Failure>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Opened<Self::Link>, ConnectError>> + Send + 'static {
        let endpoint = self.choose(last_failure.as_ref());
        let target = Target::new(endpoint, self.options.clone());
        let (runtime, recipe, first) =
            (self.runtime.clone(), self.recipe.clone(), Arc::clone(&self.endpoint));
        async move {
            let target = async move {
                match recipe {
                    Some(Recipe(recipe)) => recipe(Attempt { number, last_failure, target }).await,
                    None => Ok(target),
                }
            };
            let (link, target) = connect_by(&runtime, timeout, target).await?;
            let opened = Opened::new(link);
            let said = (target.endpoint.username(), target.endpoint.password());
            // Those of the first URL are in the options already, where others may have taken their place.
            if said == (first.username(), first.password()) {
                return Ok(opened);
            }
            Ok(opened.credentials(Credentials {
                user_name: said.0.map(str::to_owned),
                password: said.1.map(|password| Bytes::copy_from_slice(password.as_bytes())),
            }))
        }
    }

    fn adapts(&self) -> bool {
        self.recipe.is_some()
    }

    fn servers(&self) -> u32 {
        u32::try_from(self.servers.len()).unwrap_or(u32::MAX)
    }

    fn redirect(&mut self, reference: &str, moved: bool) -> bool {
        let Some(endpoint) = referenced(reference, &self.servers[self.next]) else { return false };
        if moved {
            self.servers[self.next] = endpoint.clone();
        }
        self.detour = Detour::Ahead(endpoint);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        url.parse().unwrap()
    }

    #[test]
    fn a_server_reference_is_a_url_or_a_host_reached_the_same_way() {
        let from = endpoint("wss://ann:pw@a:8084/path");
        for (reference, expected) in [
            ("b", Some("wss://b:443/path")),
            ("b:99 c", Some("wss://b:99/path")),
            ("[::1]:7", Some("wss://[::1]:7/path")),
            ("mqtts://b", Some("mqtts://b:8883")),
            ("mqtt://b", None),
            ("", None),
            ("b:x", None),
        ] {
            let found = referenced(reference, &from);
            assert_eq!(found.as_ref().map(ToString::to_string).as_deref(), expected, "{reference}");
            assert!(found.is_none_or(|found| found.username() == Some("ann")));
        }
    }
}
