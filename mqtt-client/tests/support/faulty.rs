//! A link that fails: it is cut, splits what passes at any byte, delays it, or swallows it like a dead network.

use bytes::{Buf, BytesMut};
use mqttkit_client::transport::{ConnectOptions, Link, LinkError, TokioRuntime};
use mqttkit_client::{ConnectError, Connector, NetConnector};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Numbers that look random and are the same in each run.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// What goes wrong.
#[derive(Clone)]
pub struct Faults {
    /// How long a link lives, in milliseconds.
    pub life: Range<u64>,
    /// The bytes of one piece.
    pub piece: Range<u64>,
    /// One step in so many waits.
    pub delay_one_in: u64,
    /// So long, in microseconds.
    pub delay: Range<u64>,
    /// One link in so many is dead for the second half of its life: it swallows everything.
    pub dead_one_in: u64,
}

impl Faults {
    /// What the soak is about: cut every 0.2 to 2 s.
    pub fn soak() -> Self {
        Self { life: 200..2000, piece: 1..3000, delay_one_in: 50, delay: 100..5000, dead_one_in: 4 }
    }
}

/// Connects over the network, by links that fail.
pub struct Faulty {
    inner: NetConnector<TokioRuntime>,
    faults: Faults,
    dice: Dice,
    cuts: Arc<AtomicUsize>,
}

impl Faulty {
    pub fn new(url: &str, faults: Faults, seed: u64) -> Self {
        let inner = NetConnector::new(TokioRuntime::new(), url.parse().unwrap(), ConnectOptions::new());
        Self { inner, faults, dice: Dice::new(seed), cuts: Arc::default() }
    }

    /// How many links were cut so far.
    pub fn cuts(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.cuts)
    }
}

impl Connector for Faulty {
    type Link = FaultyLink<<NetConnector<TokioRuntime> as Connector>::Link>;

    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let link = self.inner.connect(timeout);
        let (faults, dice) = (self.faults.clone(), Dice::new(self.dice.next()));
        let cuts = Arc::clone(&self.cuts);
        async move { Ok(FaultyLink::new(link.await?, faults, dice, cuts)) }
    }
}

pub struct FaultyLink<L> {
    /// None after the cut.
    inner: Option<L>,
    faults: Faults,
    dice: Dice,
    cuts: Arc<AtomicUsize>,
    cut: Pin<Box<Sleep>>,
    /// From when on it is dead.
    dead: Option<Instant>,
    delay: Option<Pin<Box<Sleep>>>,
    /// Received, and not given out yet.
    held: BytesMut,
}

impl<L> FaultyLink<L> {
    fn new(inner: L, faults: Faults, mut dice: Dice, cuts: Arc<AtomicUsize>) -> Self {
        let life = Duration::from_millis(dice.within(faults.life.clone()));
        let now = Instant::now();
        let dead = dice.one_in(faults.dead_one_in).then_some(now + life / 2);
        Self {
            inner: Some(inner),
            faults,
            dice,
            cuts,
            cut: Box::pin(sleep_until(now + life)),
            dead,
            delay: None,
            held: BytesMut::new(),
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.is_some_and(|since| Instant::now() >= since)
    }

    /// Whether it is cut, or waits.
    fn poll_faults(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut L, LinkError>> {
        if self.inner.is_some() && self.cut.as_mut().poll(cx).is_ready() {
            // Dropped without a word: what lies in the socket is lost.
            self.inner = None;
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        if self.delay.is_none() && self.dice.one_in(self.faults.delay_one_in) {
            let delay = Duration::from_micros(self.dice.within(self.faults.delay.clone()));
            self.delay = Some(Box::pin(sleep_until(Instant::now() + delay)));
        }
        if self.inner.is_some()
            && let Some(delay) = &mut self.delay
        {
            ready!(delay.as_mut().poll(cx));
            self.delay = None;
        }
        Poll::Ready(self.inner.as_mut().ok_or(LinkError::ClosedAbruptly))
    }
}

impl<L: Link> Link for FaultyLink<L> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        ready!(self.poll_faults(cx))?;
        if self.is_dead() {
            return Poll::Pending;
        }
        if self.held.is_empty()
            && let Some(inner) = &mut self.inner
            && ready!(inner.poll_recv(cx, &mut self.held))? == 0
        {
            return Poll::Ready(Ok(0));
        }
        let piece = self.dice.within(self.faults.piece.clone()) as usize;
        let piece = self.held.split_to(piece.min(self.held.len()));
        buf.extend_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        let dead = self.is_dead();
        while data.has_remaining() {
            let piece = self.dice.within(self.faults.piece.clone()) as usize;
            let inner = ready!(self.poll_faults(cx))?;
            if dead {
                data.advance(data.remaining());
                break;
            }
            let mut piece = data.take(piece);
            ready!(inner.poll_send(cx, &mut piece))?;
            ready!(inner.poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &mut self.inner {
            Some(inner) => inner.poll_flush(cx),
            None => Poll::Ready(Err(LinkError::ClosedAbruptly)),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &mut self.inner {
            Some(inner) => inner.poll_close(cx),
            None => Poll::Ready(Err(LinkError::ClosedAbruptly)),
        }
    }
}
