//! How a client comes in: from its CONNECT to its session.

use std::mem;
use std::sync::Arc;

use mqttkit_codec::{Binary, ConnAck, Connect, Instant, Message, PacketType, ReasonCode};

use super::meter::Meter;
use super::{Peer, Phase, Rare, Step};
use crate::policy::{Admission, Client, Refusal};
use crate::state::{Connecting, State};

impl Peer {
    /// Gives the connection back if the policy must be asked first.
    pub(super) fn on_connect(
        &mut self,
        now: Instant,
        state: &mut State,
        connect: Box<Connect>,
    ) -> Option<Box<Connect>> {
        self.phase = Phase::Deciding(None);
        if let Err(reason) = self.check(now, &connect) {
            self.claim(&connect);
            self.refuse(now, &Refusal::new(reason));
            return None;
        }
        if self.rules.policy.is_some() {
            self.claim(&connect);
            return Some(connect);
        }
        self.allow(now, connect, Admission::default());
        self.tell(state);
        self.enter(now, state);
        None
    }

    /// What needs no policy to be refused.
    fn check(&mut self, now: Instant, connect: &Connect) -> Result<(), ReasonCode> {
        if self.rules.doorman.is_banned(now, connect, self.address()) {
            return Err(ReasonCode::Banned);
        }
        self.rules.capabilities.check_will(connect)?;
        // [MQTT-4.12.0-1]: without a policy no method is supported.
        if self.begin_exchange(connect) { Ok(()) } else { Err(ReasonCode::BadAuthenticationMethod) }
    }

    /// Keeps who a client says it is, of one that is not let in yet.
    fn claim(&mut self, connect: &Connect) {
        self.rare().claimed = Some(connect.client_id.detached());
    }

    /// Lets a client that was allowed in have its session, as soon as that is free.
    pub(super) fn enter(&mut self, now: Instant, state: &mut State) {
        let Phase::Deciding(waiting) = &mut self.phase else { return };
        let Some(connect) = waiting.take() else { return };
        let Some(client) = &self.client else { return };
        let before = state.store_position();
        match state.connect(now, &connect, client, &self.notify) {
            Connecting::Accepted(accepted) => {
                self.phase = Phase::Open(accepted.client);
                self.undecided = 0;
                let limits = accepted.who.limits();
                let valid_until = limits.valid_for.map(|valid| now + valid);
                // All the rest of that is over.
                let rare = valid_until.map(|_| Box::new(Rare { valid_until, ..Rare::default() }));
                let last_word = mem::replace(&mut self.rare, rare).and_then(|rare| rare.last_word);
                self.meter = Meter::new(&self.rules.config, limits);
                self.client = Some(accepted.who);
                self.for_groups = accepted.for_groups;
                self.window = accepted.window;
                if let Some(steps) = &mut self.steps
                    && let Some(op) = state.store_is_behind()
                {
                    // Whoever comes again and again could add a little each time.
                    steps.hold(op);
                }
                let mut connack = self.rules.capabilities.announce(accepted.connack);
                if let Some(data) = last_word.and_then(|data| Binary::try_from(data).ok()) {
                    // The codec connection names the method, and leaves both out if there was none.
                    connack.properties = connack.properties.with_authentication_data(&data);
                }
                self.answer(now, state, before, Step::Accept(Box::new((connack, accepted.in_flight))));
            }
            Connecting::Wait => self.phase = Phase::Deciding(Some(connect)),
            Connecting::Refused(reason) => self.refuse(now, &Refusal::new(reason)),
        }
    }

    /// The policy lets the client in. Asks it about the client's will; not to be called under the lock.
    pub(crate) fn allow(&mut self, now: Instant, mut connect: Box<Connect>, admission: Admission) {
        if let Some(ban) = self.rules.doorman.arrives(now, &connect.client_id) {
            self.rare().ban = Some(ban);
            self.refuse(now, &Refusal::new(ReasonCode::Banned));
            return;
        }
        if let Some(data) = &admission.authentication_data {
            self.rare().last_word = Some(data.clone());
        }
        let client = Client::new(&connect, admission, Arc::clone(&self.info));
        self.client = Some(Arc::new(client));
        if let Some(will) = &mut connect.will {
            let mut message = Message::from(will.clone());
            if let Err(reason) = self.place_message(&mut message) {
                self.refuse(now, &Refusal::new(reason));
                return;
            }
            will.topic = message.topic;
        }
        self.phase = Phase::Deciding(Some(connect));
    }

    /// The client is not let in, or not any more.
    pub(crate) fn refuse(&mut self, now: Instant, refusal: &Refusal) {
        if self.is_open() && !self.is_entering() {
            return self.dismiss(now, refusal);
        }
        let reason = refusal.reason();
        let fits = reason.is_error() && reason.is_allowed_in(PacketType::ConnAck);
        let mut connack = ConnAck::refused(if fits { reason } else { ReasonCode::NotAuthorized });
        if let Some(text) = refusal.text() {
            connack.properties = connack.properties.with_reason_string(text);
        }
        if let Some(server) = refusal.server() {
            connack.properties = connack.properties.with_server_reference(server);
        }
        self.connection.refuse(now, &connack);
    }
}
