//! Connecting and disconnecting: who has a session, when it ends, and what becomes of its will.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use mqttkit_codec::{Closed, ConnAck, Connect, Instant, ReasonCode, Session as InFlight, Str, Version};

use super::handover::InFlightForGroups;
use super::outbox::Room;
use super::session::{FOR_EVER, Left, Link, LinkKind, LinkStatus, Session, weight_of};
use super::{ClientKey, State};
use crate::budget::SESSION;
use crate::events::{DropCause, Event};
use crate::notify::Notify;
use crate::policy::Client;
use crate::store::StoreOp;

/// The answer to a CONNECT.
#[derive(Debug)]
pub(crate) enum Connecting {
    /// The client is in.
    Accepted(Box<Accepted>),
    /// Another connection has the session and was asked to give it back. Ask again when the bell rings.
    Wait,
    /// Not possible.
    Refused(ReasonCode),
}

/// A client that is in.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) client: ClientKey,
    /// Who it is, by the identifier that was assigned to it if it had none.
    pub(crate) who: Arc<Client>,
    /// What to send, but for what the codec connection fills in itself.
    pub(crate) connack: ConnAck,
    /// What was in flight when the client was last seen.
    pub(crate) in_flight: InFlight,
    /// Which of that came for groups.
    pub(crate) for_groups: InFlightForGroups,
    /// How many QoS 1 and 2 messages the client takes at a time.
    pub(crate) window: u16,
}

