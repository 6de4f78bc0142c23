//! What goes out: from the queue into the connection, and from there into the link.

use super::{Online, Unwritten};
use crate::driver::in_flight::Flying;
use crate::driver::tap::Tap;
use crate::driver::work::Work;
use crate::error::PublishError;
use crate::outbox::{Command, Outgoing, Request, RequestKind};
use bytes::Buf;
use mqttkit_codec::{Instant, PublishError as Unsent, QoS, ReasonCode};
use mqttkit_ws_transport::Link;
use std::task::{Context, Poll};

/// Unwritten bytes at which no more commands are taken: enough for a full frame and some system calls.
pub(super) const HIGH_WATER: usize = 64 << 10;

impl<L: Link> Online<L> {
    /// Hands commands over to the connection, in order, as far as the server's window and the buffer allow.
    pub(super) fn fill(&mut self, now: Instant, work: &mut Work) -> bool {
        let mut progress = false;
        while self.connection.transmit().remaining() < HIGH_WATER && !self.connection.is_closed() {
            match work.pending.front() {
                None => break,
                Some(Command::Publish(outgoing)) if outgoing.message.qos == QoS::AtMostOnce => {}
                Some(Command::Publish(_)) if self.connection.send_quota() == 0 || !work.has_window() => break,
                Some(_) if !work.has_identifiers() => break,
                Some(_) => {}
            }
            match work.pending.pop_front() {
                Some(Command::Publish(outgoing)) => self.publish(now, work, outgoing),
                Some(Command::Request(request)) => self.request(now, work, request),
                None => break,
            }
            progress = true;
        }
        progress
    }

    fn publish(&mut self, now: Instant, work: &mut Work, outgoing: Outgoing) {
        if work.is_void(now, &outgoing) {
            return work.complete(outgoing, Err(PublishError::Expired));
        }
        let Outgoing { mut message, ticket, load, delivery, expires } = outgoing;
        if let Some(expires) = expires
            && self.connection.version().has_properties()
        {
            let left = expires - now;
            let seconds = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            message.properties = message.properties.with_message_expiry_interval(seconds);
        }
        let qos = message.qos;
        // Only one of QoS 0 can be needed again here: others are in the codec's session.
        let kept = (qos == QoS::AtMostOnce).then(|| message.clone());
        let sent = self.connection.publish(now, message);
        let end = self.written + self.connection.transmit().remaining() as u64;
        match sent {
            Ok(id) => {
                work.shared.counters.messages_sent.add(1);
                ticket.sent(end, id);
                if let Some(id) = id {
                    work.sent(now, id, Flying { ticket, load, delivery, expires, qos });
                } else if let Some(message) = kept {
                    let outgoing = Outgoing { message, ticket, load, delivery, expires };
                    self.unwritten.push_back(Unwritten { end, outgoing });
                }
            }
            Err(error) => {
                let error = match error {
                    Unsent::QoSNotSupported(maximum) => PublishError::QoSNotSupported(maximum),
                    Unsent::RetainNotSupported => PublishError::RetainNotSupported,
                    Unsent::Encode(error) => PublishError::Encode(error),
                    // Was seen to before: window, identifier and connection are there.
                    _ => PublishError::Lost,
                };
                work.finish(ticket, load, Err(error));
            }
        }
    }

    fn request(&mut self, now: Instant, work: &mut Work, request: Request) {
        let Some(request) = work.begin(request) else { return };
        let sent = match &request.kind {
            RequestKind::Subscribe(list, properties) => {
                let properties = work.identified(properties.clone(), request.identifier);
                self.connection.subscribe(now, properties, list.iter().cloned())
            }
            RequestKind::Unsubscribe(list, properties) => {
                self.connection.unsubscribe(now, properties.clone(), list.iter().cloned())
            }
        };
        match sent {
            Ok(id) => work.asked(id, request),
            Err(Unsent::Encode(error)) => work.unwritable(request, error),
            // Was seen to before; to be asked again is right in any case.
            Err(_) => work.pending.push_front(Command::Request(request)),
        }
    }

    /// Writes all there is, then flushes once.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, work: &mut Work) -> bool {
        if self.write_error.is_some() || self.held.is_some() {
            return false;
        }
        let before = self.connection.transmit().remaining();
        let mut result = Poll::Ready(Ok(()));
        if before > 0 {
            self.unflushed = true;
            let transmit = self.connection.transmit();
            result = match &mut self.tap {
                Some(tap) => self.link.poll_send(cx, &mut tap.on(transmit)),
                None => self.link.poll_send(cx, transmit),
            };
            self.fresh = false;
        }
        let left = self.connection.transmit().remaining();
        if left < before {
            self.written += (before - left) as u64;
            work.shared.counters.bytes_sent.set(self.written);
        }
        self.blocked = left > 0;
        let mut progress = left < before;
        if left == 0 {
            self.responses = 0;
        }
        if self.unflushed && matches!(result, Poll::Ready(Ok(()))) {
            result = self.link.poll_flush(cx);
            if matches!(result, Poll::Ready(Ok(()))) {
                self.unflushed = false;
                progress = true;
                while self.unwritten.front().is_some_and(|unwritten| unwritten.end <= self.written) {
                    if let Some(Unwritten { outgoing, .. }) = self.unwritten.pop_front() {
                        work.complete(outgoing, Ok(ReasonCode::Success));
                    }
                }
            }
        }
        if let Poll::Ready(Err(error)) = result {
            self.write_error = Some(error);
        }
        self.tell_packets(work);
        progress
    }

    /// Begins to read along, or ends it, as somebody watches the packets or not.
    pub(super) fn watch(&mut self, work: &Work) {
        let is_watched = work.shared.packets.is_watched();
        if !is_watched {
            self.tap = None;
        } else if self.tap.is_none()
            && self.input.is_empty()
            && (self.fresh || !self.connection.transmit().has_remaining())
        {
            self.tap = Some(Tap::new(self.connection.version()));
        }
    }

    pub(super) fn tell_packets(&mut self, work: &Work) {
        if self.tap.as_mut().is_some_and(|tap| !tap.tell(&work.shared.packets)) {
            self.tap = None;
        }
    }
}
