//! `Acl`: rules in a file, of which the first that fits decides.

mod parse;
mod pattern;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mqttkit_codec::TopicError;
use mqttkit_ws_transport::Cidr;

use self::pattern::Pattern;
use super::{Action, Client, Decision, Policy};

/// Rules for what clients may do, one in a line. The first that fits decides; where none does, the client may not.
///
/// ```text
/// # decision  who          what       topic filters
/// deny        all          all        secret/# "of the house/#"
/// allow       user alice   publish    sensors/#
/// allow       client door  all        doors/%c/#
/// allow       anonymous    subscribe  public/#
/// allow       all          all        home/%u/#
/// allow       from 10.0.0.0/8  subscribe  $SYS/#
/// ```
///
/// - The decision is `allow` or `deny`.
/// - Who: `all`, `anonymous` (without a name), `user NAME`, `client IDENTIFIER`, `from NETWORK`, or
///   `role KEY=VALUE` for an [attribute](super::Identity::attribute).
/// - What: `publish`, `subscribe` or `all`.
/// - One or more topic filters. `%u` stands for the name of the client, `%c` for its identifier, anywhere in a level.
///   A client whose name has a `/`, `+` or `#` in it, or that has none, does not fit such a filter. `%%` is `%`.
/// - Words with spaces or `#` in front are written in double quotes. A line that begins with `#` is a comment.
///
/// A subscription is allowed by a filter that has room for everything it could bring, and denied by one that it could
/// bring anything of: with `deny all all secret/#`, nobody may subscribe to `#`. As always, `#` and `+` at the start
/// do not match topics that begin with `$`.
///
/// It says nothing about who may connect: put it into a [`Chain`](super::Chain) behind a policy that does.
///
/// ```
/// use mqttkit_broker_core::{Acl, AllowAll, Chain};
///
/// let acl = Acl::parse("allow all all home/%u/#")?;
/// let policy = Chain::new().then(acl).then(AllowAll);
/// # Ok::<(), mqttkit_broker_core::AclError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acl {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    allow: bool,
    who: Who,
    publish: bool,
    subscribe: bool,
    filters: Vec<Pattern>,
}

#[derive(Clone, Debug)]
enum Who {
    All,
    Anonymous,
    User(Box<str>),
    Client(Box<str>),
    From(Cidr),
    Role(Box<str>, Box<str>),
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AclError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A rule is wrong.
    #[error("line {line}: {problem}")]
    Syntax {
        /// In which line; the first is 1.
        line: usize,
        /// What is wrong with it.
        problem: AclProblem,
    },
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AclProblem {
    /// It does not begin with a decision.
    #[error("expected allow or deny, found {found:?}")]
    Decision {
        /// The word in its place.
        found: String,
    },
    /// It does not say for whom it is.
    #[error("expected all, anonymous, user, client, from or role, found {found:?}")]
    Who {
        /// The word in its place.
        found: String,
    },
    /// The network after `from` is none.
    #[error("{found:?} is not a network such as 10.0.0.0/8")]
    Network {
        /// The word in its place.
        found: String,
    },
    /// There is no `=` in what follows `role`.
    #[error("expected KEY=VALUE, found {found:?}")]
    Role {
        /// The word in its place.
        found: String,
    },
    /// It does not say what is allowed or denied.
    #[error("expected publish, subscribe or all, found {found:?}")]
    What {
        /// The word in its place.
        found: String,
    },
    /// It has no topic filter.
    #[error("there is no topic filter")]
    NoFilter,
    /// A topic filter is none.
    #[error("the topic filter {filter:?} is wrong: {source}")]
    Filter {
        /// As it stands there.
        filter: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// A `%` is followed by something else than `u`, `c` or `%`.
    #[error("the topic filter {filter:?} has a % that is not %u, %c or %%")]
    Placeholder {
        /// The topic filter.
        filter: String,
    },
    /// A quotation mark has no second one.
    #[error("a quotation mark is not closed")]
    Quote,
}

impl Acl {
    /// From text.
    ///
    /// # Errors
    /// [`AclError::Syntax`] for the first rule that is wrong.
    pub fn parse(text: &str) -> Result<Self, AclError> {
        let mut rules = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let rule = parse::rule(line).map_err(|problem| AclError::Syntax { line: number, problem })?;
            rules.extend(rule);
        }
        Ok(Self { rules })
    }

    /// From a file.
    ///
    /// # Errors
    /// [`AclError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AclError> {
        let path = path.as_ref();
        let text =
            fs::read_to_string(path).map_err(|source| AclError::Io { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    fn decide(&self, client: &Client, action: &Action<'_>) -> bool {
        let rules = self.rules.iter().filter(|rule| rule.who.is(client));
        let decided = match action {
            Action::Publish(message) => {
                let topic = message.topic.as_str();
                rules
                    .filter(|rule| rule.publish)
                    .find(|rule| rule.any(|filter| filter.matches(topic, client)))
            }
            Action::Subscribe(subscription) => {
                let wanted = subscription.filter.pattern();
                rules.filter(|rule| rule.subscribe).find(|rule| {
                    if rule.allow {
                        rule.any(|filter| filter.covers(wanted, client))
                    } else {
                        rule.any(|filter| filter.overlaps(wanted, client))
                    }
                })
            }
        };
        decided.is_some_and(|rule| rule.allow)
    }
}

impl Policy for Acl {
    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        Decision::from(self.decide(client, action))
    }
}

impl Rule {
    fn any(&self, fits: impl Fn(&Pattern) -> bool) -> bool {
        self.filters.iter().any(fits)
    }
}

impl Who {
    fn is(&self, client: &Client) -> bool {
        match self {
            Self::All => true,
            Self::Anonymous => client.identity().name().is_none(),
            Self::User(name) => client.identity().name() == Some(name),
            Self::Client(id) => client.client_id().as_str() == &**id,
            Self::From(network) => {
                let address: Option<IpAddr> = client.peer().address.map(|address| address.ip());
                address.is_some_and(|address| network.contains(address))
            }
            Self::Role(key, value) => client.identity().attribute(key) == Some(value),
        }
    }
}

#[cfg(test)]
mod tests;
