//! The seams: in-memory links, streams of the futures family, a message transport of one's own, boxed links.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use bytes::{Buf, Bytes, BytesMut};
use mqttkit_ws_transport::ws::{WsFrames, WsLimits, WsRole};
use mqttkit_ws_transport::{
    AcceptFault, AcceptOptions, Accepted, Acceptor, ByteStream, ConnectOptions, Endpoint, Frames, FramesLink,
    FuturesIo, Link, LinkError, LinkExt, ListenOptions, Listener, MAX_FRAME_PAYLOAD, MemoryStream, Runtime,
    Scheme, Sleep, StreamLink, TokioRuntime, connect_over, pipe, rt,
};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use support::{Noise, echo, recv_exact};

#[tokio::test]
async fn a_pipe_moves_everything_within_its_capacity() {
    for capacity in [0, 1, 10, 100_000] {
        let (mut near, mut far) = pipe(capacity);
        let server = tokio::spawn(async move { echo(&mut far).await });
        let data = Noise::new(1).bytes(5_000);
        for piece in data.chunks(capacity.clamp(1, 700)) {
            near.send_all(&mut &piece[..]).await.unwrap();
            assert_eq!(recv_exact(&mut near, piece.len()).await, piece);
        }
        near.finish().await.unwrap();
        server.await.unwrap().unwrap();
    }
}

/// What is made for a large packet takes no byte of the next, whichever family the stream is of.
#[tokio::test]
async fn room_that_was_made_is_filled_and_not_exceeded() {
    async fn check(mut near: impl Link, mut far: impl Link + 'static) {
        let data = Noise::new(2).bytes(30_000);
        let sent = data.clone();
        let sender = tokio::spawn(async move { far.send_all(&mut &sent[..]).await.map(|()| far) });
        let mut buf = BytesMut::with_capacity(20_000);
        let room = buf.capacity();
        while buf.len() < room {
            let before = buf.len();
            let count = std::future::poll_fn(|cx| near.poll_recv_room(cx, &mut buf)).await.unwrap();
            assert_eq!(buf.len() - before, count);
            assert_eq!(buf.capacity(), room, "it needs no more room than was made");
        }
        assert_eq!(buf, data[..room]);
        assert_eq!(recv_exact(&mut near, data.len() - room).await, data[room..]);
        sender.await.unwrap().unwrap();
    }
    let (near, far) = tokio::io::duplex(7_000);
    check(StreamLink::from_tokio(near), StreamLink::from_tokio(far)).await;
    let (near, far) = MemoryStream::pair(7_000);
    check(StreamLink::new(near), StreamLink::new(far)).await;
    for role in [WsRole::Client, WsRole::Server] {
        let (near, far) = MemoryStream::pair(7_000);
        let other = if role == WsRole::Client { WsRole::Server } else { WsRole::Client };
        let link =
            |stream, role| FramesLink::new(WsFrames::new(stream, role, Vec::new(), WsLimits::default()));
        check(link(near, role), link(far, other)).await;
    }
}

/// A task that has much to do lets the future go first that waits for what it has done, the one of `block_on` too.
#[tokio::test]
async fn a_task_that_is_woken_later_comes_after_the_others() {
    let runtime = TokioRuntime::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let (told, tell) = (Arc::new(tokio::sync::Notify::new()), Arc::clone(&polls));
    let waiting = Arc::clone(&told);
    runtime.spawn(std::future::poll_fn(move |cx| {
        tell.fetch_add(1, Ordering::Relaxed);
        told.notify_one();
        runtime.wake_later(cx);
        Poll::Pending
    }));
    for polled in 1..=100 {
        waiting.notified().await;
        assert_eq!(polls.load(Ordering::Relaxed), polled);
    }
}

