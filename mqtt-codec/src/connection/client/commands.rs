//! What a client asks for: messages, subscriptions, authentication, and the end.

use super::ClientConnection;
use crate::connection::closed::Closed;
use crate::connection::common::auth_fits;
use crate::connection::refused::{DisconnectError, PublishError};
use crate::error::EncodeError;
use crate::message::Message;
use crate::packet::{Auth, Disconnect, EncodePacket, Subscribe, Subscription, Unsubscribe};
use crate::property::{SubscribeProperties, UnsubscribeProperties};
use crate::session::InFlight;
use crate::topic::TopicFilter;
use crate::types::{Instant, PacketId, PacketType};

impl ClientConnection {
    /// Sends a message. Returns the identifier by which [`ClientEvent::Acknowledged`](super::ClientEvent::Acknowledged)
    /// names it, for QoS 1 and 2.
    pub fn publish(&mut self, now: Instant, message: Message) -> Result<Option<PacketId>, PublishError> {
        self.check_connected()?;
        // [MQTT-3.3.4-6]: they are for deliveries, and are dropped from one that is published again.
        let properties = message.properties.without_subscription_identifiers();
        self.core.publish(now, Message { properties, ..message })
    }

    /// Asks for subscriptions. Returns the identifier of the SUBACK that answers.
    pub fn subscribe(
        &mut self,
        now: Instant,
        properties: SubscribeProperties,
        subscriptions: impl IntoIterator<Item = Subscription>,
    ) -> Result<PacketId, PublishError> {
        let packet_id = self.request_id()?;
        let subscribe = Subscribe { properties, ..Subscribe::new(packet_id, subscriptions) };
        self.request(now, &subscribe, PacketType::SubAck, subscribe.subscriptions.len())?;
        Ok(packet_id)
    }

    /// Ends subscriptions. Returns the identifier of the UNSUBACK that answers.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        properties: UnsubscribeProperties,
        filters: impl IntoIterator<Item = TopicFilter>,
    ) -> Result<PacketId, PublishError> {
        let packet_id = self.request_id()?;
        let unsubscribe = Unsubscribe { properties, ..Unsubscribe::new(packet_id, filters) };
        self.request(now, &unsubscribe, PacketType::UnsubAck, unsubscribe.filters.len())?;
        Ok(packet_id)
    }

    /// Sends a step of an enhanced authentication, or begins to authenticate again. [MQTT-4.12.1-1]
    ///
    /// The method is CONNECT's, whichever `auth` brings. A reason that does not fit the state is an error: before
    /// the server has accepted a client can only continue.
    pub fn auth(&mut self, now: Instant, auth: &Auth) -> Result<(), EncodeError> {
        if !self.core.is_open() {
            return Ok(());
        }
        if !auth_fits(auth.reason, false, self.is_connected()) {
            return Err(EncodeError::InvalidReasonCode { packet: PacketType::Auth, code: auth.reason });
        }
        self.core.send_auth(now, auth, self.authentication_method.as_ref())
    }

    /// Says goodbye and closes. What was not acknowledged stays in the session.
    ///
    /// # Errors
    /// The goodbye asks for what MQTT forbids. Nothing was sent, and the connection is as it was.
    pub fn disconnect(&mut self, now: Instant, disconnect: &Disconnect) -> Result<(), DisconnectError> {
        self.check_goodbye(disconnect)?;
        self.core.disconnect(now, disconnect, Closed::Local(disconnect.reason));
        Ok(())
    }

    /// Ends the connection gracefully: no more messages are taken, and the goodbye is said when those in flight, in
    /// both directions, are complete, or at the deadline. What is not complete then stays in the session.
    ///
    /// # Errors
    /// As those of [`disconnect`](Self::disconnect).
    pub fn drain(
        &mut self,
        now: Instant,
        disconnect: Disconnect,
        deadline: Instant,
    ) -> Result<(), DisconnectError> {
        if !self.is_connected() {
            return self.disconnect(now, &disconnect);
        }
        self.check_goodbye(&disconnect)?;
        self.core.drain(now, disconnect, deadline);
        Ok(())
    }

    /// A session that CONNECT gave no life beyond the connection cannot be given one. (MQTT 5.0, chapter 3.14.2.2.2)
    fn check_goodbye(&self, disconnect: &Disconnect) -> Result<(), DisconnectError> {
        let seconds = disconnect.properties.session_expiry_interval().unwrap_or(0);
        if seconds > 0 && self.session_expiry == 0 && self.version().has_properties() && !self.is_closed() {
            return Err(DisconnectError::SessionExpiry { seconds });
        }
        Ok(())
    }

    fn check_connected(&self) -> Result<(), PublishError> {
        if self.is_connected() { Ok(()) } else { Err(PublishError::NotConnected) }
    }

    fn request_id(&self) -> Result<PacketId, PublishError> {
        self.check_connected()?;
        self.core.session.outbound.next_id().ok_or(PublishError::NoPacketId)
    }

    fn request<P: EncodePacket>(
        &mut self,
        now: Instant,
        packet: &P,
        answer: PacketType,
        filters: usize,
    ) -> Result<(), EncodeError> {
        self.core.send(now, packet)?;
        self.core.session.outbound.insert(InFlight::Request { answer, filters }, false);
        Ok(())
    }
}
