//! `Ticket`: what becomes of one message, to be awaited, asked, cancelled, given a deadline or dropped.

use crate::alarm::Alarm;
use crate::error::PublishError;
use crate::shared::Shared;
use crate::store::{Kept, StoreError, Wait};
use mqttkit_codec::{PacketId, ReasonCode};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What became of a message.
pub(crate) type Outcome = Result<ReasonCode, PublishError>;

/// What becomes of a message: await it, ask it, cancel it, or drop it and the message goes its way.
///
/// It resolves
/// * for QoS 0 when the message has been handed to the operating system,
/// * for QoS 1 with the reason of PUBACK, for QoS 2 with "success" once PUBCOMP is there. In MQTT 5.0 the reason may be
///   "no matching subscribers". It survives reconnects, however many are needed.
/// * with an error when the message was refused, dropped, cancelled, has expired, or the client has ended.
///
/// It is the same for every version of the protocol.
///
/// ```no_run
/// # use mqttkit_client::{Client, QoS, TicketState};
/// # use std::time::Duration;
/// # async fn example(client: Client) -> Result<(), mqttkit_client::PublishError> {
/// let ticket = client.publish("orders", "42", QoS::ExactlyOnce).await?;
/// if ticket.state() == TicketState::Queued && ticket.cancel() {
///     println!("never sent");
/// }
/// let ticket = client.publish("orders", "43", QoS::ExactlyOnce).await?;
/// ticket.within(Duration::from_secs(5)).await?; // or an error that says whether it may have been sent
/// # Ok(())
/// # }
/// ```
///
/// Cancel-safe: it can be polled from wherever, dropped at any time and given up on by a timeout.
pub struct Ticket {
    cell: Arc<Cell>,
    shared: Arc<Shared>,
    alarm: Option<Alarm>,
}

/// Where a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketState {
    /// It waits for a connection, for the server's window or for its turn. Not a byte of it has been sent.
    Queued,
    /// Its PUBLISH was handed to the operating system, at least once.
    Written,
    /// PUBREC is there: the server has taken over a QoS 2 message, which will not be sent again.
    Received,
    /// It is over, with this outcome.
    Completed(Result<ReasonCode, PublishError>),
}

impl Ticket {
    pub(crate) fn new(shared: Arc<Shared>) -> (TicketResolver, Self) {
        let cell = Arc::new(Cell::new());
        let resolver = TicketResolver { cell: Some(Arc::clone(&cell)), kept: None };
        (resolver, Self { cell, shared, alarm: None })
    }

    /// Where the message is now.
    pub fn state(&self) -> TicketState {
        let stage = Stage::of(self.cell.stage.load(Ordering::Acquire));
        match stage {
            Stage::Taken { end } if end <= self.shared.counters.bytes_sent() => TicketState::Written,
            Stage::Queued | Stage::Taken { .. } => TicketState::Queued,
            Stage::Received => TicketState::Received,
            Stage::Over => match &*self.cell.lock() {
                Slot::Done(outcome) => TicketState::Completed(outcome.clone()),
                Slot::Open(_) => TicketState::Written,
            },
        }
    }

    /// Whether it has resolved: awaiting it does not wait.
    pub fn is_complete(&self) -> bool {
        matches!(*self.cell.lock(), Slot::Done(_))
    }

    /// The packet identifier under which the message was last sent, for QoS 1 and 2.
    pub fn packet_id(&self) -> Option<PacketId> {
        PacketId::new((self.cell.stage.load(Ordering::Acquire) & ID) as u16)
    }

    /// Waits until the message is in the [`Store`](crate::store::Store), where it survives the process. At once without
    /// a store, and for QoS 0, which is not kept. [`publish`](crate::Client::publish) has waited for it already,
    /// [`try_publish`](crate::Client::try_publish) has not.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The store has failed.
    pub async fn stored(&self) -> Result<(), StoreError> {
        let op = self.cell.op.load(Ordering::Acquire);
        let Some(desk) = self.shared.desk().filter(|_| op > 0) else { return Ok(()) };
        let mut wait: Wait = desk.progress().wait();
        poll_fn(|cx| wait.poll(cx, op)).await
    }

    /// Takes the message back if not a byte of it has been sent: it never will be, and the ticket resolves with
    /// [`PublishError::Cancelled`]. Returns whether that was still possible.
    pub fn cancel(&self) -> bool {
        if !self.cell.cancel() {
            return false;
        }
        self.cell.finish(Err(PublishError::Cancelled));
        self.shared.counters.cancelled.increment();
        self.shared.outbox.remove_cancelled();
        true
    }

