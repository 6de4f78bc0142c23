//! How each runtime runs a test, and what all tests share: TLS configurations and the limit of time.

use mqttkit_ws_transport::tls::{ClientTls, ServerTls};
use mqttkit_ws_transport::{
    AcceptOptions, AsyncStdRuntime, ConnectOptions, Runtime, SmolRuntime, TokioRuntime, rt, rustls,
};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub trait On {
    type Runtime: Runtime;
    fn block_on<F: Future<Output = ()>>(body: impl FnOnce(Self::Runtime) -> F);
}

/// Runs a body; one that hangs fails.
pub fn run<O: On, F: Future<Output = ()>>(body: impl FnOnce(O::Runtime) -> F) {
    O::block_on(|runtime| async move {
        let limited = runtime.clone();
        let result = rt::timeout(&limited, Duration::from_secs(60), Box::pin(body(runtime))).await;
        result.expect("it hangs");
    });
}

pub struct TokioCurrentThread;

impl On for TokioCurrentThread {
    type Runtime = TokioRuntime;
    fn block_on<F: Future<Output = ()>>(body: impl FnOnce(TokioRuntime) -> F) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async { body(TokioRuntime::new()).await });
    }
}

pub struct TokioMultiThread;

impl On for TokioMultiThread {
    type Runtime = TokioRuntime;
    fn block_on<F: Future<Output = ()>>(body: impl FnOnce(TokioRuntime) -> F) {
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        tokio.block_on(async { body(TokioRuntime::new()).await });
    }
}

pub struct AsyncStd;

impl On for AsyncStd {
    type Runtime = AsyncStdRuntime;
    fn block_on<F: Future<Output = ()>>(body: impl FnOnce(AsyncStdRuntime) -> F) {
        async_std::task::block_on(async {
            without_tokio();
            body(AsyncStdRuntime::new()).await;
        });
    }
}

pub struct Smol;

impl On for Smol {
    type Runtime = SmolRuntime;
    fn block_on<F: Future<Output = ()>>(body: impl FnOnce(SmolRuntime) -> F) {
        smol::block_on(async {
            without_tokio();
            body(SmolRuntime::new()).await;
        });
    }
}

pub struct SmolOwnExecutor;

impl On for SmolOwnExecutor {
    type Runtime = SmolRuntime;
    fn block_on<F: Future<Output = ()>>(body: impl FnOnce(SmolRuntime) -> F) {
        let executor = Arc::new(smol::Executor::new());
        smol::block_on(executor.run(async {
            without_tokio();
            body(SmolRuntime::on(Arc::clone(&executor))).await;
        }));
    }
}

/// On the other runtimes nothing may need tokio's: it would panic, since it is not there.
fn without_tokio() {
    assert!(tokio::runtime::Handle::try_current().is_err());
}

/// What a thread returns, waited for without standing in the way of the runtime's tasks.
pub async fn joined<R: Runtime, T>(runtime: &R, thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    thread.join().expect("the other side failed, see above")
}

pub struct Tls {
    pub accept: AcceptOptions,
    pub connect: ConnectOptions,
    pub server: Arc<rustls::ServerConfig>,
    pub client: Arc<rustls::ClientConfig>,
}

/// A certificate for `localhost`, and who trusts it.
pub fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let server: Arc<_> = ServerTls::from_pem(cert.clone(), key).build().unwrap().into();
        let client: Arc<_> = ClientTls::new().only_given_cas().ca_pem(cert).build().unwrap().into();
        Tls {
            accept: AcceptOptions::new().tls(Arc::clone(&server)),
            connect: ConnectOptions::new().tls(Arc::clone(&client)),
            server,
            client,
        }
    })
}
