//! A connection that is fed arbitrary bytes, packets, times and commands.

use std::num::NonZeroU16;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    AckToken, ClientConfig, ClientConnection, ClientEvent, Codec, ConnAck, Connect, Incoming, Instant,
    Outgoing, Packet, QoS, ReasonCode, ServerConfig, ServerConnection, ServerEvent, Session, SessionState,
    SubscribeProperties, Transmit, UnsubscribeProperties, Version,
};

use crate::{VERSIONS, generate};

/// A server's connection against whatever a client may send.
pub fn server_bytes(data: &[u8]) {
    let _ = server(&mut Unstructured::new(data));
}

/// A client's connection against whatever a server may send.
pub fn client_bytes(data: &[u8]) {
    let _ = client(&mut Unstructured::new(data));
}

/// More steps than this teach nothing new.
const STEPS: usize = 100;

/// What both roles have in common.
trait Side {
    /// Takes an event: whether it was the last, and the token of a message.
    fn event(&mut self, now: Instant, input: &mut BytesMut) -> Option<(bool, Option<AckToken>)>;
    fn connection(&mut self) -> Common<'_>;
}

struct Common<'a> {
    transmit: &'a mut Transmit,
    version: Version,
    is_closed: bool,
    deadline: Option<Instant>,
    quota: usize,
}

macro_rules! side {
    ($connection:ident, $event:ident) => {
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

            fn connection(&mut self) -> Common<'_> {
                Common {
                    version: self.version(),
                    is_closed: self.is_closed(),
                    deadline: self.poll_timeout(),
                    quota: self.send_quota(),
                    transmit: self.transmit(),
                }
            }
        }
    };
}

side!(ServerConnection, ServerEvent);
side!(ClientConnection, ClientEvent);

/// A side with its input and what must hold whatever is done to it.
struct Watched<S> {
    side: S,
    now: Instant,
    input: BytesMut,
    sent: BytesMut,
    ended: bool,
    tokens: Vec<AckToken>,
}

impl<S: Side> Watched<S> {
    fn new(side: S) -> Self {
        Self {
            side,
            now: Instant::ZERO,
            input: BytesMut::new(),
            sent: BytesMut::new(),
            ended: false,
            tokens: Vec::new(),
        }
    }

    /// The contract of a connection: events until there is none, then what is to be sent.
    fn drain(&mut self) {
        while let Some((last, token)) = self.side.event(self.now, &mut self.input) {
            assert!(!self.ended, "an event after the last");
            self.ended = last;
            self.tokens.extend(token);
        }
        let Common { transmit, version, is_closed, deadline, quota } = self.side.connection();
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
        let deadline = self.side.connection().deadline;
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "{deadline:?} is not after {:?}",
            self.now
        );
    }

    fn feed(&mut self, packet: &Packet, version: Version) {
        // One that cannot be written is none that can arrive.
        let _ = Codec::new(version).encode(packet, &mut self.input);
        self.drain();
    }

    fn token(&mut self, from: &mut Unstructured<'_>) -> Result<Option<AckToken>> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let index = from.choose_index(self.tokens.len())?;
        // Now and then one is used twice.
        Ok(Some(if from.ratio(1, 8)? { self.tokens[index] } else { self.tokens.remove(index) }))
    }

    /// Bytes, a packet, or the passing of time.
    fn outside(&mut self, from: &mut Unstructured<'_>, version: Version) -> Result<()> {
        match from.int_in_range(0..=7)? {
            0 => {
                let len = from.int_in_range(0..=32)?;
                self.input.extend_from_slice(from.bytes(len)?);
                self.drain();
            }
            1 => self.now = self.now + Duration::from_millis(from.arbitrary::<u16>()?.into()),
            2 => self.now = self.side.connection().deadline.unwrap_or(self.now).max(self.now),
            _ => self.feed(&generate::packet(from, version)?, version),
        }
        Ok(())
    }
}