    /// Waits so long at most. Then the ticket resolves with [`PublishError::Deadline`], and a message that is still
    /// queued is cancelled; one that was sent goes its way.
    ///
    /// The time counts from this call, by the clock of the runtime. For messages that nobody awaits see
    /// [`Delivery::time_to_live`](crate::Delivery::time_to_live).
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        let deadline = self.shared.now() + time;
        self.alarm = Some(Alarm::new(Arc::clone(&self.shared), deadline));
        self
    }
}

impl Future for Ticket {
    type Output = Result<ReasonCode, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &mut *this.cell.lock() {
            Slot::Done(outcome) => return Poll::Ready(outcome.clone()),
            Slot::Open(Some(waker)) => waker.clone_from(cx.waker()),
            Slot::Open(waker) => *waker = Some(cx.waker().clone()),
        }
        let Some(alarm) = &mut this.alarm else { return Poll::Pending };
        if Pin::new(alarm).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let sent = !this.cancel();
        Poll::Ready(Err(PublishError::Deadline { sent }))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("state", &self.state())
            .field("packet_id", &self.packet_id())
            .finish_non_exhaustive()
    }
}

/// The driver's half of a ticket. To drop it is an answer too.
#[derive(Debug)]
pub(crate) struct TicketResolver {
    cell: Option<Arc<Cell>>,
    /// Of a message that is in the store.
    kept: Option<Box<Kept>>,
}

impl TicketResolver {
    /// For a message whose ticket has ended with the process that had it.
    pub(crate) fn restored(kept: Kept) -> Self {
        Self { cell: Some(Arc::new(Cell::new())), kept: Some(Box::new(kept)) }
    }

    /// The message is in the store now.
    pub(crate) fn keep(&mut self, kept: Kept) {
        if let Some(cell) = &self.cell {
            cell.op.store(kept.op, Ordering::Release);
        }
        self.kept = Some(Box::new(kept));
    }

    /// The message's key in the store.
    pub(crate) fn key(&self) -> Option<u64> {
        self.kept.as_ref().map(|kept| kept.key)
    }

    /// The message leaves the queue. `false` when it was cancelled.
    pub(crate) fn take(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.take())
    }

    /// Its PUBLISH ends at this place in the bytes that are ever sent.
    pub(crate) fn sent(&self, end: u64, id: Option<PacketId>) {
        if let Some(cell) = &self.cell {
            let id = id.map_or(0, |id| u64::from(id.get()));
            cell.stage.store(TAKEN | (end & MAX_END) << ID_BITS | id, Ordering::Release);
        }
    }

    /// Where its PUBLISH ends, if it has been given to a connection and the server has not taken it over.
    pub(crate) fn end(&self) -> Option<u64> {
        match Stage::of(self.cell.as_ref()?.stage.load(Ordering::Relaxed)) {
            Stage::Taken { end } => Some(end),
            _ => None,
        }
    }

    /// Its PUBLISH must be sent once more, under the same identifier, and that has not happened yet.
    pub(crate) fn unsent(&self) {
        if let Some(cell) = &self.cell {
            let id = cell.stage.load(Ordering::Relaxed) & ID;
            cell.stage.store(TAKEN | MAX_END << ID_BITS | id, Ordering::Release);
        }
    }

    /// It is back in the queue, without a byte sent.
    pub(crate) fn put_back(&self) {
        if let Some(cell) = &self.cell {
            cell.stage.store(QUEUED, Ordering::Release);
        }
    }

    /// The server has taken it over.
    pub(crate) fn received(&self) {
        if let Some(cell) = &self.cell {
            let id = cell.stage.load(Ordering::Relaxed) & ID;
            cell.stage.store(RECEIVED | id, Ordering::Release);
        }
    }

    /// Whether nothing of it has been given to a connection.
    pub(crate) fn is_queued(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.stage.load(Ordering::Relaxed) == QUEUED)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cell
            .as_ref()
            .is_some_and(|cell| matches!(Stage::of(cell.stage.load(Ordering::Acquire)), Stage::Over))
    }

    pub(crate) fn resolve(mut self, outcome: Outcome) {
        // At the client's end what is in the store stays there.
        let is_over = !matches!(outcome, Err(PublishError::Closed | PublishError::Store(_)));
        if let Some(kept) = self.kept.take_if(|_| is_over) {
            kept.complete();
        }
        if let Some(cell) = self.cell.take() {
            cell.finish(outcome);
        }
    }
}

impl Drop for TicketResolver {
    fn drop(&mut self) {
        let Some(cell) = self.cell.take() else { return };
        // A message that was cancelled is over, other than one that was only left behind.
        if !cell.finish(Err(PublishError::Closed))
            && let Some(kept) = self.kept.take()
        {
            kept.complete();
        }
    }
}

/// What both halves share.
///
/// The stage is one number, so that the driver's steps cost a store each and asking never waits for it.
#[derive(Debug)]
pub(crate) struct Cell {
    stage: AtomicU64,
    /// The op that put the message into the store; 0 for none.
    op: AtomicU64,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    Open(Option<Waker>),
    Done(Outcome),
}

