//! `Codec`: bytes to packets and packets to bytes, a packet at a time.

use alloc::boxed::Box;

use bytes::{Buf, BufMut, BytesMut};

use crate::error::{DecodeCause, DecodeError, EncodeError};
use crate::message::Message;
use crate::packet::publish::{self, View};
use crate::packet::{Body, Delivery, EncodePacket, Packet, Publish};
use crate::strictness::{Leniency, Strictness};
use crate::types::{PacketType, QoS, Version};
use crate::wire::{MAX_VARINT, Reader, Varint, error, peek_varint, put_varint, varint_len};

/// The largest packet MQTT can express, in bytes: 5 of fixed header and 268,435,455 of body.
pub const MAX_PACKET_SIZE: u32 = MAX_VARINT + 5;

/// Reads and writes packets of one version, within limits.
///
/// Decoding a CONNECT sets the version to the one it names, so a server may start with any.
///
/// ```
/// use bytes::BytesMut;
/// use mqttkit_codec::{Codec, Packet, Publish, TopicName, Version};
///
/// let mut codec = Codec::new(Version::V5);
/// let mut wire = BytesMut::new();
/// codec.encode(&Publish::new(TopicName::try_from("a/b")?, "hello".into()), &mut wire)?;
/// assert_eq!(wire.len(), 13);
///
/// let Some(Packet::Publish(publish)) = codec.decode(&mut wire)? else { panic!("a PUBLISH") };
/// assert_eq!(publish.payload, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Codec {
    version: Version,
    max_incoming: u32,
    max_outgoing: u32,
    strictness: Strictness,
    /// What was forgiven since somebody asked.
    forgiven: Option<Box<DecodeError>>,
}

impl Codec {
    /// A codec for this version without limits but the protocol's own.
    pub const fn new(version: Version) -> Self {
        Self {
            version,
            max_incoming: MAX_PACKET_SIZE,
            max_outgoing: MAX_PACKET_SIZE,
            strictness: Strictness::Strict,
            forgiven: None,
        }
    }

    /// The version that is spoken.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Speaks this version from now on.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// The largest packet that is decoded, in bytes with its fixed header. A larger one is an error as soon as
    /// its length is read; nothing is kept of it.
    pub const fn set_max_incoming(&mut self, bytes: u32) {
        self.max_incoming = bytes;
    }

    /// The largest packet that is encoded, in bytes with its fixed header.
    pub const fn set_max_outgoing(&mut self, bytes: u32) {
        self.max_outgoing = bytes;
    }

    /// The largest packet that is encoded, in bytes with its fixed header.
    pub const fn max_outgoing(&self) -> u32 {
        self.max_outgoing
    }

    /// Whether every rule is enforced when packets are decoded.
    pub const fn strictness(&self) -> Strictness {
        self.strictness
    }

    /// Enforces every rule from now on, or overlooks those that [`Strictness::Lenient`] lists.
    pub const fn set_strictness(&mut self, strictness: Strictness) {
        self.strictness = strictness;
    }

    /// The first broken rule that was forgiven since this was last asked, if any was. It is about a packet that
    /// [`decode`](Self::decode) has given out; what else was forgiven, in this packet or in later ones, is not kept.
    pub fn take_forgiven(&mut self) -> Option<DecodeError> {
        self.forgiven.take().map(|error| *error)
    }

    /// The length of the packet at the front of `input`, in bytes with its fixed header, as soon as that can be told: for
    /// whoever makes room for the rest of it. It is what the peer says, at most [`MAX_PACKET_SIZE`], and is held against no
    /// limit. `None` also if it is not a length at all, which [`decode`](Self::decode) will find.
    ///
    /// ```
    /// use mqttkit_codec::Codec;
    ///
    /// assert_eq!(Codec::peek_len(b"\x30\x80"), None, "not all of the length is there");
    /// assert_eq!(Codec::peek_len(b"\x30\x80\x80\x04\0"), Some(65_536 + 4));
    /// ```
    pub fn peek_len(input: &[u8]) -> Option<u32> {
        match peek_varint(input.get(1..)?) {
            Varint::Value(body, len) | Varint::NotMinimal(body, len) => Some(1 + len as u32 + body),
            Varint::Incomplete | Varint::TooLong => None,
        }
    }

