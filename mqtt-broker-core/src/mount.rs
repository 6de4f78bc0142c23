//! `Mount`: MQTT at a route of a host's own HTTP server, on its port, behind its middleware.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use mqttkit_ws_transport::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use mqttkit_ws_transport::{AcceptOptions, Accepted, Acceptor, ByteStream, Runtime};
use tracing::debug;

use crate::broker::Broker;
use crate::policy::BoxFuture;

/// Makes a route of an HTTP server a door to the broker: a WebSocket upgrade that the server has read is judged and
/// answered here, as on a listener of the broker's own, and the connection is served when the server hands it over.
///
/// Sub-protocol, origins, authenticators and forwarded addresses are as the [`AcceptOptions`] say; the path is the
/// server's affair. The whole request, with its cookies, is in
/// [`PeerInfo::upgrade`](mqttkit_ws_transport::PeerInfo::upgrade) for the policy. It works with any server that tells
/// the head of a request and gives the connection away later, as hyper does.
///
/// ```
/// use mqttkit_broker_core::transport::http::{Request, Response};
/// use mqttkit_broker_core::transport::{AcceptOptions, ByteStream, TokioRuntime};
/// use mqttkit_broker_core::{Broker, Mount};
///
/// let broker = Broker::builder().build();
/// let mount = Mount::tokio(&broker, AcceptOptions::new().origins(["https://app.example"]));
///
/// async fn route<S: ByteStream + 'static>(
///     mount: Mount<TokioRuntime>,
///     request: Request<()>,
///     upgraded: impl Future<Output = std::io::Result<S>> + Send + 'static,
/// ) -> Response<bytes::Bytes> {
///     mount.answer(request, None, upgraded).await
/// }
/// ```
///
/// `examples/src/bin/mount_axum.rs` is a whole server.
#[derive(Clone, Debug)]
pub struct Mount<R> {
    broker: Broker,
    runtime: R,
    acceptor: Acceptor<R>,
}

#[cfg(feature = "tokio")]
impl Mount<mqttkit_ws_transport::TokioRuntime> {
    /// On tokio.
    pub fn tokio(broker: &Broker, options: AcceptOptions) -> Self {
        Self::new(broker, mqttkit_ws_transport::TokioRuntime::new(), options)
    }
}

impl<R: Runtime> Mount<R> {
    /// On this runtime.
    pub fn new(broker: &Broker, runtime: R, options: AcceptOptions) -> Self {
        // The host's router has matched the path; the first bytes are those of an HTTP request.
        let acceptor = Acceptor::any(runtime.clone(), options.path_prefix("/"));
        Self { broker: broker.clone(), runtime, acceptor }
    }

    /// Answers a request: with 101 when it becomes a WebSocket, and otherwise with what is wrong with it. The answer is
    /// for the client, and `upgraded` is to give the connection when the client has it; then the broker serves it in
    /// the background.
    pub async fn answer<S: ByteStream + 'static>(
        &self,
        request: Request<()>,
        address: Option<SocketAddr>,
        upgraded: impl Future<Output = io::Result<S>> + Send + 'static,
    ) -> Response<Bytes> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let stream = Upgraded {
            head: head(&request),
            read: 0,
            written: Some(Arc::clone(&written)),
            connection: Connection::Coming(Box::pin(upgraded)),
        };
        let accepted = self.acceptor.accept(stream, address).await;
        let answer = std::mem::take(&mut *lock(&written));
        match accepted {
            Ok(Accepted::Link(link, peer)) => {
                let served = self.broker.serve(link, peer);
                Runtime::spawn(&self.runtime, async move {
                    if let Err(error) = served.await {
                        debug!(%error, "not served");
                    }
                });
            }
            Ok(_) => {}
            Err(error) => debug!(?address, %error, "upgrade refused"),
        }
        response(&answer).unwrap_or_else(|| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        })
    }
}

/// A connection that the host's server still has. Until the answer is written, what is read is the head of the request
/// and what is written is kept for the server; from then on it is the connection itself.
struct Upgraded<S> {
    head: Vec<u8>,
    read: usize,
    /// `None` once the answer is complete.
    written: Option<Arc<Mutex<Vec<u8>>>>,
    connection: Connection<S>,
}

enum Connection<S> {
    Coming(BoxFuture<'static, io::Result<S>>),
    Here(S),
    Failed,
}

impl<S: ByteStream> Upgraded<S> {
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut S>> {
        if let Connection::Coming(coming) = &mut self.connection {
            self.connection = match ready!(coming.as_mut().poll(cx)) {
                Ok(stream) => Connection::Here(stream),
                Err(error) => {
                    self.connection = Connection::Failed;
                    return Poll::Ready(Err(error));
                }
            };
        }
        match &mut self.connection {
            Connection::Here(stream) => Poll::Ready(Ok(stream)),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: ByteStream> ByteStream for Upgraded<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let rest = &self.head[self.read..];
        if !rest.is_empty() {
            let count = rest.len().min(buf.len());
            buf[..count].copy_from_slice(&rest[..count]);
            self.read += count;
            if self.read == self.head.len() {
                (self.head, self.read) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(count));
        }
        if self.written.is_some() {
            // Refused: the body of the request, if there is one, is the server's affair.
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_connection(cx))?.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(written) = &self.written {
            let mut answer = lock(written);
            answer.extend_from_slice(data);
            let switched = answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\r\n\r\n");
            drop(answer);
            if switched {
                self.written = None;
            }
            return Poll::Ready(Ok(data.len()));
        }
        ready!(self.poll_connection(cx))?.poll_write(cx, data)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &self.connection {
            Connection::Here(_) => ready!(self.poll_connection(cx))?.poll_write_vectored(cx, slices),
            _ => {
                self.poll_write(cx, slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| slice))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.connection, Connection::Here(stream) if stream.is_write_vectored())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Connection::Here(stream) => stream.poll_flush(cx),
            // Nothing is held back here.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Connection::Here(stream) => stream.poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// The head of a request as it came. The version is what an upgrade must have: one of HTTP/2 has no `Upgrade` in it,
/// and is refused for that.
fn head(request: &Request<()>) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// An answer that was written as text.
fn response(answer: &[u8]) -> Option<Response<Bytes>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse::<StatusCode>().ok()?;
    let mut response = Response::new(Bytes::copy_from_slice(&answer[end + 4..]));
    *response.status_mut() = status;
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name = name.parse::<HeaderName>().ok()?;
        // Of the connection, not of the answer: the server has its own.
        let of_connection = name == header::CONTENT_LENGTH || name == header::CONNECTION;
        if status == StatusCode::SWITCHING_PROTOCOLS || !of_connection {
            response.headers_mut().append(name, HeaderValue::from_str(value).ok()?);
        }
    }
    Some(response)
}

fn lock(written: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}
