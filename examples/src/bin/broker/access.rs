//! Who may come in and do what: the files that the settings name, as one policy.

use std::collections::HashMap;
use std::path::Path;

use mqttkit_broker_core::{
    Acl, Action, Admission, BoxFuture, CertificateIdentity, CertificateName, Chain, Client, ConnectRequest,
    Decision, Identity, PasswordFile, Policy, ReasonCode, Refusal, Str, TopicFilter, TopicName,
};

use crate::file::{self, Access, Listener, Step, is_set};

/// The policy that the settings describe; `None` if everybody may do everything.
pub(crate) fn policy(access: &Access, listeners: &[Listener]) -> Result<Option<Placed>, String> {
    let configured: Vec<Step> = STEPS.into_iter().filter(|step| is_configured(access, *step)).collect();
    if let Some(step) = configured.iter().find(|step| !access.order.contains(step)) {
        return Err(format!("access.order leaves out {step:?}, which is configured: nobody would ask it"));
    }
    let mut chain = Chain::new();
    for step in access.order.iter().filter(|step| configured.contains(step)) {
        chain = match step {
            Step::Certificate => chain.then(CertificateIdentity::new(certificate_name(access))),
            Step::Passwords => chain.then(passwords(&access.password_file)?),
            Step::Anonymous => chain.then(Anonymous),
            Step::Acl => chain.then(acl(&access.acl_file)?),
        };
    }
    let everywhere = Template::parse("access.mount-point", &access.mount_point, check_topic)?;
    let mut by_listener = HashMap::new();
    for listener in listeners {
        let what = format!("mount-point of {}", listener.display_name());
        if let Some(template) = Template::parse(&what, &listener.mount_point, check_topic)? {
            by_listener.insert(listener.display_name(), template);
        }
    }
    let client_id = Template::parse("access.client-id", &access.client_id, |_| Ok(()))?;
    if configured.is_empty() && everywhere.is_none() && by_listener.is_empty() && client_id.is_none() {
        return Ok(None);
    }
    Ok(Some(Placed { chain, everywhere, by_listener, client_id }))
}

const STEPS: [Step; 4] = [Step::Certificate, Step::Passwords, Step::Anonymous, Step::Acl];

fn is_configured(access: &Access, step: Step) -> bool {
    match step {
        Step::Certificate => access.certificate_identity != file::CertificateName::Off,
        Step::Passwords => is_set(&access.password_file),
        Step::Anonymous => access.allow_anonymous,
        Step::Acl => is_set(&access.acl_file),
    }
}

fn certificate_name(access: &Access) -> CertificateName {
    match access.certificate_identity {
        file::CertificateName::Off | file::CertificateName::CommonName => CertificateName::CommonName,
        file::CertificateName::Subject => CertificateName::Subject,
        file::CertificateName::DnsName => CertificateName::DnsName,
        file::CertificateName::Uri => CertificateName::Uri,
    }
}

fn passwords(path: &Path) -> Result<PasswordFile, String> {
    PasswordFile::open(path).map_err(|error| format!("--password-file {}: {error}", path.display()))
}

fn acl(path: &Path) -> Result<Acl, String> {
    Acl::open(path).map_err(|error| format!("--acl-file {}: {error}", path.display()))
}

/// Lets in who has neither a name nor a password.
struct Anonymous;

impl Policy for Anonymous {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let connect = request.connect;
        let verdict = if request.exchange.is_some() {
            Err(Refusal::unknown_method())
        } else if connect.user_name.is_none() && connect.password.is_none() {
            Ok(Identity::anonymous().into())
        } else {
            Err(Refusal::unknown())
        };
        Box::pin(std::future::ready(verdict))
    }
}

/// What the chain decides, and below which topic a client is.
pub(crate) struct Placed {
    chain: Chain,
    everywhere: Option<Template>,
    /// By the names of listeners.
    by_listener: HashMap<String, Template>,
    client_id: Option<Template>,
}

impl Placed {
    /// Of no policy: everybody may do everything.
    pub(crate) fn nobody() -> Self {
        Self { chain: Chain::new(), everywhere: None, by_listener: HashMap::new(), client_id: None }
    }