impl State {
    /// Gives a client of the network its session.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        connect: &Connect,
        client: &Arc<Client>,
        notify: &Arc<Notify>,
    ) -> Connecting {
        let client_id = match client.client_id() {
            none if none.is_empty() => self.assign_id(),
            client_id => client_id.clone(),
        };
        if let Some(slot) = self.slot_of(&client_id) {
            match self.sessions[slot].presence.link().map(|link| (link.kind, link.id)) {
                // [MQTT-3.1.4-3]: the earlier connection must end, and first give back what is in flight.
                Some((LinkKind::Network, _)) => {
                    self.kick_slot(slot, ReasonCode::SessionTakenOver.into());
                    self.sessions[slot].presence.wait(notify);
                    return Connecting::Wait;
                }
                Some((LinkKind::Local, link)) => {
                    self.disconnected(
                        now,
                        ClientKey { slot, link },
                        InFlight::new(),
                        InFlightForGroups::new(),
                        &Closed::Transport,
                    );
                }
                None => {}
            }
        }
        let expiry = self.granted_expiry(connect);
        let expiry = client.limits().session_expiry.map_or(expiry, |limit| expiry.min(limit));
        if !expiry.is_zero() || connect.will.is_some() {
            if self.journal.has_failed() {
                return Connecting::Refused(ReasonCode::ServerUnavailable);
            }
            if self.journal.is_behind() {
                return Connecting::Refused(ReasonCode::ServerBusy);
            }
        }
        // [MQTT-3.1.4-4]; and what was below one mount point is not for those below another.
        if let Some(slot) = self.slot_of(&client_id)
            && (connect.clean_start || self.sessions[slot].mount_point.as_deref() != client.mount_point())
        {
            self.end_session(now, slot);
        }
        let known = self.slot_of(&client_id).is_some();
        let new = if known { 0 } else { SESSION + 2 * client_id.len() };
        if !self.budget.may_last(new + connect.will.as_ref().map_or(0, weight_of), 0) {
            return Connecting::Refused(ReasonCode::QuotaExceeded);
        }
        let (slot, session_present) = match self.slot_of(&client_id) {
            Some(slot) => (slot, true),
            None if self.sessions.len() >= self.config.max_sessions => {
                return Connecting::Refused(ReasonCode::QuotaExceeded);
            }
            None => (self.new_session(client_id.clone()), false),
        };
        let mut who = Arc::clone(client);
        if who.client_id() != &client_id {
            Arc::make_mut(&mut who).set_id(client_id.clone());
        }
        let receive_maximum = connect.properties.receive_maximum().unwrap_or(NonZeroU16::MAX);
        let (link, left) = self.attach(now, slot, notify, Some(Arc::clone(&who)), receive_maximum);
        let session = &mut self.sessions[slot];
        session.expiry = expiry;
        session.will = connect.will.as_ref().map(|will| Box::new(will.detached()));
        session.bridge = connect.bridge;
        session.mount_point = who.mount_point().cloned().map(Box::new);
        let Left { in_flight, for_groups } = left.map(|left| *left).unwrap_or_default();
        session.weigh(&self.budget);
        self.record_session(slot, None);
        let window = receive_maximum.get();
        let connack = self.conn_ack(connect, session_present, expiry, &client_id);
        let client = ClientKey { slot, link };
        Connecting::Accepted(Box::new(Accepted { client, who, connack, in_flight, for_groups, window }))
    }

    /// Gives a client in this process a session of its own, which ends when the client does. With an identifier
    /// that a connected client has, it is refused.
    pub(crate) fn connect_local(
        &mut self,
        now: Instant,
        client_id: Option<Str>,
        notify: &Arc<Notify>,
    ) -> Result<(ClientKey, Str), ReasonCode> {
        let client_id = client_id.unwrap_or_else(|| self.assign_id());
        if let Some(slot) = self.slot_of(&client_id) {
            if self.sessions[slot].is_online() {
                return Err(ReasonCode::ClientIdentifierNotValid);
            }
            self.end_session(now, slot);
        }
        if self.sessions.len() >= self.config.max_sessions || !self.budget.may_last(SESSION, 0) {
            return Err(ReasonCode::QuotaExceeded);
        }
        let slot = self.new_session(client_id.clone());
        let (link, _) = self.attach(now, slot, notify, None, NonZeroU16::MAX);
        Ok((ClientKey { slot, link }, client_id))
    }

    /// A connection has ended and gives back what is in flight.
    pub(crate) fn disconnected(
        &mut self,
        now: Instant,
        client: ClientKey,
        in_flight: InFlight,
        for_groups: InFlightForGroups,
        closed: &Closed,
    ) {
        if self.current(client).is_none() {
            return;
        }
        let slot = client.slot;
        let room = Room::offline(&self.config).within(&self.budget, self.sessions.len());
        let session = &mut self.sessions[slot];
        let old = session.deadline();
        session.slow_at = None;
        let left = (!in_flight.is_empty()).then(|| Box::new(Left { in_flight, for_groups }));
        self.successors.extend(session.presence.leave(left));
        self.counters.clients -= 1;
        self.observers
            .emit(|| Event::Disconnected { client_id: session.client_id.clone(), cause: closed.clone() });
        if let Closed::Peer(disconnect) = closed {
            // [MQTT-3.14.4-3]: 0x04 is the goodbye that keeps the will.
            if disconnect.reason == ReasonCode::NORMAL_DISCONNECTION {
                session.will = None;
            }
            // A session that was to end with its connection cannot be given a life here.
            let asked = disconnect.properties.session_expiry_interval();
            if let Some(asked) = asked.filter(|_| session.expiry > Duration::ZERO) {
                session.expiry = interval(asked).min(self.config.session_expiry);
            }
        }
        if session.expiry.is_zero() {
            self.timers.set(slot, old, None);
            return self.end_session(now, slot);
        }
        let Self { journal, counters, observers, .. } = self;
        let (client_id, kept) = (&session.client_id, session.kept);
        let gone = |delivery| {
            if kept {
                journal.tell(|_| StoreOp::Dropped { client_id: client_id.clone(), delivery });
            }
        };
        let dropped = session.outbox.go_offline(room, self.config.offline_qos0, gone);
        counters.lose(observers, client_id, DropCause::Offline, dropped);
        let expires_at = (session.expiry != FOR_EVER).then(|| now + session.expiry);
        let delay = session.will.as_ref().and_then(|will| will.properties.will_delay_interval());
        let (at_once, will_at) = match delay.unwrap_or(0) {
            0 => (session.will.take().map(|will| *will), None),
            // [MQTT-3.1.3-9]: a client that is back in time keeps its will from being published.
            seconds => (None, Some(now + Duration::from_secs(seconds.into()))),
        };
        session.presence.set_times(expires_at, will_at);
        session.weigh(&self.budget);
        let deadline = session.deadline();
        self.timers.set(slot, old, deadline);
        if let Some(will) = at_once {
            self.publish_will(now, slot, will);
        }
        self.record_session(slot, Some(now));
    }

    /// Forgets a session. A will that waits is published: it must not outlive the session. [MQTT-3.1.2-8]
    pub(super) fn end_session(&mut self, now: Instant, slot: usize) {
        let Some(mut session) = self.sessions.try_remove(slot) else { return };
        session.weighs_nothing(&self.budget);
        self.names.remove(slot, &session.client_id);
        self.timers.set(slot, session.deadline(), None);
        for filter in session.subscriptions.iter() {
            self.router.remove(filter, slot);
        }
        let orphans = session.take_orphans();
        let waiting = session.outbox.len() as u64;
        self.counters.lose(&mut self.observers, &session.client_id, DropCause::SessionEnded, waiting);
        self.hand_over(now, &session.client_id, session.kept, orphans);
        if let Some(will) = session.will {
            self.publish_will_of(now, session.recorded.then_some(&session.client_id), *will);
        }
        if session.recorded {
            // Behind what it leaves to others.
            self.journal.tell(|_| StoreOp::SessionEnded { client_id: session.client_id });
        }
    }

    pub(super) fn new_session(&mut self, client_id: Str) -> usize {
        let slot = self.sessions.insert(Session::new(client_id, &self.budget));
        self.names.insert(slot, &self.sessions);
        self.sessions[slot].weigh(&self.budget);
        slot
    }

    /// A client in this process is nobody that a policy knows. Returns what identifies the connection, and what an earlier
    /// one left.
    fn attach(
        &mut self,
        now: Instant,
        slot: usize,
        notify: &Arc<Notify>,
        client: Option<Arc<Client>>,
        window: NonZeroU16,
    ) -> (u64, Option<Box<Left>>) {
        self.next_link += 1;
        let id = self.next_link;
        let session = &mut self.sessions[slot];
        let old = session.deadline();
        session.will = None;
        // It comes to fetch what waits as soon as it has been answered.
        let status = LinkStatus::Blocked;
        let window = window.get();
        let kind = if client.is_some() { LinkKind::Network } else { LinkKind::Local };
        let (notify, since) = (Arc::clone(notify), now);
        let limits = client.as_ref().map(|client| client.limits());
        let messages = limits.and_then(|limits| limits.outbox_messages).unwrap_or(usize::MAX);
        let bytes = limits.and_then(|limits| limits.outbox_bytes).unwrap_or(usize::MAX);
        let left = session.presence.come(Link {
            id,
            notify,
            kind,
            status,
            window,
            encoding: None,
            kick: None,
            max_messages: messages.min(self.config.outbox_messages).try_into().unwrap_or(u32::MAX),
            max_bytes: bytes.min(self.config.outbox_bytes),
            client,
            since,
        });
        self.timers.set(slot, old, None);
        self.counters.clients += 1;
        let session = &self.sessions[slot];
        self.observers.emit(|| Event::Connected {
            client_id: session.client_id.clone(),
            client: session.presence.link().and_then(|link| link.client.clone()),
        });
        (id, left)
    }

    /// An identifier that no session has.
    fn assign_id(&mut self) -> Str {
        loop {
            self.next_link += 1;
            let id = format!("{}-{}", self.id_prefix, self.next_link);
            match Str::try_from(id) {
                Ok(id) if self.slot_of(&id).is_none() => return id,
                // A prefix that cannot be part of an identifier: do without.
                Err(_) => self.id_prefix = String::from("auto"),
                Ok(_) => {}
            }
        }
    }

    fn granted_expiry(&self, connect: &Connect) -> Duration {
        let asked = match connect.version {
            Version::V5 => interval(connect.properties.session_expiry_interval().unwrap_or(0)),
            // Clean Session in MQTT 3 also says that the session ends with the connection.
            Version::V31 | Version::V311 if connect.clean_start => Duration::ZERO,
            Version::V31 | Version::V311 => FOR_EVER,
        };
        asked.min(self.config.session_expiry)
    }

    fn conn_ack(&self, connect: &Connect, session_present: bool, expiry: Duration, id: &Str) -> ConnAck {
        let mut connack = ConnAck::accepted(session_present);
        if !connect.version.has_properties() {
            return connack;
        }
        let asked = connect.properties.session_expiry_interval().unwrap_or(0);
        if interval(asked) != expiry {
            let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
            connack.properties = connack.properties.with_session_expiry_interval(seconds);
        }
        // [MQTT-3.1.3-7]
        if connect.client_id.is_empty() {
            connack.properties = connack.properties.with_assigned_client_identifier(id);
        }
        if let Some(text) = &self.config.response_information
            && let Ok(text) = Str::try_from(text.replace("%c", id))
        {
            // The codec connection leaves it out for a client that has not asked. [MQTT-3.1.2-28]
            connack.properties = connack.properties.with_response_information(&text);
        }
        if let Some(maximum) = self.config.max_keep_alive
            && (connect.keep_alive == 0 || connect.keep_alive > maximum.get())
        {
            connack.properties = connack.properties.with_server_keep_alive(maximum.get());
        }
        connack
    }
}

/// A Session Expiry Interval: the largest number means that the session does not end.
fn interval(seconds: u32) -> Duration {
    if seconds == u32::MAX { FOR_EVER } else { Duration::from_secs(seconds.into()) }
}