    /// Takes one packet from the front of `input`, or `None` while it is not complete.
    ///
    /// The packet shares the memory of `input`; nothing is copied. However the bytes arrive, the packets and
    /// the error are the same. An error is the end of the stream: what follows in `input` has no meaning.
    #[inline]
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        // A packet is large: each path writes it where it belongs, and the common one is straight.
        match input.first() {
            None => Ok(None),
            Some(&first_byte) if self.strictness == Strictness::Lenient => {
                self.decode_leniently(first_byte, input)
            }
            Some(&first_byte) if first_byte >> 4 == PacketType::Publish as u8 => {
                self.decode_publish(first_byte, input, Leniency::NONE)
            }
            Some(&first_byte) => self.decode_rarer(first_byte, input, Leniency::NONE),
        }
    }

    #[cold]
    fn decode_leniently(
        &mut self,
        first_byte: u8,
        input: &mut BytesMut,
    ) -> Result<Option<Packet>, DecodeError> {
        let mut forgiven = None;
        let leniency = Leniency::new(&mut forgiven);
        let mut packet = if first_byte >> 4 == PacketType::Publish as u8 {
            self.decode_publish(first_byte, input, leniency)?
        } else {
            self.decode_rarer(first_byte, input, leniency)?
        };
        // The header of a packet that is not complete is looked at again when more of it has come.
        if let (Some(packet), Some(error)) = (&mut packet, forgiven) {
            if let Packet::Publish(Publish { dup, delivery: Delivery::AtMostOnce, .. }) = packet {
                *dup = false;
            }
            self.forgiven.get_or_insert_with(|| Box::new(error));
        }
        Ok(packet)
    }

    /// There is one of it for both: what it calls is inlined as long as it is called here only.
    #[inline(never)]
    fn decode_publish(
        &self,
        first_byte: u8,
        input: &mut BytesMut,
        mut leniency: Leniency<'_>,
    ) -> Result<Option<Packet>, DecodeError> {
        const TYPE: PacketType = PacketType::Publish;
        let qos = match publish::check_flags(first_byte) {
            Ok(qos) => qos,
            Err((cause, field)) => {
                leniency.forgive(error(cause, Some(TYPE), self.version, field, 0))?;
                // It was DUP: of these errors no other is forgiven.
                QoS::AtMostOnce
            }
        };
        let Some((frame, header)) = self.frame(TYPE, input, &mut leniency)? else { return Ok(None) };
        let checked = publish::Checked::new(frame, header, qos, self.version, &mut leniency)?;
        let len = frame.len();
        Ok(Some(Packet::Publish(checked.take(len, input))))
    }

    fn decode_rarer(
        &mut self,
        first_byte: u8,
        input: &mut BytesMut,
        mut leniency: Leniency<'_>,
    ) -> Result<Option<Packet>, DecodeError> {
        let packet = self.check_first_byte(first_byte, &mut leniency)?;
        let Some((frame, header)) = self.frame(packet, input, &mut leniency)? else { return Ok(None) };
        let total = frame.len();
        if total == header
            && let Some(empty) = match packet {
                PacketType::PingReq => Some(Packet::PingReq),
                PacketType::PingResp => Some(Packet::PingResp),
                _ => None,
            }
        {
            input.advance(total);
            return Ok(Some(empty));
        }
        // An acknowledgement of two bytes, which most are, needs no share of the buffer.
        if let Some(&[high, low]) = frame.get(header..)
            && let Some(ack) = Packet::short_ack(packet, u16::from_be_bytes([high, low]))
        {
            input.advance(total);
            return Ok(Some(ack));
        }
        let frame = input.split_to(total).freeze();
        let packet = Packet::read(packet, Reader::new(frame, header, packet, self.version, leniency))?;
        if let Packet::Connect(connect) = &packet {
            self.version = connect.version;
        }
        Ok(Some(packet))
    }

    /// What [`encode`](Self::encode) would write, in bytes.
    pub fn encoded_len<P: EncodePacket>(&self, packet: &P) -> usize {
        let body = packet.body_len(self.version);
        1 + varint_len(body) + body
    }

    /// Appends a packet to `out`. After an error nothing was written.
    ///
    /// What the version does not have, properties above all, is left out; a packet it does not have is an
    /// error. A CONNECT is written in its own version.
    #[inline]
    pub fn encode<P: EncodePacket>(&self, packet: &P, out: &mut BytesMut) -> Result<(), EncodeError> {
        packet.encode(self, out)
    }

    #[inline(never)]
    pub(crate) fn encode_body<B: Body>(&self, packet: &B, out: &mut BytesMut) -> Result<(), EncodeError> {
        packet.check(self.version)?;
        let body_len = packet.body_len(self.version);
        self.put_header(packet.first_byte(), body_len, body_len, out)?;
        let start = out.len();
        packet.write_body(self.version, out);
        debug_assert_eq!(out.len() - start, body_len, "the length in the header is exact");
        Ok(())
    }

    /// Appends a message as a PUBLISH with QoS 0, whatever its own, and with this RETAIN: once for many receivers, whose
    /// connections take it with [`publish_encoded`](crate::ServerConnection::publish_encoded). After an error nothing was
    /// written.
    pub fn encode_at_most_once(
        &self,
        message: &Message,
        retain: bool,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.encode(&View::at_most_once(message, retain), out)
    }

    /// Appends all of a PUBLISH but its payload, which the caller sends right behind it, uncopied.
    pub fn encode_publish_header(&self, publish: &Publish, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_view_header(&publish.view(), out)
    }

    pub(crate) fn encode_view_header(
        &self,
        publish: &View<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        publish.check(self.version)?;
        let head = publish.head_len(self.version);
        self.put_header(publish.first_byte(), head + publish.payload.len(), head, out)?;
        publish.write_head(self.version, out);
        Ok(())
    }

    /// Writes the fixed header of a packet with `body_len` bytes and makes room for `reserve` of them.
    #[inline]
    fn put_header(
        &self,
        first_byte: u8,
        body_len: usize,
        reserve: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let header_len = 1 + varint_len(body_len);
        let size = (header_len + body_len) as u64;
        if size > u64::from(self.max_outgoing.min(MAX_PACKET_SIZE)) {
            return Err(EncodeError::PacketTooLarge { size, limit: self.max_outgoing.min(MAX_PACKET_SIZE) });
        }
        out.reserve(header_len + reserve);
        // Most packets are short, and to append two bytes together is to ask for room once.
        if let body_len @ 0..=0x7f = body_len {
            out.put_slice(&[first_byte, body_len as u8]);
        } else {
            out.put_u8(first_byte);
            put_varint(out, body_len as u32);
        }
        Ok(())
    }

    /// Writes a packet that is nothing but its fixed header and the bytes of a packet identifier.
    #[inline]
    pub(crate) fn encode_short<const N: usize>(
        &self,
        packet: [u8; N],
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        if N as u32 > self.max_outgoing {
            return Err(EncodeError::PacketTooLarge { size: N as u64, limit: self.max_outgoing });
        }
        out.put_slice(&packet);
        Ok(())
    }

    /// Checks the type and the flags of any packet but a PUBLISH.
    #[inline]
    fn check_first_byte(
        &self,
        first_byte: u8,
        leniency: &mut Leniency<'_>,
    ) -> Result<PacketType, DecodeError> {
        let error = |cause, packet, field| error(cause, packet, self.version, field, 0);
        let packet = match PacketType::from_first_byte(first_byte) {
            Some(PacketType::Auth) if !self.version.has_properties() => None,
            packet => packet,
        };
        let Some(packet) = packet else {
            let cause = DecodeCause::ReservedPacketType(first_byte >> 4);
            return Err(error(cause, None, "MQTT Control Packet type"));
        };
        // [MQTT-2.1.3-1]; the reserved bits of MQTT 3.1 mean nothing, and its clients set DUP in a PUBREL
        if let Some(flags) = packet.required_flags()
            && flags != first_byte & 0x0f
            && self.version != Version::V31
        {
            leniency.forgive(error(DecodeCause::InvalidFlags(first_byte & 0x0f), Some(packet), "Flags"))?;
        }
        Ok(packet)
    }

    /// Reads the Remaining Length and holds it against the limit: the whole packet, and the length of its fixed
    /// header. `None` while it is not complete.
    #[expect(clippy::inline_always, reason = "its result is large to return")]
    #[inline(always)]
    fn frame<'a>(
        &self,
        packet: PacketType,
        input: &'a [u8],
        leniency: &mut Leniency<'_>,
    ) -> Result<Option<(&'a [u8], usize)>, DecodeError> {
        let error = |cause| error(cause, Some(packet), self.version, "Remaining Length", 1);
        let (body, len) = match peek_varint(input.get(1..).unwrap_or_default()) {
            Varint::Value(value, len) => (value, len),
            Varint::NotMinimal(value, len) => {
                leniency.forgive(error(DecodeCause::VariableByteIntegerNotMinimal))?;
                (value, len)
            }
            Varint::Incomplete => return Ok(None),
            Varint::TooLong => return Err(error(DecodeCause::VariableByteIntegerTooLong)),
        };
        let size = 1 + len as u32 + body;
        if size > self.max_incoming {
            return Err(error(DecodeCause::PacketTooLarge { size, limit: self.max_incoming }));
        }
        Ok(input.get(..size as usize).map(|frame| (frame, 1 + len)))
    }
}
