//! Requests to subscribe and unsubscribe, what is subscribed to, and who reads it.

use super::{Work, is_own};
use crate::error::SubscribeError;
use crate::event::Event;
use crate::outbox::{Answer, Command, Load, Request, RequestKind};
use crate::subscription::OnDrop;
use mqttkit_codec::{
    EncodeError, List, PacketId, ReasonCode, SubscribeProperties, Subscription, SubscriptionOptions,
    TopicFilter, UnsubscribeProperties,
};
use std::num::NonZeroU32;

/// A subscription that the server has granted.
#[derive(Debug, Clone)]
pub(super) struct Known {
    options: SubscriptionOptions,
    properties: SubscribeProperties,
    identifier: Option<u32>,
    /// It was asked for without a stream, and so stays when streams are dropped.
    plain: bool,
}

/// Subscriptions restored with one request.
const RESUBSCRIBE_BATCH: usize = 64;

impl Work {
    /// A request is about to be sent: its messages may come before its answer. `None` when nobody wants it any more.
    pub(in crate::driver) fn begin(&mut self, mut request: Request) -> Option<Request> {
        let RequestKind::Subscribe(list, properties) = &request.kind else { return Some(request) };
        if request.reader.as_ref().is_some_and(|reader| reader.inbox.is_abandoned()) {
            self.released.add(request.load);
            return None;
        }
        let own = properties.subscription_identifier().map(NonZeroU32::get);
        if request.reader.is_some() && self.identifiers && own.is_none() && request.identifier.is_none() {
            request.identifier = Some(self.router.next_identifier());
        }
        let identifier = own.or(request.identifier).filter(|_| self.identifiers);
        for Subscription { filter, .. } in list {
            if let Some(reader) = &request.reader {
                self.router.add(filter, reader);
            }
            self.router.identify(filter, identifier);
        }
        Some(request)
    }

    /// The properties with the client's own Subscription Identifier, where the server takes it.
    pub(in crate::driver) fn identified(
        &self,
        properties: SubscribeProperties,
        identifier: Option<u32>,
    ) -> SubscribeProperties {
        match identifier.and_then(NonZeroU32::new) {
            Some(identifier) if self.identifiers => properties.with_subscription_identifier(identifier),
            _ => properties,
        }
    }

    /// Nobody reads these streams any more.
    pub(in crate::driver) fn streams_gone(&mut self, ids: &[u64]) {
        let mut ended = Vec::new();
        for (filter, on_drop) in ids.iter().flat_map(|&id| self.router.remove_reader(id)) {
            match (self.subscriptions.get_mut(&filter), on_drop) {
                (Some(known), OnDrop::Keep) => known.plain = true,
                (Some(known), OnDrop::Unsubscribe) if !known.plain => {
                    self.subscriptions.remove(&filter);
                    ended.push(filter);
                }
                _ => {}
            }
        }
        self.unsubscribe(ended);
    }

    /// Ends subscriptions that nobody wants. It goes in front: whoever wants them again asks later.
    fn unsubscribe(&mut self, filters: Vec<TopicFilter>) {
        if !filters.is_empty() {
            let kind = RequestKind::Unsubscribe(filters, UnsubscribeProperties::new());
            self.pending.push_front(Command::Request(own(kind, None)));
        }
    }

    pub(in crate::driver) fn asked(&mut self, id: PacketId, request: Request) {
        self.requests.push_back((id, request));
    }

    /// A request cannot be written.
    pub(in crate::driver) fn unwritable(&mut self, request: Request, error: EncodeError) {
        let Request { kind, ticket, load, identifier, reader } = request;
        self.released.add(load);
        if let Some(ticket) = ticket {
            if let (RequestKind::Subscribe(list, _), Some(reader)) = (&kind, reader) {
                for subscription in list {
                    self.router.detach(&subscription.filter, reader.id);
                }
            }
            return ticket.resolve(Err(SubscribeError::Encode(error)));
        }
        let RequestKind::Subscribe(mut list, properties) = kind else { return };
        if list.len() > 1 {
            // A batch of our own, which was too large for this server.
            let rest = list.split_off(list.len() / 2);
            self.restore_first(rest, properties.clone(), identifier);
            self.restore_first(list, properties, identifier);
        } else if let Some(subscription) = list.pop() {
            self.lose(subscription.filter, ReasonCode::PacketTooLarge);
        }
    }