    fn place(&self, request: &ConnectRequest<'_>, mut admission: Admission) -> Option<Admission> {
        let client_id = request.connect.client_id.as_str();
        let user = admission.identity().name().map(ToOwned::to_owned);
        let user = user.as_deref();
        let listener = request.peer.listener.as_deref();
        let own = listener.and_then(|name| self.by_listener.get(name));
        if let Some(template) = own.or(self.everywhere.as_ref()) {
            let mount_point = TopicName::try_from(template.fill(user, client_id, true)?).ok()?;
            admission = admission.with_mount_point(&mount_point);
        }
        if let Some(template) = &self.client_id {
            admission = admission.with_client_id(Str::try_from(template.fill(user, client_id, false)?).ok()?);
        }
        Some(admission)
    }
}

impl Policy for Placed {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let admission = self.chain.authenticate(request).await?;
            self.place(&request, admission).ok_or_else(|| {
                Refusal::new(ReasonCode::NotAuthorized).with_text("the name has no place in topics")
            })
        })
    }

    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        self.chain.authorise(client, action)
    }

    fn rewrite_topic(&self, client: &Client, topic: &TopicName) -> Option<TopicName> {
        self.chain.rewrite_topic(client, topic)
    }

    fn rewrite_filter(&self, client: &Client, filter: &TopicFilter) -> Option<TopicFilter> {
        self.chain.rewrite_filter(client, filter)
    }
}

/// A text in which `%u` stands for the name of the user and `%c` for the client identifier.
#[derive(Debug)]
struct Template(String);

impl Template {
    fn parse(
        what: &str,
        text: &str,
        check: impl Fn(String) -> Result<(), String>,
    ) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let template = Self(text.to_owned());
        let filled = template.fill(Some("user"), "client", false).unwrap_or_default();
        check(filled).map_err(|problem| format!("{what} \"{text}\": {problem}"))?;
        Ok(Some(template))
    }

    /// `None` for somebody without a name, or, in a topic, with a name or identifier that would be several levels or
    /// match several, or none.
    fn fill(&self, user: Option<&str>, client_id: &str, in_topic: bool) -> Option<String> {
        let fits = |text: &str| !(text.is_empty() || in_topic && text.contains(['/', '+', '#']));
        let mut filled = String::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('%') {
            filled.push_str(&rest[..at]);
            let (value, taken) = match rest.as_bytes().get(at + 1) {
                Some(b'u') => (user.filter(|user| fits(user))?, 2),
                Some(b'c') => (Some(client_id).filter(|id| fits(id))?, 2),
                Some(b'%') => ("%", 2),
                _ => ("%", 1),
            };
            filled.push_str(value);
            rest = &rest[at + taken..];
        }
        filled.push_str(rest);
        Some(filled)
    }
}

fn check_topic(filled: String) -> Result<(), String> {
    TopicName::try_from(filled).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_names_that_are_one_level() {
        let template = Template("t/%u/%c/100%%".to_owned());
        assert_eq!(template.fill(Some("ada"), "door", true).as_deref(), Some("t/ada/door/100%"));
        for (user, client_id) in
            [(None, "c"), (Some(""), "c"), (Some("a/b"), "c"), (Some("#"), "c"), (Some("a"), "+")]
        {
            assert_eq!(template.fill(user, client_id, true), None, "{user:?} {client_id}");
        }
        assert_eq!(Template("%u:%c".to_owned()).fill(Some("a"), "b/c", false).as_deref(), Some("a:b/c"));
    }

    #[test]
    fn what_nobody_would_ask_is_a_mistake() {
        let mut access = Access { allow_anonymous: true, ..Access::default() };
        assert!(policy(&access, &[]).unwrap().is_some());
        access.order = vec![Step::Acl];
        assert!(policy(&access, &[]).err().unwrap().contains("Anonymous"));
        access = Access { mount_point: "t/+".to_owned(), ..Access::default() };
        assert!(policy(&access, &[]).err().unwrap().contains("t/+"));
        assert!(policy(&Access::default(), &[]).unwrap().is_none());
    }
}
