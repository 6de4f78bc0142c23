//! `Replaceable`: a policy in whose place another can be put while the broker runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use mqttkit_codec::{TopicFilter, TopicName};

use super::{Action, Admission, BoxFuture, Client, ConnectRequest, Decision, Policy, Refusal};

/// A policy that can be replaced: rules that were edited, users that came from elsewhere. Clones are handles to the
/// same one.
///
/// Clients that are in stay in, with what they were [admitted](Admission) with; what they may do from now on the new
/// policy says. A rewriting of filters should not change: who has subscribed by the old one cannot unsubscribe by the
/// new one. It costs one lock for each question, which is held to copy a pointer.
///
/// ```
/// use mqttkit_broker_core::{Acl, AllowAll, Broker, Chain, Replaceable};
///
/// let policy = Replaceable::new(AllowAll);
/// let broker = Broker::builder().policy(policy.clone()).build();
/// policy.replace(Chain::new().then(Acl::parse("allow all subscribe public/#")?));
/// # Ok::<(), mqttkit_broker_core::AclError>(())
/// ```
#[derive(Clone)]
pub struct Replaceable {
    current: Arc<RwLock<Arc<dyn Policy>>>,
}

impl Replaceable {
    /// This one for now.
    pub fn new(policy: impl Policy) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(policy))) }
    }

    /// This one from now on. A client about which the earlier one is still thinking is decided by that.
    pub fn replace(&self, policy: impl Policy) {
        let policy: Arc<dyn Policy> = Arc::new(policy);
        let old = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, policy)
        };
        // Whatever its end does happens without the lock.
        drop(old);
    }

    fn get(&self) -> Arc<dyn Policy> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Policy for Replaceable {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let policy = self.get();
        Box::pin(async move { policy.authenticate(request).await })
    }

    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        self.get().authorise(client, action)
    }

    fn rewrite_topic(&self, client: &Client, topic: &TopicName) -> Option<TopicName> {
        self.get().rewrite_topic(client, topic)
    }

    fn rewrite_filter(&self, client: &Client, filter: &TopicFilter) -> Option<TopicFilter> {
        self.get().rewrite_filter(client, filter)
    }
}

impl fmt::Debug for Replaceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaceable").finish_non_exhaustive()
    }
}