    pub(in crate::driver) fn answered(&mut self, id: PacketId, reasons: &List<ReasonCode>) {
        let Some(at) = self.requests.iter().position(|&(open, _)| open == id) else { return };
        let Some((_, Request { kind, ticket, load, reader, identifier })) = self.requests.remove(at) else {
            return;
        };
        self.released.add(load);
        let mut reasons: Vec<_> = reasons.iter().collect();
        match kind {
            RequestKind::Subscribe(list, properties) => {
                reasons.resize(list.len(), ReasonCode::UnspecifiedError);
                let mut unwanted = Vec::new();
                for (subscription, &reason) in list.into_iter().zip(&reasons) {
                    let Subscription { filter, options } = subscription;
                    let was_plain = self.subscriptions.get(&filter).is_some_and(|known| known.plain);
                    match (&reader, reason.is_error()) {
                        (Some(reader), true) => self.router.detach(&filter, reader.id),
                        (None, true) if ticket.is_none() => self.lose(filter, reason),
                        (None, true) => {}
                        (Some(reader), false)
                            if reader.inbox.is_abandoned() && !was_plain && !self.router.reads(&filter) =>
                        {
                            self.subscriptions.remove(&filter);
                            unwanted.push(filter);
                        }
                        (reader, false) => {
                            let plain = was_plain || (reader.is_none() && ticket.is_some());
                            let properties = properties.clone();
                            self.subscriptions
                                .insert(filter, Known { options, properties, identifier, plain });
                        }
                    }
                }
                self.unsubscribe(unwanted);
            }
            RequestKind::Unsubscribe(list, _) => {
                // Before MQTT 5.0 there are no reasons, and nothing can fail.
                reasons.resize(list.len(), ReasonCode::Success);
                for (filter, reason) in list.iter().zip(&reasons) {
                    // What the client ends by itself it has forgotten already, and it may be wanted again.
                    if !reason.is_error() && ticket.is_some() {
                        self.subscriptions.remove(filter);
                        self.router.remove_filter(filter);
                    }
                }
            }
        }
        if let Some(ticket) = ticket {
            let answer: Answer = Ok(reasons);
            ticket.resolve(answer);
        }
    }

    fn lose(&mut self, filter: TopicFilter, reason: ReasonCode) {
        self.subscriptions.remove(&filter);
        self.router.remove_filter(&filter);
        self.shared.tell(&Event::SubscriptionLost { filter, reason });
    }

    /// Asks for all subscriptions again, before everything else.
    pub(super) fn resubscribe(&mut self) -> usize {
        self.pending.retain(|command| !is_own(command));
        let mut batches: Vec<(Vec<Subscription>, SubscribeProperties, Option<u32>)> = Vec::new();
        for (filter, Known { options, properties, identifier, .. }) in &self.subscriptions {
            let subscription = Subscription { filter: filter.clone(), options: *options };
            match batches.last_mut() {
                Some((list, same, also))
                    if list.len() < RESUBSCRIBE_BATCH
                        && same.as_bytes() == properties.as_bytes()
                        && also == identifier =>
                {
                    list.push(subscription);
                }
                _ => batches.push((vec![subscription], properties.clone(), *identifier)),
            }
        }
        for (list, properties, identifier) in batches.into_iter().rev() {
            self.restore_first(list, properties, identifier);
        }
        self.subscriptions.len()
    }

    fn restore_first(
        &mut self,
        list: Vec<Subscription>,
        properties: SubscribeProperties,
        identifier: Option<u32>,
    ) {
        let kind = RequestKind::Subscribe(list, properties);
        self.pending.push_front(Command::Request(own(kind, identifier)));
    }
}

/// One of the driver's own requests.
fn own(kind: RequestKind, identifier: Option<u32>) -> Request {
    Request { kind, ticket: None, load: Load::default(), reader: None, identifier }
}
