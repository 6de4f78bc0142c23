//! What a server sends: messages, answers to requests, authentication, and the end.

use super::{Phase, ServerConnection};
use crate::codec::Codec;
use crate::connection::closed::Closed;
use crate::connection::common::auth_fits;
use crate::connection::refused::PublishError;
use crate::error::EncodeError;
use crate::message::Message;
use crate::packet::{Auth, Disconnect, SubAck, UnsubAck};
use crate::types::{Instant, PacketId, PacketType};

impl ServerConnection {
    /// Sends a message. Returns the identifier by which [`ServerEvent::Acknowledged`](super::ServerEvent::Acknowledged)
    /// names it, for QoS 1 and 2. With [`ServerConfig::stepwise`](super::ServerConfig::stepwise), one of QoS 2 takes its
    /// place here and waits for [`send`](Self::send).
    pub fn publish(&mut self, now: Instant, message: Message) -> Result<Option<PacketId>, PublishError> {
        self.check_connected()?;
        self.core.publish(now, message)
    }

    /// Sends a message with QoS 0, whatever its own, and with this RETAIN. It is written from where it is: nothing of it
    /// is taken or shared, but a payload of 2 KiB or more. For a message that goes to many.
    ///
    /// # Errors
    /// As those of [`publish`](Self::publish).
    pub fn publish_shared(
        &mut self,
        now: Instant,
        message: &Message,
        retain: bool,
    ) -> Result<(), PublishError> {
        self.check_connected()?;
        self.core.publish_shared(now, message, retain)
    }

    /// The codec for what [`publish_encoded`](Self::publish_encoded) takes, with the version and the largest packet of this
    /// client. `None` where this side sets topic aliases, as a packet then depends on those before it.
    pub fn shared_codec(&self) -> Option<&Codec> {
        self.core.shared_codec()
    }

    /// Sends messages of QoS 0 that were encoded elsewhere, once for many receivers: whole packets, as
    /// [`Codec::encode_at_most_once`] makes them with the [`shared_codec`](Self::shared_codec) of this connection, or with
    /// any of the same version as long as they are not larger than that allows. They are copied.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use mqttkit_codec::{Codec, Instant, Message, PublishError, ServerConnection, TopicName};
    ///
    /// fn to_all(now: Instant, clients: &mut [ServerConnection], message: &Message) -> Result<(), PublishError> {
    ///     let mut encoded: Vec<(Codec, BytesMut)> = Vec::new();
    ///     for client in clients {
    ///         let Some(codec) = client.shared_codec() else {
    ///             client.publish_shared(now, message, false)?;
    ///             continue;
    ///         };
    ///         let known = encoded.iter().position(|(it, _)| it.version() == codec.version());
    ///         let known = known.unwrap_or_else(|| {
    ///             encoded.push((Codec::new(codec.version()), BytesMut::new()));
    ///             encoded.len() - 1
    ///         });
    ///         let (codec, packet) = &mut encoded[known];
    ///         if packet.is_empty() {
    ///             codec.encode_at_most_once(message, false, packet)?;
    ///         }
    ///         client.publish_encoded(now, packet)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When the client is not connected, or not any more. What is in the packets is not looked at.
    pub fn publish_encoded(&mut self, now: Instant, packets: &[u8]) -> Result<(), PublishError> {
        self.check_connected()?;
        self.core.publish_encoded(now, packets)
    }

    /// Answers a SUBSCRIBE.
    pub fn sub_ack(&mut self, now: Instant, ack: &SubAck) -> Result<(), PublishError> {
        self.check_connected()?;
        Ok(self.core.send_with_text(now, ack)?)
    }

    /// Answers an UNSUBSCRIBE.
    pub fn unsub_ack(&mut self, now: Instant, ack: &UnsubAck) -> Result<(), PublishError> {
        self.check_connected()?;
        Ok(self.core.send_with_text(now, ack)?)
    }

    /// Sends a step of an enhanced authentication, before the client is accepted or, later, to authenticate again.
    ///
    /// The method is CONNECT's, whichever `auth` brings. A reason that does not fit the state is an error: before
    /// the client is accepted a server can only continue. [MQTT-4.12.0-2]
    pub fn auth(&mut self, now: Instant, auth: &Auth) -> Result<(), EncodeError> {
        if !self.core.is_open() {
            return Ok(());
        }
        if !auth_fits(auth.reason, true, self.phase == Phase::Connected) {
            return Err(EncodeError::InvalidReasonCode { packet: PacketType::Auth, code: auth.reason });
        }
        self.core.send_auth(now, auth, self.client.authentication_method.as_deref())?;
        if self.phase == Phase::AwaitAnswer {
            self.phase = Phase::Authenticating { deadline: now + self.config.connect_timeout };
        }
        Ok(())
    }

    /// Ends the connection, with a DISCONNECT where the version has one for servers.
    pub fn disconnect(&mut self, now: Instant, disconnect: &Disconnect) {
        self.say_goodbye(now, disconnect, Closed::Local(disconnect.reason));
    }

    /// Ends the connection gracefully: no more messages are taken, and the goodbye is said when those in flight, in
    /// both directions, are complete, or at the deadline. What is not complete then stays in the session.
    pub fn drain(&mut self, now: Instant, disconnect: Disconnect, deadline: Instant) {
        if self.check_connected().is_ok() {
            self.core.drain(now, disconnect, deadline);
        } else {
            self.disconnect(now, &disconnect);
        }
    }

    /// The keep-alive of the client begins anew. For a server that has not read from its client for a while, so that the
    /// silence was its own.
    pub fn forgive_silence(&mut self, now: Instant) {
        self.core.received_at = now;
        self.core.progress.complete();
    }

    pub(super) fn check_connected(&self) -> Result<(), PublishError> {
        if self.core.is_open() && self.phase == Phase::Connected {
            Ok(())
        } else {
            Err(PublishError::NotConnected)
        }
    }

    /// Servers have a DISCONNECT from MQTT 5.0 on.
    pub(super) fn say_goodbye(&mut self, now: Instant, disconnect: &Disconnect, closed: Closed) {
        if self.version().has_properties() && self.phase == Phase::Connected {
            // [MQTT-3.14.2-2]
            let mut disconnect = disconnect.clone();
            disconnect.properties.remove(0x11);
            self.core.disconnect(now, &disconnect, closed);
        } else {
            self.core.close(closed);
        }
    }
}