/// ```text
///   Queued ──take()──▶ Taken ──PUBREC──▶ Received ──▶ Over
///     │  ▲               │ │                           ▲▲
///     │  └──not written──┘ └───────────────────────────┘│
///     └──cancel()───────────────────────────────────────┘
/// ```
enum Stage {
    Queued,
    /// Written as soon as so many bytes have been.
    Taken {
        end: u64,
    },
    Received,
    Over,
}

// The kind in the top bits, then the end of its bytes, then the packet identifier.
const ID_BITS: u32 = 16;
const KIND_SHIFT: u32 = 62;
const ID: u64 = (1 << ID_BITS) - 1;
const MAX_END: u64 = (1 << (KIND_SHIFT - ID_BITS)) - 1;
const QUEUED: u64 = 0;
const TAKEN: u64 = 1 << KIND_SHIFT;
const RECEIVED: u64 = 2 << KIND_SHIFT;
const OVER: u64 = 3 << KIND_SHIFT;

impl Stage {
    fn of(stage: u64) -> Self {
        match stage >> KIND_SHIFT {
            0 => Self::Queued,
            1 => match stage >> ID_BITS & MAX_END {
                MAX_END => Self::Taken { end: u64::MAX },
                end => Self::Taken { end },
            },
            2 => Self::Received,
            _ => Self::Over,
        }
    }
}

impl Cell {
    fn new() -> Self {
        Self { stage: AtomicU64::new(QUEUED), op: AtomicU64::new(0), slot: Mutex::new(Slot::Open(None)) }
    }

    /// Queued becomes taken; what was taken before stays so.
    fn take(&self) -> bool {
        let taken = TAKEN | MAX_END << ID_BITS;
        match self.stage.compare_exchange(QUEUED, taken, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(stage) => !matches!(Stage::of(stage), Stage::Over),
        }
    }

    fn cancel(&self) -> bool {
        self.stage.compare_exchange(QUEUED, OVER, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The first outcome stays. Returns whether this is it.
    fn finish(&self, outcome: Outcome) -> bool {
        let mut slot = self.lock();
        let Slot::Open(waker) = &mut *slot else { return false };
        let waker = waker.take();
        *slot = Slot::Done(outcome);
        drop(slot);
        self.stage.fetch_or(OVER, Ordering::AcqRel);
        // Woken outside the lock, since a waker may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn ticket() -> (TicketResolver, Ticket) {
        Ticket::new(Arc::new(Shared::for_tests()))
    }

    #[test]
    fn an_answer_arrives_and_a_dropped_resolver_is_one_too() {
        let (resolver, mut waiting) = ticket();
        assert!((&mut waiting).now_or_never().is_none());
        assert!(!waiting.is_complete());
        resolver.resolve(Ok(ReasonCode::NoMatchingSubscribers));
        assert!(waiting.is_complete());
        assert_eq!(waiting.state(), TicketState::Completed(Ok(ReasonCode::NoMatchingSubscribers)));
        assert_eq!(waiting.now_or_never(), Some(Ok(ReasonCode::NoMatchingSubscribers)));

        let (resolver, waiting) = ticket();
        drop(resolver);
        assert_eq!(waiting.now_or_never(), Some(Err(PublishError::Closed)));

        let (resolver, waiting) = ticket();
        drop(waiting);
        resolver.resolve(Ok(ReasonCode::Success));
    }

    #[test]
    fn states_follow_the_bytes_and_the_server() {
        let (resolver, ticket) = ticket();
        let id = PacketId::new(65_535);
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Queued, None));
        assert!(resolver.take());
        resolver.sent(100, id);
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Queued, id));
        ticket.shared.counters.bytes_sent.add(100);
        assert_eq!(ticket.state(), TicketState::Written);
        resolver.unsent();
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Queued, id));
        assert!(!ticket.cancel(), "a connection has it");
        resolver.received();
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Received, id));
        resolver.resolve(Ok(ReasonCode::Success));
        assert_eq!(ticket.state(), TicketState::Completed(Ok(ReasonCode::Success)));
        assert_eq!(ticket.packet_id(), id);
    }

    #[test]
    fn only_what_is_queued_can_be_cancelled_and_once() {
        let (resolver, waiting) = ticket();
        assert!(waiting.cancel());
        assert!(!waiting.cancel());
        assert!(resolver.is_cancelled() && !resolver.take());
        drop(resolver);
        assert_eq!(waiting.now_or_never(), Some(Err(PublishError::Cancelled)));

        let (resolver, waiting) = ticket();
        assert!(resolver.take());
        assert!(!waiting.cancel());
        resolver.put_back();
        assert!(waiting.cancel());
    }
}
