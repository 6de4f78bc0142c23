//! One side of a connection with what must hold whatever is done to it, whichever the role.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    AckToken, ClientConnection, ClientEvent, Codec, Disconnect, Instant, Message, Packet, PacketId,
    PublishError, ReasonCode, ServerConnection, ServerEvent, Session, Transmit, Version,
};

use super::STEPS;
use crate::generate;

/// What both roles have in common.
pub(super) trait Side {
    /// Takes an event: whether it was the last, and the token of a message.
    fn event(&mut self, now: Instant, input: &mut BytesMut) -> Option<(bool, Option<AckToken>)>;
    fn state(&mut self) -> State<'_>;
    fn publish(&mut self, now: Instant, message: Message) -> Result<Option<PacketId>, PublishError>;
    fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode);
    fn disconnect(&mut self, now: Instant, goodbye: &Disconnect);
    fn drain(&mut self, now: Instant, goodbye: Disconnect, deadline: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn handle_closed(&mut self, now: Instant);
    fn take_session(&mut self) -> Session;
}

pub(super) struct State<'a> {
    version: Version,
    is_closed: bool,
    deadline: Option<Instant>,
    quota: usize,
    /// Whether there may be somebody to publish to.
    reachable: bool,
    transmit: &'a mut Transmit,
}

macro_rules! side {
    ($connection:ident, $event:ident, $reachable:expr) => {
        #[allow(clippy::let_unit_value, reason = "what a client may be refused, a server may not")]
        impl Side for $connection {
            fn event(&mut self, now: Instant, input: &mut BytesMut) -> Option<(bool, Option<AckToken>)> {
                Some(match self.poll_event(now, input)? {
                    $event::Closed(closed) => {
                        assert!(!closed.to_string().is_empty());
                        (true, None)
                    }
                    $event::Publish { message, token, .. } => {
                        assert!(!message.topic.is_aliased(), "an alias is resolved");
                        assert_eq!(message.properties.topic_alias(), None);
                        assert!(token.is_none_or(|token| token.qos() == message.qos));
                        (false, token)
                    }
                    _ => (false, None),
                })
            }

            fn state(&mut self) -> State<'_> {
                State {
                    version: self.version(),
                    is_closed: self.is_closed(),
                    deadline: self.poll_timeout(),
                    quota: self.send_quota(),
                    reachable: $reachable(self),
                    transmit: self.transmit(),
                }
            }

            fn publish(&mut self, now: Instant, message: Message) -> Result<Option<PacketId>, PublishError> {
                self.publish(now, message)
            }

            fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
                self.ack(now, token, reason);
            }

            fn disconnect(&mut self, now: Instant, goodbye: &Disconnect) {
                let _ = self.disconnect(now, goodbye);
            }

            fn drain(&mut self, now: Instant, goodbye: Disconnect, deadline: Instant) {
                let _ = self.drain(now, goodbye, deadline);
            }

            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }

            fn handle_closed(&mut self, now: Instant) {
                self.handle_closed(now);
            }

            fn take_session(&mut self) -> Session {
                self.take_session()
            }
        }
    };
}

side!(ServerConnection, ServerEvent, |it: &Self| !it.is_closed());
side!(ClientConnection, ClientEvent, Self::is_connected);

/// A side with its input.
pub(super) struct Watched<S> {
    pub(super) side: S,
    pub(super) now: Instant,
    input: BytesMut,
    sent: BytesMut,
    ended: bool,
    tokens: Vec<AckToken>,
}

impl<S: Side> Watched<S> {
    pub(super) fn new(side: S) -> Self {
        let (input, sent) = (BytesMut::new(), BytesMut::new());
        let mut it = Self { side, now: Instant::ZERO, input, sent, ended: false, tokens: Vec::new() };
        it.drain();
        it
    }

