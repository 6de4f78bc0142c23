//! What the tests share: bytes written readably, and either connection with the bytes of its peer.

use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    ClientConfig, ClientConnection, ClientEvent, Closed, Codec, ConnAck, Connect, DecodeCause, DecodeError,
    Disconnect, Instant, Message, Packet, PacketId, Properties, PropertySet, QoS, ReasonCode, ServerConfig,
    ServerConnection, ServerEvent, Session, Str, TopicFilter, TopicName, Version,
};

pub(crate) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// The versions whose statements have numbers.
pub(crate) const NUMBERED: [Version; 2] = [Version::V311, Version::V5];

/// Bytes from words: `02 0a` are hexadecimal, `'abc'` is text as it is, `<abc>` is text behind its length.
pub(crate) fn bytes(words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in words.split_whitespace() {
        if let Some(text) = word.strip_prefix('\'') {
            out.extend_from_slice(text.strip_suffix('\'').expect("a closing quote").as_bytes());
        } else if let Some(text) = word.strip_prefix('<') {
            out.extend(field(text.strip_suffix('>').expect("a closing bracket").as_bytes()));
        } else {
            assert!(word.len().is_multiple_of(2), "{word} is not whole bytes");
            for at in (0..word.len()).step_by(2) {
                out.push(u8::from_str_radix(&word[at..at + 2], 16).expect("hexadecimal digits"));
            }
        }
    }
    out
}

/// A packet from its first byte and the words of its body; the length is put between them.
pub(crate) fn packet(first_byte: u8, body: &str) -> Vec<u8> {
    frame(first_byte, &bytes(body))
}

/// A packet from its first byte and its body.
pub(crate) fn frame(first_byte: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128 * 128);
    let mut out = vec![first_byte];
    if body.len() < 128 {
        out.push(body.len() as u8);
    } else {
        out.extend([(body.len() % 128) as u8 | 0x80, (body.len() / 128) as u8]);
    }
    out.extend_from_slice(body);
    out
}

/// A length and as many bytes.
pub(crate) fn field(content: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(content.len()).expect("a short field").to_be_bytes().to_vec();
    out.extend_from_slice(content);
    out
}

/// Decodes exactly one packet.
pub(crate) fn decode(version: Version, wire: &[u8]) -> Result<Packet, DecodeError> {
    let mut input = BytesMut::from(wire);
    let packet = Codec::new(version).decode(&mut input)?.expect("the packet is complete");
    assert!(input.is_empty(), "bytes are left");
    Ok(packet)
}

/// Decodes one packet that must be right.
pub(crate) fn accepted(version: Version, wire: &[u8]) -> Packet {
    decode(version, wire).unwrap_or_else(|error| panic!("{version}: {error}: {wire:02x?}"))
}

/// Decodes one packet that must be refused for this cause and with this statement.
#[track_caller]
pub(crate) fn refused(version: Version, wire: &[u8], cause: DecodeCause, statement: &str) {
    match decode(version, wire) {
        Ok(packet) => panic!("{version}: {packet:?} was accepted"),
        Err(error) => {
            let found = (error.cause(), error.statement().unwrap_or("none"));
            assert_eq!(found, (cause, statement), "{version}: {wire:02x?}");
        }
    }
}

/// The bytes of a packet.
pub(crate) fn encoded(version: Version, packet: impl Into<Packet>) -> Vec<u8> {
    let mut out = BytesMut::new();
    Codec::new(version).encode(&packet.into(), &mut out).expect("a packet of this version");
    out.to_vec()
}

/// No properties, of whichever packet.
pub(crate) fn none<P: PropertySet>() -> Properties<P> {
    Properties::new()
}

pub(crate) fn text(text: &str) -> Str {
    text.try_into().expect("a string")
}

pub(crate) fn topic(name: &str) -> TopicName {
    name.try_into().expect("a topic name")
}