#[tokio::test]
async fn a_pipe_is_full_at_its_capacity_and_wakes_when_read() {
    let (mut near, mut far) = pipe(3);
    let (waker, woken) = counter();
    let mut cx = Context::from_waker(&waker);
    let mut data = &b"abcde"[..];
    assert!(near.poll_send(&mut cx, &mut data).is_pending());
    assert_eq!(data, b"de");
    let mut buf = BytesMut::new();
    assert_eq!(far.recv(&mut buf).await.unwrap(), 3);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(near.poll_send(&mut cx, &mut data).is_ready());
    assert_eq!(far.recv(&mut buf).await.unwrap(), 2);
    assert_eq!(&buf[..], b"abcde");
    // A waiting reader is woken by bytes, by the end, and by the loss of the other side.
    assert!(far.poll_recv(&mut cx, &mut buf).is_pending());
    near.send_all(&mut &b"f"[..]).await.unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(far.recv(&mut buf).await.unwrap(), 1);
    assert!(far.poll_recv(&mut cx, &mut buf).is_pending());
    near.close().await.unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_half_closed_pipe_still_carries_the_other_half() {
    let (mut near, mut far) = pipe(100);
    near.send_all(&mut &b"last"[..]).await.unwrap();
    near.close().await.unwrap();
    assert!(matches!(near.send_all(&mut &b"more"[..]).await, Err(LinkError::Closed)));
    let mut buf = BytesMut::new();
    assert_eq!(far.recv(&mut buf).await.unwrap(), 4);
    assert_eq!(far.recv(&mut buf).await.unwrap(), 0);
    far.send_all(&mut &b"answer"[..]).await.unwrap();
    assert_eq!(recv_exact(&mut near, 6).await, b"answer");
    drop(near);
    assert!(
        matches!(far.send_all(&mut &b"x"[..]).await, Err(LinkError::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe)
    );
}

/// A stream with the IO traits of the futures family, as async-std and smol have them.
struct OfTheFuturesFamily(MemoryStream);

impl futures_io::AsyncRead for OfTheFuturesFamily {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }
}

impl futures_io::AsyncWrite for OfTheFuturesFamily {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, data)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

#[tokio::test]
async fn streams_of_the_futures_family_carry_links_and_websockets() {
    let (near, far) = MemoryStream::pair(1_000);
    let mut near = StreamLink::from_futures(OfTheFuturesFamily(near));
    let server =
        tokio::spawn(async move { echo(&mut StreamLink::from_futures(OfTheFuturesFamily(far))).await });
    // Several chunks: the vectored path.
    let mut data =
        Bytes::from_static(b"one ").chain(Bytes::from_static(b"two ")).chain(Bytes::from_static(b"three"));
    near.send_all(&mut data).await.unwrap();
    assert_eq!(recv_exact(&mut near, 13).await, b"one two three");
    near.finish().await.unwrap();
    server.await.unwrap().unwrap();

    let (near, far) = MemoryStream::pair(1_000);
    let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Ws, AcceptOptions::new()).unwrap();
    let server = tokio::spawn(async move {
        let stream = FuturesIo::new(OfTheFuturesFamily(far));
        let Ok(Accepted::Link(mut link, _)) = acceptor.accept(stream, None).await else { panic!() };
        echo(&mut link).await
    });
    let endpoint: Endpoint = "ws://in-memory".parse().unwrap();
    let stream = FuturesIo::new(OfTheFuturesFamily(near));
    let mut link =
        connect_over(&TokioRuntime::new(), stream, &endpoint, &ConnectOptions::new()).await.unwrap();
    link.send_all(&mut &b"hello"[..]).await.unwrap();
    assert_eq!(recv_exact(&mut link, 5).await, b"hello");
    link.finish().await.unwrap();
    server.await.unwrap().unwrap();
}

/// A message transport as a user would bring it: a queue of messages.
#[derive(Default)]
struct Queue {
    incoming: VecDeque<Bytes>,
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Frames for Queue {
    fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, LinkError>>> {
        Poll::Ready(self.incoming.pop_front().map(Ok))
    }
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(&mut self, message: Bytes) -> Result<(), LinkError> {
        self.sent.lock().unwrap().push(message);
        Ok(())
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_message_transport_of_ones_own_is_a_link() {
    let incoming = ["ab", "", "c"].map(Bytes::from).into();
    let sent = Arc::default();
    let mut link: Box<dyn Link> = Box::new(FramesLink::new(Queue { incoming, sent: Arc::clone(&sent) }));
    let mut buf = BytesMut::new();
    assert_eq!(link.recv(&mut buf).await.unwrap(), 2);
    assert_eq!(link.recv(&mut buf).await.unwrap(), 1, "an empty message is not the end");
    assert_eq!(link.recv(&mut buf).await.unwrap(), 0);
    assert_eq!(&buf[..], b"abc");

    let large = Bytes::from(vec![7; MAX_FRAME_PAYLOAD + 5]);
    link.send_all(&mut large.clone()).await.unwrap();
    link.finish().await.unwrap();
    let sent = sent.lock().unwrap();
    assert_eq!(sent.iter().map(Bytes::len).collect::<Vec<_>>(), [MAX_FRAME_PAYLOAD, 5]);
    assert_eq!(sent[0].as_ptr(), large.as_ptr(), "one chunk is handed on without a copy");
}

#[tokio::test]
async fn the_listener_listens_again_at_once_and_reports_its_address() {
    let runtime = TokioRuntime::new();
    let options = ListenOptions::default();
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &options).await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = runtime.listen(address, &options).await.unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    let client = runtime.connect(address).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(client.get_ref().local_addr().unwrap(), peer);
    // The server ends first, so that its side of the address lingers in the system.
    drop(server);
    drop(listener);
    drop(client);
    runtime.listen(address, &options).await.unwrap();
}

#[test]
fn accept_errors_are_sorted() {
    let of = |code| AcceptFault::of(&io::Error::from_raw_os_error(code));
    #[cfg(unix)]
    for shortage in [24, 23, 12] {
        assert_eq!(of(shortage), AcceptFault::Shortage);
    }
    #[cfg(unix)]
    assert_eq!(of(9), AcceptFault::Listener);
    assert_eq!(AcceptFault::of(&io::ErrorKind::ConnectionAborted.into()), AcceptFault::Connection);
}

#[tokio::test(start_paused = true)]
async fn timers_obey_the_runtimes_clock() {
    let runtime = TokioRuntime::new();
    let hour = Duration::from_secs(3_600);
    let mut sleep = runtime.sleep(hour);
    (&mut sleep).await;
    assert!(runtime.now() >= hour);
    sleep.reset(runtime.now() + hour);
    let result = rt::timeout(&runtime, Duration::from_secs(1), &mut sleep).await;
    assert_eq!(result, Err(rt::Elapsed));
    sleep.reset(Duration::ZERO);
    (&mut sleep).await;
    assert_eq!(
        rt::timeout(&runtime, Duration::ZERO, async { 5 }).await,
        Ok(5),
        "what is ready is not too late"
    );
    // For ever is allowed.
    drop(runtime.sleep(Duration::MAX));
}

struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter() -> (Waker, Arc<Counter>) {
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    (Waker::from(Arc::clone(&counter)), counter)
}
