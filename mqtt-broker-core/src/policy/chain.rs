//! `Chain`: several policies as one.

use mqttkit_codec::{TopicFilter, TopicName};

use super::{Action, Admission, BoxFuture, Client, ConnectRequest, Decision, Policy, Refusal};

/// Policies that are asked in order: the first that decides has decided, of each question anew.
///
/// A client is in when one admits it, out when one refuses it. [`Admission::undecided`] and [`Refusal::unknown`] pass
/// the question on; at the end a client that somebody asked for and did not know is refused, and otherwise let in
/// anonymously. One with an authentication method is in only if the policy that admits it looked at its
/// [exchange](ConnectRequest::exchange). The same holds for [`Decision::Undecided`]; at the end the client may. Rewriting goes through all in
/// order, each working on what the one before made.
///
/// ```
/// use mqttkit_broker_core::{AllowAll, Chain};
///
/// let policy = Chain::new().then(AllowAll).then(AllowAll);
/// ```
#[derive(Debug, Default)]
pub struct Chain {
    policies: Vec<Box<dyn Policy>>,
}

impl Chain {
    /// Of none, which lets everybody do everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// And then this one.
    #[must_use]
    pub fn then(mut self, policy: impl Policy) -> Self {
        self.policies.push(Box::new(policy));
        self
    }
}

impl Policy for Chain {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let mut unknown = None;
            for policy in &self.policies {
                // Who lets a client in must have looked at its exchange itself.
                if let Some(exchange) = request.exchange {
                    exchange.forget_notice();
                }
                match policy.authenticate(request).await {
                    Ok(admission) if admission.undecided => {}
                    Err(refusal) if refusal.undecided => unknown = Some(refusal),
                    decided => return decided,
                }
            }
            unknown.map_or_else(|| Ok(Admission::undecided()), Err)
        })
    }

    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        let decisions = self.policies.iter().map(|policy| policy.authorise(client, action));
        decisions.into_iter().find(|decision| *decision != Decision::Undecided).unwrap_or(Decision::Undecided)
    }

    fn rewrite_topic(&self, client: &Client, topic: &TopicName) -> Option<TopicName> {
        self.policies
            .iter()
            .fold(None, |made, policy| policy.rewrite_topic(client, made.as_ref().unwrap_or(topic)).or(made))
    }

    fn rewrite_filter(&self, client: &Client, filter: &TopicFilter) -> Option<TopicFilter> {
        self.policies.iter().fold(None, |made, policy| {
            policy.rewrite_filter(client, made.as_ref().unwrap_or(filter)).or(made)
        })
    }
}