pub(crate) fn filter(filter: &str) -> TopicFilter {
    filter.try_into().expect("a topic filter")
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

pub(crate) fn message(payload: &'static str, qos: QoS) -> Message {
    Message::new(topic("t"), payload).with_qos(qos)
}

/// A CONNECT that keeps its session.
pub(crate) fn resuming(version: Version) -> Connect {
    let mut connect = Connect::new(version, text("c"));
    connect.clean_start = false;
    connect.properties = connect.properties.with_session_expiry_interval(3600);
    connect
}

/// One side of a connection, which the tests are the peer of.
pub(crate) struct Side<C> {
    pub(crate) connection: C,
    pub(crate) now: Instant,
    input: BytesMut,
}

pub(crate) type Server = Side<ServerConnection>;
pub(crate) type Client = Side<ClientConnection>;

/// What both connections have, so that a test can be written for both.
pub(crate) trait Connection {
    type Event: std::fmt::Debug;

    fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<Self::Event>;
    fn take_bytes(&mut self) -> Vec<u8>;
    fn version(&self) -> Version;
    fn closed(event: Self::Event) -> Option<Closed>;
}

macro_rules! connection {
    ($connection:ident, $event:ident) => {
        impl Connection for $connection {
            type Event = $event;

            fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<$event> {
                $connection::poll_event(self, now, input)
            }

            fn take_bytes(&mut self) -> Vec<u8> {
                let transmit = self.transmit();
                transmit.copy_to_bytes(transmit.remaining()).to_vec()
            }

            fn version(&self) -> Version {
                $connection::version(self)
            }

            fn closed(event: $event) -> Option<Closed> {
                match event {
                    $event::Closed(closed) => Some(closed),
                    _ => None,
                }
            }
        }
    };
}

connection!(ServerConnection, ServerEvent);
connection!(ClientConnection, ClientEvent);

impl<C: Connection> Side<C> {
    fn around(connection: C) -> Self {
        Self { connection, now: Instant::ZERO, input: BytesMut::new() }
    }

    /// Bytes of the peer arrive. Returns what the application sees of them.
    pub(crate) fn receive(&mut self, wire: &[u8]) -> Vec<C::Event> {
        self.input.extend_from_slice(wire);
        std::iter::from_fn(|| self.connection.poll_event(self.now, &mut self.input)).collect()
    }

    /// Whether bytes have arrived that the connection has not read.
    pub(crate) fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }

    /// A packet of the peer arrives.
    pub(crate) fn receive_packet(&mut self, packet: impl Into<Packet>) -> Vec<C::Event> {
        let wire = encoded(self.connection.version(), packet);
        self.receive(&wire)
    }

    /// What the connection has sent since it was asked last.
    pub(crate) fn sent(&mut self) -> Vec<Packet> {
        let mut wire = BytesMut::from(&self.sent_bytes()[..]);
        let mut codec = Codec::new(self.connection.version());
        let packets = std::iter::from_fn(|| codec.decode(&mut wire).expect("sends valid packets")).collect();
        assert!(wire.is_empty(), "sends whole packets");
        packets
    }

    /// The one packet that the connection has sent since it was asked last.
    #[track_caller]
    pub(crate) fn sent_one(&mut self) -> Packet {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    pub(crate) fn sent_bytes(&mut self) -> Vec<u8> {
        self.connection.take_bytes()
    }

    /// How the connection ended, which must be the only event of these bytes.
    #[track_caller]
    pub(crate) fn closed_by(&mut self, wire: &[u8]) -> Closed {
        let mut events = self.receive(wire);
        assert_eq!(events.len(), 1, "{events:?}");
        C::closed(events.remove(0)).expect("the connection is closed")
    }
}

impl Server {
    /// Nothing has arrived yet.
    pub(crate) fn fresh() -> Self {
        Self::around(ServerConnection::new(ServerConfig::default(), Instant::ZERO))
    }

    pub(crate) fn with_config(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::default();
        change(&mut config);
        Self::around(ServerConnection::new(config, Instant::ZERO))
    }

    /// CONNECT has arrived and waits for its answer.
    pub(crate) fn asked(mut self, connect: Connect) -> Self {
        let events = self.receive(&encoded(connect.version, connect));
        assert!(matches!(events[..], [ServerEvent::Connect(_)]), "{events:?}");
        self
    }

    /// The client is accepted; its CONNACK is taken off.
    pub(crate) fn accepted(mut self, connack: ConnAck, session: Session) -> Self {
        self.connection.accept(self.now, connack, session);
        let sent = self.sent();
        assert!(matches!(sent.first(), Some(Packet::ConnAck(_))), "{sent:?}");
        self
    }

    /// A client of this version without further wishes is connected.
    pub(crate) fn connected(version: Version) -> Self {
        Self::fresh()
            .asked(Connect::new(version, text("c")))
            .accepted(ConnAck::accepted(false), Session::new())
    }

    /// A client is connected that sent this CONNECT.
    pub(crate) fn connected_with(connect: Connect) -> Self {
        Self::fresh().asked(connect).accepted(ConnAck::accepted(false), Session::new())
    }
}

impl Client {
    /// CONNECT is sent and taken off.
    pub(crate) fn connecting(connect: Connect, session: Session) -> Self {
        Self::connecting_with(connect, session, |_| ())
    }

    pub(crate) fn connecting_with(
        connect: Connect,
        session: Session,
        change: impl FnOnce(&mut ClientConfig),
    ) -> Self {
        let mut config = ClientConfig::default();
        change(&mut config);
        let connection = ClientConnection::new(config, connect, session, Instant::ZERO);
        let mut client = Self::around(connection.expect("a CONNECT that can be written"));
        assert!(matches!(client.sent_one(), Packet::Connect(_)));
        client
    }

    /// The server answers with this CONNACK.
    pub(crate) fn answered(mut self, connack: ConnAck) -> Self {
        let events = self.receive_packet(connack);
        assert!(matches!(events.first(), Some(ClientEvent::Connected { .. })), "{events:?}");
        self
    }

    /// Connected in this version without further wishes.
    pub(crate) fn connected(version: Version) -> Self {
        let connect = Connect::new(version, text("c"));
        Self::connecting(connect, Session::new()).answered(ConnAck::accepted(false))
    }

    /// Connected to a server that said this.
    pub(crate) fn connected_to(connack: ConnAck) -> Self {
        Self::connecting(Connect::new(Version::V5, text("c")), Session::new()).answered(connack)
    }
}

/// The reason of the DISCONNECT that was sent, which must be the last packet.
#[track_caller]
pub(crate) fn goodbye(sent: &[Packet]) -> ReasonCode {
    match sent.last() {
        Some(Packet::Disconnect(Disconnect { reason, .. })) => *reason,
        _ => panic!("no DISCONNECT at the end of {sent:?}"),
    }
}