    /// Does what the bytes say, until there are no more, and then ends the transport. `command` is for the commands
    /// that one role alone has; the number is one of its own.
    pub(super) fn run(
        &mut self,
        from: &mut Unstructured<'_>,
        version: Version,
        command: impl Fn(&mut S, Instant, u8, &mut Unstructured<'_>) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..STEPS {
            if from.is_empty() {
                break;
            }
            match from.int_in_range(0..=15)? {
                own @ 0..=3 => command(&mut self.side, self.now, own, from)?,
                4..=9 => self.command(from)?,
                _ => self.outside(from, version)?,
            }
            self.drain();
        }
        self.side.handle_closed(self.now);
        self.drain();
        assert!(self.ended, "the end of the transport is the end");
        Ok(())
    }

    /// A packet arrives; one that cannot be written is none that can.
    pub(super) fn feed(&mut self, packet: &Packet, version: Version) {
        let _ = Codec::new(version).encode(packet, &mut self.input);
        self.drain();
    }

    /// A command that both roles have.
    fn command(&mut self, from: &mut Unstructured<'_>) -> Result<()> {
        let now = self.now;
        match from.int_in_range(0..=7)? {
            0 | 1 => {
                let reachable = self.side.state().reachable;
                let result = self.side.publish(now, generate::message(from)?);
                assert!(reachable || result.is_err(), "there is nobody to publish to");
            }
            2 | 3 => {
                if let Some(token) = self.token(from)? {
                    self.side.ack(now, token, generate::reason(from)?);
                }
            }
            4 => {
                self.side.handle_timeout(now);
                self.check_deadline();
            }
            5 => {
                let _ = self.side.take_session().export();
            }
            // What ends the connection is rarer, or all would be short.
            6 if from.ratio(1, 4)? => self.side.disconnect(now, &generate::disconnect(from)?),
            7 if from.ratio(1, 2)? => {
                let deadline = now + milliseconds(from)?;
                self.side.drain(now, generate::disconnect(from)?, deadline);
            }
            7 if from.ratio(1, 4)? => self.side.handle_closed(now),
            _ => {}
        }
        Ok(())
    }

    /// Bytes, a packet, or the passing of time.
    fn outside(&mut self, from: &mut Unstructured<'_>, version: Version) -> Result<()> {
        match from.int_in_range(0..=7)? {
            0 => {
                let len = from.int_in_range(0..=32)?;
                self.input.extend_from_slice(from.bytes(len)?);
            }
            1 => self.now = self.now + milliseconds(from)?,
            2 => self.now = self.side.state().deadline.unwrap_or(self.now).max(self.now),
            _ => self.feed(&generate::packet(from, version)?, version),
        }
        Ok(())
    }

    /// The contract of a connection: events until there is none, then what is to be sent.
    fn drain(&mut self) {
        while let Some((last, token)) = self.side.event(self.now, &mut self.input) {
            assert!(!self.ended, "an event after the last");
            self.ended = last;
            self.tokens.extend(token);
        }
        let State { transmit, version, is_closed, deadline, quota, .. } = self.side.state();
        assert_eq!(is_closed, self.ended, "the end is told once and at once");
        if self.ended {
            assert_eq!((deadline, quota), (None, 0));
            assert!(self.input.is_empty(), "what comes after the end is dropped");
        }
        // Whatever leaves can be read by the peer.
        while transmit.has_remaining() {
            let chunk = transmit.chunk().len();
            self.sent.extend_from_slice(transmit.chunk());
            transmit.advance(chunk);
        }
        let mut codec = Codec::new(version);
        while codec.decode(&mut self.sent).expect("what is sent is well-formed").is_some() {}
        assert!(self.sent.is_empty(), "half a packet was sent");
    }

    /// After a timeout was handled the next deadline is later, or a loop would never sleep.
    fn check_deadline(&mut self) {
        self.drain();
        let deadline = self.side.state().deadline;
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "{deadline:?} is not after {:?}",
            self.now
        );
    }

    fn token(&mut self, from: &mut Unstructured<'_>) -> Result<Option<AckToken>> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let index = from.choose_index(self.tokens.len())?;
        // Now and then one is used twice.
        Ok(Some(if from.ratio(1, 8)? { self.tokens[index] } else { self.tokens.remove(index) }))
    }
}

fn milliseconds(from: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(Duration::from_millis(from.arbitrary::<u16>()?.into()))
}
