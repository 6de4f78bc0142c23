//! A topic filter with placeholders, and what it has in common with topics and with other filters.

use mqttkit_codec::TopicFilter;

use super::super::Client;
use super::AclProblem;

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
enum Level {
    /// `#`
    Rest,
    /// `+`
    Any,
    /// Text with placeholders; without any it is one piece.
    Text(Vec<Piece>),
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(Box<str>),
    User,
    Client,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, AclProblem> {
        if let Err(source) = TopicFilter::try_from(text) {
            return Err(AclProblem::Filter { filter: text.to_owned(), source });
        }
        let levels = text.split('/').map(|level| match level {
            "#" => Some(Level::Rest),
            "+" => Some(Level::Any),
            level => pieces(level).map(Level::Text),
        });
        let levels = levels.collect::<Option<Vec<_>>>();
        levels
            .map(|levels| Self { levels })
            .ok_or_else(|| AclProblem::Placeholder { filter: text.to_owned() })
    }

    /// Whether a topic fits.
    pub(super) fn matches(&self, topic: &str, client: &Client) -> bool {
        self.covers(topic, client)
    }

    /// Whether every topic that `filter` can match fits. A topic is the filter that matches itself alone.
    pub(super) fn covers(&self, filter: &str, client: &Client) -> bool {
        if self.passes_over_dollar(filter) {
            return false;
        }
        let mut theirs = filter.split('/');
        for level in &self.levels {
            let covered = match (level, theirs.next()) {
                // `a/#` also matches `a`.
                (Level::Rest, _) => return true,
                (_, None | Some("#")) => false,
                (Level::Any, Some(_)) => true,
                // A name that could be taken for a wildcard fits nothing: see `is_text`.
                (Level::Text(pieces), Some(text)) => is_text(pieces, text, client),
            };
            if !covered {
                return false;
            }
        }
        theirs.next().is_none()
    }

    /// Whether some topic that `filter` matches fits.
    pub(super) fn overlaps(&self, filter: &str, client: &Client) -> bool {
        if self.passes_over_dollar(filter) {
            return false;
        }
        // `#` and `+` of theirs do not match `$SYS` either.
        if filter.starts_with(['#', '+']) && self.begins_with_dollar() {
            return false;
        }
        let mut theirs = filter.split('/');
        for level in &self.levels {
            let overlap = match (level, theirs.next()) {
                (Level::Rest, _) | (_, Some("#")) => return true,
                (_, None) => false,
                (Level::Any, Some(_)) => true,
                (Level::Text(pieces), Some("+")) => is_possible(pieces, client),
                (Level::Text(pieces), Some(text)) => is_text(pieces, text, client),
            };
            if !overlap {
                return false;
            }
        }
        matches!(theirs.next(), None | Some("#"))
    }

    /// [MQTT-4.7.2-1]
    fn passes_over_dollar(&self, topic: &str) -> bool {
        topic.starts_with('$') && matches!(self.levels.first(), Some(Level::Rest | Level::Any))
    }

    fn begins_with_dollar(&self) -> bool {
        let Some(Level::Text(pieces)) = self.levels.first() else { return false };
        matches!(pieces.first(), Some(Piece::Literal(text)) if text.starts_with('$'))
    }
}

impl Piece {
    /// `None` where it stands for something that this client has not, or that would mean more than itself.
    fn text<'a>(&'a self, client: &'a Client) -> Option<&'a str> {
        let value = match self {
            Self::Literal(text) => return Some(text),
            Self::User => client.identity().name()?,
            Self::Client => client.client_id().as_str(),
        };
        (!value.is_empty() && !value.contains(['/', '+', '#'])).then_some(value)
    }
}

fn is_possible(pieces: &[Piece], client: &Client) -> bool {
    pieces.iter().all(|piece| piece.text(client).is_some())
}

fn is_text(pieces: &[Piece], text: &str, client: &Client) -> bool {
    let mut rest = text;
    for piece in pieces {
        let Some(after) = piece.text(client).and_then(|text| rest.strip_prefix(text)) else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn pieces(level: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = level.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            literal.push(char);
            continue;
        }
        let piece = match chars.next() {
            Some('u') => Piece::User,
            Some('c') => Piece::Client,
            Some('%') => {
                literal.push('%');
                continue;
            }
            _ => return None,
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Some(pieces)
}
