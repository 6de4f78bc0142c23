//! One line of rules.

use super::pattern::Pattern;
use super::{AclProblem, Rule, Who};

/// The rule in a line, if there is one.
pub(super) fn rule(line: &str) -> Result<Option<Rule>, AclProblem> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let mut words = words(line)?.into_iter();
    let Some(decision) = words.next() else { return Ok(None) };
    let allow = match decision.as_str() {
        "allow" => true,
        "deny" => false,
        _ => return Err(AclProblem::Decision { found: decision }),
    };
    let mut next = || words.next().unwrap_or_default();
    let who = who(next(), &mut next)?;
    let what = next();
    let (publish, subscribe) = match what.as_str() {
        "publish" => (true, false),
        "subscribe" => (false, true),
        "all" => (true, true),
        _ => return Err(AclProblem::What { found: what }),
    };
    let filters = words.map(|filter| Pattern::parse(&filter)).collect::<Result<Vec<_>, _>>()?;
    if filters.is_empty() {
        return Err(AclProblem::NoFilter);
    }
    Ok(Some(Rule { allow, who, publish, subscribe, filters }))
}

fn who(word: String, next: &mut impl FnMut() -> String) -> Result<Who, AclProblem> {
    Ok(match word.as_str() {
        "all" => Who::All,
        "anonymous" => Who::Anonymous,
        "user" => Who::User(next().into()),
        "client" => Who::Client(next().into()),
        "from" => {
            let network = next();
            Who::From(network.parse().map_err(|_| AclProblem::Network { found: network })?)
        }
        "role" => {
            let role = next();
            let Some((key, value)) = role.split_once('=') else {
                return Err(AclProblem::Role { found: role });
            };
            Who::Role(key.into(), value.into())
        }
        _ => return Err(AclProblem::Who { found: word }),
    })
}

/// Words between spaces, or in double quotes.
fn words(line: &str) -> Result<Vec<String>, AclProblem> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or(AclProblem::Quote)?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Ok(words)
}
