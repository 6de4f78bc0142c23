//! `Client`: who was allowed in, and `Action`: what it wants to do.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use mqttkit_codec::{Connect, Message, Str, Subscription, Version};
use mqttkit_ws_transport::PeerInfo;

use super::{Admission, Identity, Limits};

/// A client that was allowed in.
#[derive(Clone)]
pub struct Client {
    id: Str,
    user_name: Option<Box<Str>>,
    version: Version,
    /// `None` for one that was let in as everybody is.
    admission: Option<Box<Admission>>,
    peer: Arc<PeerInfo>,
}

impl Client {
    /// The client of this CONNECT, as for a test of a policy.
    pub fn new(connect: &Connect, admission: impl Into<Admission>, peer: Arc<PeerInfo>) -> Self {
        let mut admission = admission.into();
        let id = match admission.client_id.take() {
            Some(given) if !connect.client_id.is_empty() => given,
            _ => connect.client_id.detached(),
        };
        let user_name = connect.user_name.as_ref().map(|name| Box::new(name.detached()));
        admission.authentication_data = None;
        let admission = (!admission.is_everybodys()).then(|| Box::new(admission));
        Self { id, user_name, version: connect.version, admission, peer }
    }

    pub(crate) fn set_id(&mut self, client_id: Str) {
        self.id = client_id;
    }

    /// It has authenticated again. Where it is mounted and what it may keep was decided when it came.
    pub(crate) fn renew(&mut self, admission: Admission) {
        let Admission { identity, data, limits, .. } = admission;
        let own = self.admission.get_or_insert_default();
        own.identity = identity;
        own.data = data;
        own.limits.valid_for = limits.valid_for;
    }

    /// The client identifier, or the one that the policy gave it instead; an assigned one if the client had none. For the will of such a client it is empty.
    pub fn client_id(&self) -> &Str {
        &self.id
    }

    /// The user name of its CONNECT. Who it really is says [`identity`](Self::identity).
    pub fn user_name(&self) -> Option<&Str> {
        self.user_name.as_deref()
    }

    /// The version it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// As whom it was allowed in.
    pub fn identity(&self) -> &Identity {
        &self.admission().identity
    }

    /// The limits it was given.
    pub fn limits(&self) -> &Limits {
        &self.admission().limits
    }

    /// What is put in front of all its topics, with the `/` at its end.
    pub fn mount_point(&self) -> Option<&Str> {
        self.admission().mount_point.as_ref()
    }

    /// What the policy wanted to remember of it, if that is a `T`.
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.admission().data.as_deref()?.downcast_ref()
    }

    fn admission(&self) -> &Admission {
        static EVERYBODYS: Admission = Admission::EVERYBODYS;
        self.admission.as_deref().unwrap_or(&EVERYBODYS)
    }

    /// Where it comes from.
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("user_name", &self.user_name)
            .field("version", &self.version)
            .field("admission", self.admission())
            .field("peer", &self.peer)
            .finish()
    }
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Publish this message, now or as its will.
    Publish(&'a Message),
    /// Make this subscription.
    Subscribe(&'a Subscription),
}
