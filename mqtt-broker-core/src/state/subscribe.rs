//! Subscribing and unsubscribing.

use std::num::NonZeroU32;

use mqttkit_codec::{ReasonCode, RetainHandling, Subscription, TopicFilter};
use tracing::level_filters::LevelFilter;

use crate::events::Event;
use crate::remarks::Remark;
use crate::store::StoreOp;

use super::outbox::Ids;
use super::publish::levels;
use super::retained::Cursor;
use super::router::Wish;
use super::session::weight_of_filter;
use super::{ClientKey, State};

impl State {
    /// Subscribes a client to one filter. The reason is what SUBACK says of it.
    pub(crate) fn subscribe(
        &mut self,
        client: ClientKey,
        subscription: &Subscription,
        id: Option<NonZeroU32>,
    ) -> ReasonCode {
        let reason = self.try_subscribe(client, subscription, id);
        self.note_subscription(client, &subscription.filter, reason);
        reason
    }

    /// For the log: how a subscription went, in the state or before it.
    pub(crate) fn note_subscription(&mut self, client: ClientKey, filter: &TopicFilter, reason: ReasonCode) {
        let Some(session) = self.sessions.get(client.slot) else { return };
        self.observers.remarks.add_at(LevelFilter::DEBUG, || Remark::Subscribed {
            client_id: session.client_id.clone(),
            filter: filter.detached(),
            reason,
        });
    }

    fn try_subscribe(
        &mut self,
        client: ClientKey,
        subscription: &Subscription,
        id: Option<NonZeroU32>,
    ) -> ReasonCode {
        if self.current(client).is_none() {
            return ReasonCode::UnspecifiedError;
        }
        if self.journal.has_failed() && self.sessions[client.slot].kept {
            return ReasonCode::QuotaExceeded;
        }
        if levels(subscription.filter.as_bytes()) > self.config.max_topic_levels {
            return ReasonCode::TopicFilterInvalid;
        }
        let session = &mut self.sessions[client.slot];
        let known = session.subscriptions.get(&subscription.filter).cloned();
        let limit = session.limits().and_then(|limits| limits.max_subscriptions).unwrap_or(usize::MAX);
        if known.is_none() && session.subscriptions.len() >= limit.min(self.config.max_subscriptions) {
            return ReasonCode::QuotaExceeded;
        }
        let weight = weight_of_filter(&subscription.filter);
        if known.is_none() && !self.budget.may_last(weight, session.filters) {
            return ReasonCode::QuotaExceeded;
        }
        let mut options = subscription.options;
        // [MQTT-3.2.2-10]: a filter is taken with any QoS, and granted less.
        options.qos = options.qos.min(self.config.maximum_qos);
        if session.bridge {
            options.no_local |= !subscription.filter.is_shared();
            options.retain_as_published = true;
        }
        let is_new = known.is_none();
        let filter = known.unwrap_or_else(|| {
            let filter = subscription.filter.detached();
            session.subscriptions.insert(filter.clone());
            session.filters += weight;
            session.weigh(&self.budget);
            filter
        });
        self.router.insert(&filter, client.slot, Wish { options, id });
        // [MQTT-3.3.1-9] to [MQTT-3.3.1-11]; a shared subscription gets none
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        let sends_retained = wants_retained && !filter.is_shared() && self.retained.len() > 0;
        if session.kept {
            let (client_id, filter) = (session.client_id.clone(), filter.clone());
            let retained_up_to = sends_retained.then_some(self.sequence);
            let op = StoreOp::Subscribed { client_id, filter, options, identifier: id, retained_up_to };
            self.journal.tell(|_| op);
        }
        if sends_retained {
            // One cursor for each subscription, so that subscribing over and over costs no memory.
            session.cursors.push_back(Cursor::new(filter, self.sequence, options.qos, Ids::new(id)));
        }
        self.observers.emit(|| Event::Subscribed {
            client_id: session.client_id.clone(),
            filter: subscription.filter.detached(),
            qos: options.qos,
        });
        ReasonCode::granted(options.qos)
    }

    /// Ends one subscription of a client. The reason is what UNSUBACK says of it.
    pub(crate) fn unsubscribe(&mut self, client: ClientKey, filter: &TopicFilter) -> ReasonCode {
        if self.current(client).is_none() {
            return ReasonCode::UnspecifiedError;
        }
        let session = &mut self.sessions[client.slot];
        self.observers.remarks.add_at(LevelFilter::DEBUG, || Remark::Unsubscribed {
            client_id: session.client_id.clone(),
            filter: filter.detached(),
        });
        session.cursors.forget(filter);
        if !session.subscriptions.remove(filter) {
            return ReasonCode::NoSubscriptionExisted;
        }
        session.filters -= weight_of_filter(filter);
        session.weigh(&self.budget);
        self.observers
            .emit(|| Event::Unsubscribed { client_id: session.client_id.clone(), filter: filter.detached() });
        if session.kept {
            let (client_id, filter) = (session.client_id.clone(), filter.detached());
            self.journal.tell(|_| StoreOp::Unsubscribed { client_id, filter });
        }
        self.router.remove(filter, client.slot);
        ReasonCode::Success
    }
}