fn server(from: &mut Unstructured<'_>) -> Result<()> {
    let mut config = ServerConfig::default();
    config.max_packet_size = *from.choose(&[u32::MAX, 1000, 100])?;
    config.receive_maximum = *from.choose(&[NonZeroU16::MAX, NonZeroU16::MIN])?;
    config.topic_alias_maximum = from.int_in_range(0..=3)?;
    config.automatic_topic_aliases = from.int_in_range(0..=3)?;
    config.automatic_acknowledgement = from.arbitrary()?;
    let &version = from.choose(&VERSIONS)?;
    let mut it = Watched::new(ServerConnection::new(config, Instant::ZERO));
    if from.ratio(3, 4)? {
        it.feed(&generate::connect(from, version)?.into(), version);
    }
    for _ in 0..STEPS {
        if from.is_empty() {
            break;
        }
        let now = it.now;
        match from.int_in_range(0..=15)? {
            0 => {
                let connack = ConnAck { reason: ReasonCode::Success, ..generate::connack(from)? };
                it.side.accept(now, connack, session(from)?);
            }
            1 => it.side.refuse(now, &generate::connack(from)?),
            2 => {
                let was_open = !it.side.is_closed();
                let result = it.side.publish(now, generate::message(from)?);
                assert!(was_open || result.is_err(), "there is nobody to publish to");
            }
            3 => {
                if let Some(token) = it.token(from)? {
                    it.side.ack(now, token, generate::reason(from)?);
                }
            }
            4 => {
                let _ = it.side.sub_ack(now, &generate::sub_ack(from)?);
            }
            5 => {
                let _ = it.side.unsub_ack(now, &generate::unsub_ack(from)?);
            }
            6 => {
                let _ = it.side.auth(now, &generate::auth(from)?);
            }
            7 if from.ratio(1, 4)? => it.side.disconnect(now, &generate::disconnect(from)?),
            8 if from.ratio(1, 4)? => {
                let deadline = now + Duration::from_millis(from.arbitrary::<u16>()?.into());
                it.side.drain(now, generate::disconnect(from)?, deadline);
            }
            9 => {
                it.side.handle_timeout(now);
                it.check_deadline();
            }
            10 if from.ratio(1, 4)? => it.side.handle_closed(now),
            11 => {
                let _ = it.side.take_session().export();
            }
            _ => it.outside(from, version)?,
        }
        it.drain();
    }
    it.side.handle_closed(it.now);
    it.drain();
    assert!(it.ended, "the end of the transport is the end");
    Ok(())
}

fn client(from: &mut Unstructured<'_>) -> Result<()> {
    let mut config = ClientConfig::default();
    config.max_packet_size = *from.choose(&[u32::MAX, 1000, 100])?;
    config.receive_maximum = *from.choose(&[NonZeroU16::MAX, NonZeroU16::MIN])?;
    config.topic_alias_maximum = from.int_in_range(0..=3)?;
    config.automatic_topic_aliases = from.int_in_range(0..=3)?;
    config.automatic_acknowledgement = from.arbitrary()?;
    let &version = from.choose(&VERSIONS)?;
    let connect: Connect = generate::connect(from, version)?;
    let session = session(from)?;
    let Ok(side) = ClientConnection::new(config, connect, session, Instant::ZERO) else { return Ok(()) };
    let mut it = Watched::new(side);
    it.drain();
    if from.ratio(3, 4)? {
        let connack = ConnAck { reason: ReasonCode::Success, ..generate::connack(from)? };
        it.feed(&connack.into(), version);
    }
    for _ in 0..STEPS {
        if from.is_empty() {
            break;
        }
        let now = it.now;
        match from.int_in_range(0..=15)? {
            0 => {
                let wanted = generate::many(from, generate::subscription)?;
                let _ = it.side.subscribe(now, SubscribeProperties::new(), wanted);
            }
            1 => {
                let filters = generate::many(from, generate::filter)?;
                let _ = it.side.unsubscribe(now, UnsubscribeProperties::new(), filters);
            }
            2 => {
                let connected = it.side.is_connected();
                let result = it.side.publish(now, generate::message(from)?);
                assert!(connected || result.is_err(), "there is nobody to publish to");
            }
            3 => {
                if let Some(token) = it.token(from)? {
                    it.side.ack(now, token, generate::reason(from)?);
                }
            }
            6 => {
                let _ = it.side.auth(now, &generate::auth(from)?);
            }
            7 if from.ratio(1, 4)? => it.side.disconnect(now, &generate::disconnect(from)?),
            8 if from.ratio(1, 4)? => {
                let deadline = now + Duration::from_millis(from.arbitrary::<u16>()?.into());
                it.side.drain(now, generate::disconnect(from)?, deadline);
            }
            9 => {
                it.side.handle_timeout(now);
                it.check_deadline();
            }
            10 if from.ratio(1, 4)? => it.side.handle_closed(now),
            11 => {
                let _ = it.side.take_session().export();
            }
            _ => it.outside(from, version)?,
        }
        it.drain();
    }
    it.side.handle_closed(it.now);
    it.drain();
    assert!(it.ended, "the end of the transport is the end");
    Ok(())
}

/// A session that an earlier connection may have left behind.
fn session(from: &mut Unstructured<'_>) -> Result<Session> {
    let mut state = SessionState::default();
    for _ in 0..from.int_in_range(0..=3)? {
        let outgoing = if from.arbitrary()? {
            Outgoing::Released
        } else {
            let message = generate::message(from)?;
            let qos = message.qos.max(QoS::AtLeastOnce);
            Outgoing::Published(message.with_qos(qos))
        };
        state.outgoing.push((generate::packet_id(from)?, outgoing));
    }
    for _ in 0..from.int_in_range(0..=3)? {
        let incoming = *from.choose(&[Incoming::Delivered, Incoming::Acknowledged])?;
        state.incoming.push((generate::packet_id(from)?, incoming));
    }
    Ok(Session::import(state).unwrap_or_default())
}
