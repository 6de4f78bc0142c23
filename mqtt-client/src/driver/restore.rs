//! How the driver goes on with what an earlier process has left in the store.

use super::in_flight::Flying;
use super::work::Work;
use crate::delivery::Delivery;
use crate::event::{Event, Restored};
use crate::outbox::{Command, Load, Outgoing};
use crate::store::{Sent, Snapshot, StoreError, StoredMessage};
use crate::ticket::TicketResolver;
use mqttkit_codec::{Incoming, Instant, Outgoing as Sending, QoS, Session, SessionState};
use std::time::SystemTime;

impl Work {
    /// Takes over all messages, and makes a session of those that are in flight.
    pub(super) fn restore(&mut self, snapshot: Snapshot) -> Result<Session, StoreError> {
        let Some(desk) = self.notes.desk().cloned() else { return Ok(Session::new()) };
        let mut restored = Restored::default();
        let mut state = SessionState::default();
        restored.cut = snapshot.cut();
        for packet_id in snapshot.incoming() {
            state.incoming.push((packet_id, Incoming::Acknowledged));
        }
        restored.incoming = state.incoming.len();
        self.notes.restore(snapshot.incoming());
        let expires = |at: Option<SystemTime>| -> Option<Instant> { at.map(|at| desk.instant(at)) };
        let (sent, queued) = snapshot.into_messages();
        let mut load = Load::default();
        for Sent { key, packet_id, message } in sent {
            let ticket = TicketResolver::restored(desk.restored(key));
            // Perhaps it was, and nobody will know.
            ticket.sent(0, Some(packet_id));
            let flying = match message {
                None => {
                    ticket.received();
                    restored.received += 1;
                    state.outgoing.push((packet_id, Sending::Released));
                    let load = Load::entry();
                    Flying { ticket, load, delivery: Delivery::new(), expires: None, qos: QoS::ExactlyOnce }
                }
                Some(StoredMessage { message, priority, expires: at, .. }) => {
                    restored.in_flight += 1;
                    let (load, qos) = (Load::of(&message), message.qos);
                    state.outgoing.push((packet_id, Sending::Published(message)));
                    let delivery = Delivery::new().priority(priority);
                    Flying { ticket, load, delivery, expires: expires(at), qos }
                }
            };
            load.add(flying.load);
            self.in_flight.insert(packet_id, flying);
        }
        restored.queued = queued.len();
        let queued =
            queued.into_iter().map(|StoredMessage { key, message, priority, expires: at, .. }| {
                Command::Publish(Outgoing {
                    ticket: TicketResolver::restored(desk.restored(key)),
                    load: Load::of(&message),
                    delivery: Delivery::new().priority(priority),
                    expires: expires(at),
                    message,
                })
            });
        self.shared.outbox.restore(queued.collect(), load);
        self.restored = restored.messages();
        self.shared.counters.in_flight.set(self.in_flight.len() as u64);
        if restored != Restored::default() {
            self.shared.tell(&Event::Restored(restored));
        }
        Session::import(state).map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}
