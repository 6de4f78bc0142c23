//! What a client may do, and what that is about: the policy is asked, topics and filters are rewritten and mounted.

use mqttkit_codec::{Message, PacketType, ReasonCode, Str, Subscription, TopicFilter};

use super::{Peer, Verdict};
use crate::policy::{Action, Decision, mounted_filter, mounted_topic};

impl Peer {
    /// Gives a message the topic it is really for, if the client may publish it. Clients do not speak in the broker's
    /// name, whatever the policy.
    pub(super) fn place_message(&self, message: &mut Message) -> Verdict {
        if let (Some(policy), Some(client)) = (&self.rules.policy, &self.client)
            && let Some(topic) = policy.rewrite_topic(client, &message.topic)
        {
            message.topic = topic;
        }
        if message.topic.as_bytes().starts_with(b"$SYS/") {
            return Err(ReasonCode::NotAuthorized);
        }
        self.judge(&Action::Publish(message), PacketType::PubAck)?;
        if let Some(mount_point) = self.mount_point() {
            message.topic = mounted_topic(mount_point, &message.topic).ok_or(ReasonCode::TopicNameInvalid)?;
        }
        Ok(())
    }

    /// A subscription with the filter it is really for, if the client may make it.
    pub(super) fn place_subscription(
        &self,
        mut subscription: Subscription,
    ) -> Result<Subscription, ReasonCode> {
        if let (Some(policy), Some(client)) = (&self.rules.policy, &self.client)
            && let Some(filter) = policy.rewrite_filter(client, &subscription.filter)
        {
            subscription.filter = filter;
        }
        self.rules.capabilities.check_filter(&subscription.filter)?;
        self.judge(&Action::Subscribe(&subscription), PacketType::SubAck)?;
        if let Some(mount_point) = self.mount_point() {
            subscription.filter =
                mounted_filter(mount_point, &subscription.filter).ok_or(ReasonCode::TopicFilterInvalid)?;
        }
        Ok(subscription)
    }

    /// The same for a filter that the client unsubscribes from. `None` if there can be no such subscription.
    pub(super) fn place_filter(&self, mut filter: TopicFilter) -> Option<TopicFilter> {
        if let (Some(policy), Some(client)) = (&self.rules.policy, &self.client)
            && let Some(rewritten) = policy.rewrite_filter(client, &filter)
        {
            filter = rewritten;
        }
        match self.mount_point() {
            Some(mount_point) => mounted_filter(mount_point, &filter),
            None => Some(filter),
        }
    }

    fn mount_point(&self) -> Option<&Str> {
        self.client.as_ref()?.mount_point()
    }

    fn judge(&self, action: &Action<'_>, answer: PacketType) -> Verdict {
        let (Some(policy), Some(client)) = (&self.rules.policy, &self.client) else { return Ok(()) };
        match policy.authorise(client, action) {
            Decision::Allow | Decision::Undecided => Ok(()),
            Decision::Deny(reason) if reason.is_error() && reason.is_allowed_in(answer) => Err(reason),
            Decision::Deny(_) => Err(ReasonCode::NotAuthorized),
        }
    }
}
