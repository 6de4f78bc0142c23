//! The programs on both ends: what they do when something happens.

use mqttkit_codec::{AckToken, ClientEvent, Closed, ConnAck, Message, QoS, ReasonCode, ServerEvent, SubAck};

use super::model::Way;
use super::{Held, Pair};

impl Pair {
    pub(super) fn on_server(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Connect(connect) => {
                let present = !connect.clean_start && self.stored.is_some();
                if !present {
                    self.down.flow.abandon();
                }
                self.accepted = Some(present);
                // Tokens do not survive when another session takes the place of theirs.
                if self.stored.is_none() {
                    self.up.held.clear();
                }
                let session = self.stored.take().unwrap_or_default();
                let mut connack = ConnAck::accepted(present);
                if let Some(seconds) = self.limits.server_keep_alive {
                    connack.properties = connack.properties.with_server_keep_alive(seconds);
                }
                self.server.accept(self.now, connack, session);
            }
            ServerEvent::Publish { message, dup, token } => self.receive(Way::Up, &message, dup, token),
            ServerEvent::Subscribe(subscribe) => {
                let ack = SubAck::new(subscribe.packet_id, [ReasonCode::GrantedQoS2]);
                self.server.sub_ack(self.now, &ack).expect("the server is connected");
            }
            ServerEvent::Acknowledged { packet_id, reason } => {
                self.down.flow.acknowledged(packet_id, reason, &self.limits);
            }
            ServerEvent::Closed(closed) => {
                assert!(!matches!(closed, Closed::Protocol(_)), "the client: {closed}");
                self.server_ended = true;
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn on_client(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected { lost, .. } => {
                self.client_connected = true;
                let lost: Vec<_> = lost.into_iter().map(|(id, message)| (id, message.payload)).collect();
                self.up.flow.lost(&lost);
            }
            ClientEvent::Publish { message, dup, token } => self.receive(Way::Down, &message, dup, token),
            ClientEvent::Acknowledged { packet_id, reason } => {
                self.up.flow.acknowledged(packet_id, reason, &self.limits);
            }
            ClientEvent::SubAck(ack) => self.up.flow.request_done(ack.packet_id),
            ClientEvent::Closed(closed) => {
                assert!(!matches!(closed, Closed::Protocol(_) | Closed::Refused(_)), "the server: {closed}");
                self.client_ended = true;
            }
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, way: Way, message: &Message, dup: bool, token: Option<AckToken>) {
        let connection = self.connection;
        let peace = self.peace;
        let direction = self.direction(way);
        let number = direction.flow.received(message, dup, connection);
        match token {
            Some(token) => {
                direction.held.push(Held { token, number, connection });
                if peace {
                    self.acknowledge(way, self.direction_len(way) - 1, false);
                }
            }
            None => direction.flow.answered(number, false),
        }
    }

    /// Whether the receiver's session is with its connection, which alone can take an acknowledgement: between two
    /// connections the server's is stored.
    pub(super) fn has_session(&self, way: Way) -> bool {
        way == Way::Down || self.accepted.is_some()
    }

    pub(super) fn direction_len(&self, way: Way) -> usize {
        match way {
            Way::Up => self.up.held.len(),
            Way::Down => self.down.held.len(),
        }
    }

    pub(super) fn acknowledge(&mut self, way: Way, index: usize, refuse: bool) {
        let connection = self.connection;
        let direction = self.direction(way);
        let held = direction.held.remove(index);
        tell!(self, "{way:?} acknowledges {} of {}, refused: {refuse}", held.number, held.connection);
        let direction = self.direction(way);
        // One of an earlier connection is good for QoS 2 only: QoS 1 comes again.
        if held.connection == connection || held.token.qos() == QoS::ExactlyOnce {
            direction.flow.answered(held.number, refuse);
        }
        let reason = if refuse { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        match way {
            Way::Up => self.server.ack(self.now, held.token, reason),
            Way::Down => self.client.ack(self.now, held.token, reason),
        }
    }
}
