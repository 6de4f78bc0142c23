//! Keep-alive: pings that hold an idle WebSocket open and find out that its peer is gone.
//!
//! No task and no clock on the hot path: receiving and sending set a flag, and a timer that runs twice in an interval
//! looks at the flags.
//!
//! ```text
//!              both directions moved: look again after half an interval
//!             ┌────┐
//!             ▼    │
//!          Watching ──── one direction was silent: ping ────► Waiting
//!             ▲                                                │  │
//!             └──── something arrived before the deadline ─────┘  └─ nothing did: the peer is silent
//! ```

use crate::rt::{Runtime, Sleep};
use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// When a WebSocket pings its peer, and when it gives it up.
///
/// Proxies cut a connection on which nothing moves in one direction for a while, 60 seconds by default with most of
/// them; and a peer whose network is gone is found only by asking it. Any received byte counts as life, not just the
/// pong. It runs while the link is polled for receiving, as every client and broker does.
///
/// ```
/// use mqttkit_ws_transport::{ConnectOptions, ws::KeepAlive};
/// use std::time::Duration;
///
/// let impatient = KeepAlive::every(Duration::from_secs(5)).pong_within(Duration::from_secs(2));
/// let options = ConnectOptions::new().keep_alive(impatient);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// The longest that either direction stays silent. Default 30 s.
    pub interval: Duration,
    /// How long the peer has to show life after a ping. Default 15 s.
    pub pong_deadline: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), pong_deadline: Duration::from_secs(15) }
    }
}

impl KeepAlive {
    /// With this interval, at least a millisecond. It should stay below 60 s, or proxies will cut idle connections.
    pub fn every(interval: Duration) -> Self {
        Self { interval, ..Self::default() }
    }

    /// With this time for the peer to show life after a ping.
    #[must_use]
    pub fn pong_within(mut self, deadline: Duration) -> Self {
        self.pong_deadline = deadline;
        self
    }
}

/// What the engine shall do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// Nothing arrived for this long after the ping.
    Silent(Duration),
}

/// What moved since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) received: bool,
    pub(super) sent: bool,
}

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Watch {
    timer: Box<dyn Timer>,
    look: Duration,
    pong_deadline: Duration,
    waiting: bool,
    /// Who the error shall name.
    pub(super) peer: Box<str>,
}

impl Watch {
    pub(super) fn new<R: Runtime>(runtime: &R, keep_alive: KeepAlive, peer: Box<str>) -> Self {
        let look = keep_alive.interval.max(Duration::from_millis(1)) / 2;
        let timer = Box::new(OnRuntime { sleep: runtime.sleep(look), runtime: runtime.clone() });
        Self { timer, look, pong_deadline: keep_alive.pong_deadline, waiting: false, peer }
    }

    /// Call it when nothing is there to receive.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Due {
        while self.timer.poll_end(cx).is_ready() {
            if self.waiting {
                if !moved.received {
                    return Due::Silent(self.pong_deadline);
                }
                self.waiting = false;
                // The rest of the half interval that began with the ping.
                self.timer.start(self.look.saturating_sub(self.pong_deadline));
            } else if moved.received && moved.sent {
                *moved = Moved::default();
                self.timer.start(self.look);
            } else {
                self.waiting = true;
                *moved = Moved { received: false, sent: true };
                self.timer.start(self.pong_deadline);
                return Due::Ping;
            }
        }
        Due::Nothing
    }
}

/// A timer of any runtime. The link's type does not name its runtime; a call through a box twice in an interval does
/// not matter.
trait Timer: Send + Debug {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    fn start(&mut self, after: Duration);
}

#[derive(Debug)]
struct OnRuntime<R: Runtime> {
    runtime: R,
    sleep: R::Sleep,
}

impl<R: Runtime> Timer for OnRuntime<R> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        pin!(&mut self.sleep).poll(cx)
    }
    fn start(&mut self, after: Duration) {
        self.sleep.reset(self.runtime.now().saturating_add(after));
    }
}
