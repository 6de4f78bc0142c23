//! The runtime with its type erased, so that a `Broker` is a plain type whatever it runs on.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mqttkit_codec::Instant;
use mqttkit_ws_transport::{Acceptor, ListenOptions, Listener, Runtime, Sleep};

use crate::broker::Inner;
use crate::listener::{self, FrontDoor, Listen, ListenError, Running, Signs};
use crate::log::Log;
use crate::policy::BoxFuture;

/// A timer of whatever runtime.
pub(crate) type Timer = Box<dyn Sleep>;

/// What the broker asks of a runtime. Implemented for every [`Runtime`].
pub(crate) trait AnyRuntime: Debug + Send + Sync {
    fn spawn(&self, future: BoxFuture<'static, ()>);

    fn now(&self) -> Instant;

    fn sleep_until(&self, deadline: Instant) -> Timer;

    /// Opens a socket and accepts from it in the background. The result names the address it listens on.
    fn listen(
        &self,
        inner: Arc<Inner>,
        listen: Listen,
        running: Arc<Running>,
    ) -> BoxFuture<'static, Result<SocketAddr, ListenError>>;
}

impl<R: Runtime> AnyRuntime for R {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        Runtime::spawn(self, future);
    }

    fn now(&self) -> Instant {
        Instant::new(Runtime::now(self))
    }

    fn sleep_until(&self, deadline: Instant) -> Timer {
        Box::new(Runtime::sleep_until(self, deadline.since_origin()))
    }

    fn listen(
        &self,
        inner: Arc<Inner>,
        listen: Listen,
        running: Arc<Running>,
    ) -> BoxFuture<'static, Result<SocketAddr, ListenError>> {
        let runtime = self.clone();
        Box::pin(async move {
            let named = listen.name();
            let limits = listen.limits();
            let (address, scheme, options) = listen.into_parts(inner.config(), inner.signpost());
            let path = options.served_path().to_owned();
            let tls = options.has_tls();
            let door_options = options.clone();
            let acceptor = match scheme {
                Some(scheme) => Acceptor::new(runtime.clone(), scheme, options)?,
                None => Acceptor::any(runtime.clone(), options),
            };
            let open = async {
                let listener = Runtime::listen(&runtime, address, &ListenOptions::default()).await?;
                let local = listener.local_addr()?;
                Ok::<_, io::Error>((listener, local))
            };
            let (listener, local) = open.await.map_err(|source| ListenError::Io { address, source })?;
            let member = inner.register(running.notify()).ok_or(ListenError::ShuttingDown)?;
            let name = named.unwrap_or_else(|| listener::url(scheme, local, &path));
            Log::listening(&name, local);
            let signs = Signs::put(inner.signpost(), scheme, tls, local.port(), &path);
            let door = FrontDoor::new(limits, door_options, name, signs);
            let accepting =
                listener::accept(inner, runtime.clone(), listener, acceptor, running, member, door);
            Runtime::spawn(&runtime, accepting);
            Ok(local)
        })
    }
}
