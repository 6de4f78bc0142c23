//! What the driver notes in the store, and what must be kept before it writes to the server again.

use crate::store::{Desk, StoreError, StoreOp, Wait};
use mqttkit_codec::{PacketId, Session};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

#[derive(Debug)]
pub(super) struct Notes(Option<Book>);

#[derive(Debug)]
struct Book {
    desk: Arc<Desk>,
    wait: Wait,
    /// The last op that bytes to the server depend on.
    needed: u64,
    /// The identifiers that the store holds as received.
    incoming: BTreeSet<PacketId>,
}

impl Notes {
    pub(super) fn new(desk: Option<Arc<Desk>>) -> Self {
        Self(desk.map(|desk| {
            let wait = desk.progress().wait();
            Book { desk, wait, needed: 0, incoming: BTreeSet::new() }
        }))
    }

    /// These are in the store from an earlier process.
    pub(super) fn restore(&mut self, incoming: impl Iterator<Item = PacketId>) {
        if let Some(book) = &mut self.0 {
            book.incoming.extend(incoming);
        }
    }

    pub(super) fn desk(&self) -> Option<&Arc<Desk>> {
        self.0.as_ref().map(|book| &book.desk)
    }

    pub(super) fn failure(&self) -> Option<StoreError> {
        self.0.as_ref()?.desk.progress().error().cloned()
    }

    /// A message was given to a connection.
    pub(super) fn sent(&mut self, key: u64, packet_id: PacketId) {
        self.note(StoreOp::Sent { key, packet_id });
    }

    /// PUBREC has come.
    pub(super) fn received(&mut self, key: u64, packet_id: PacketId) {
        self.note(StoreOp::Received { key, packet_id });
    }

    pub(super) fn session_lost(&mut self) {
        self.note(StoreOp::SessionLost);
        if let Some(book) = &mut self.0 {
            book.incoming.clear();
        }
    }

    /// Notes what has changed among the QoS 2 messages of the server. They are compared as a whole, since there are few,
    /// and acknowledgements that come too late change nothing.
    pub(super) fn incoming(&mut self, session: &Session) {
        let Some(book) = &mut self.0 else { return };
        if book.incoming.iter().copied().eq(session.acknowledged()) {
            return;
        }
        let now: BTreeSet<_> = session.acknowledged().collect();
        let released = book.incoming.difference(&now).map(|&id| StoreOp::IncomingReleased(id));
        let acknowledged = now.difference(&book.incoming).map(|&id| StoreOp::IncomingAcknowledged(id));
        for op in released.chain(acknowledged) {
            book.needed = book.desk.submit(op);
        }
        book.incoming = now;
    }

    /// Whether all that was noted is kept. The waker of `cx` is called when it is.
    pub(super) fn are_durable(&mut self, cx: &Context<'_>) -> bool {
        let Some(book) = &mut self.0 else { return true };
        match book.wait.poll(cx, book.needed) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                // The driver looks for it at its next step.
                cx.waker().wake_by_ref();
                false
            }
            Poll::Pending => false,
        }
    }

    fn note(&mut self, op: StoreOp) {
        if let Some(book) = &mut self.0 {
            book.needed = book.desk.submit(op);
        }
    }
}
