//! `Command`: what the handles give the driver to do.

use super::Load;
use crate::delivery::{Delivery, Offline, Priority};
use crate::error::SubscribeError;
use crate::inbox::Inbox;
use crate::promise::Resolver;
use crate::store::{Desk, StoredMessage};
use crate::subscription::OnDrop;
use crate::ticket::{Outcome, TicketResolver};
use mqttkit_codec::{
    Disconnect, Instant, Message, QoS, ReasonCode, SubscribeProperties, Subscription, TopicFilter,
    UnsubscribeProperties,
};
use std::sync::Arc;
use std::time::Duration;

/// Something for the driver to do.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Outgoing),
    Request(Request),
}

/// A message on its way, with the place it takes in the queue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    pub(crate) ticket: TicketResolver,
    pub(crate) load: Load,
    pub(crate) delivery: Delivery,
    /// When it is of no more use.
    pub(crate) expires: Option<Instant>,
}

/// What the server answers to a SUBSCRIBE or UNSUBSCRIBE.
pub(crate) type Answer = Result<Vec<ReasonCode>, SubscribeError>;

/// A SUBSCRIBE or UNSUBSCRIBE. Without a ticket it is one of the driver's own, which restores a lost session.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: RequestKind,
    pub(crate) ticket: Option<Resolver<Answer>>,
    pub(crate) load: Load,
    /// The stream that wants what comes of it.
    pub(crate) reader: Option<Reader>,
    /// The Subscription Identifier that the client gives it, beside the properties.
    pub(crate) identifier: Option<u32>,
}

/// A stream that reads from one or more filters.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) id: u64,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) on_drop: OnDrop,
}

#[derive(Debug, Clone)]
pub(crate) enum RequestKind {
    Subscribe(Vec<Subscription>, SubscribeProperties),
    Unsubscribe(Vec<TopicFilter>, UnsubscribeProperties),
}

/// The wish to end gracefully.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) disconnect: Disconnect,
    pub(crate) timeout: Duration,
    /// Told what was left.
    pub(crate) done: Resolver<crate::Leftover>,
}

impl Outgoing {
    /// Puts it into the store, if it is one that is kept.
    pub(crate) fn keep(&mut self, desk: &Arc<Desk>) {
        if self.message.qos == QoS::AtMostOnce {
            return;
        }
        let kept = desk.keep(|key| StoredMessage {
            key,
            message: self.message.clone(),
            priority: self.delivery.priority,
            expires: self.expires.map(|at| desk.system_time(at)),
        });
        self.ticket.keep(kept);
    }
}

impl Command {
    pub(crate) fn load(&self) -> Load {
        match self {
            Self::Publish(outgoing) => outgoing.load,
            Self::Request(request) => request.load,
        }
    }

    pub(crate) fn priority(&self) -> Priority {
        match self {
            Self::Publish(outgoing) => outgoing.delivery.priority,
            Self::Request(_) => Priority::Normal,
        }
    }

    /// Whether it makes no sense without a connection.
    pub(crate) fn is_dropped_offline(&self) -> bool {
        matches!(self, Self::Publish(Outgoing { message, delivery, .. })
            if message.qos == QoS::AtMostOnce && delivery.offline == Offline::Drop)
    }

    pub(crate) fn expires(&self) -> Option<Instant> {
        match self {
            Self::Publish(outgoing) => outgoing.expires,
            Self::Request(_) => None,
        }
    }

    /// Whether it is a message of which no connection has had anything: one that is published anew may have arrived.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Publish(outgoing) if outgoing.ticket.is_queued())
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Publish(outgoing) if outgoing.ticket.is_cancelled())
    }

    /// Ends a message before it was sent. A request that is dropped says by itself that it is over.
    pub(crate) fn resolve(self, outcome: Outcome) {
        if let Self::Publish(outgoing) = self {
            outgoing.ticket.resolve(outcome);
        }
    }
}
