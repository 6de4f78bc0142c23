//! Rules against clients.

use std::sync::Arc;

use mqttkit_codec::{Connect, Message, QoS, Subscription, TopicFilter, TopicName, Version};
use mqttkit_ws_transport::{PeerInfo, Scheme};

use super::super::Identity;
use super::*;

fn client(id: &str, name: Option<&str>) -> Client {
    let connect = Connect::new(Version::V5, id.try_into().unwrap());
    let identity = name.map_or_else(Identity::anonymous, Identity::named).with_attribute("role", "guest");
    let address = "10.1.2.3:4".parse().unwrap();
    Client::new(&connect, identity, Arc::new(PeerInfo::new(Scheme::Tcp, Some(address))))
}

fn publishes(acl: &Acl, client: &Client, topic: &str) -> bool {
    let message = Message::new(TopicName::try_from(topic).unwrap(), "");
    acl.authorise(client, &Action::Publish(&message)) == Decision::Allow
}

fn subscribes(acl: &Acl, client: &Client, filter: &str) -> bool {
    let subscription = Subscription::new(TopicFilter::try_from(filter).unwrap(), QoS::AtMostOnce);
    acl.authorise(client, &Action::Subscribe(&subscription)) == Decision::Allow
}

#[test]
fn the_first_rule_that_fits_decides_and_none_denies() {
    let acl = Acl::parse(
        "# of the house\n\n deny user eve all #\nallow user alice publish a/+ \"b c/#\"\nallow all subscribe a/#\n",
    )
    .unwrap();
    let (alice, eve, nobody) = (client("1", Some("alice")), client("2", Some("eve")), client("3", None));
    assert!(publishes(&acl, &alice, "a/x") && publishes(&acl, &alice, "b c/x"));
    assert!(!publishes(&acl, &alice, "a/x/y") && !publishes(&acl, &alice, "d"));
    assert!(!publishes(&acl, &nobody, "a/x") && subscribes(&acl, &nobody, "a/x"));
    assert!(!publishes(&acl, &eve, "a/x") && !subscribes(&acl, &eve, "a/x"));
    assert!(!publishes(&Acl::default(), &alice, "a"));
}

#[test]
fn every_who_is_somebody() {
    let someone = client("door", Some("alice"));
    for (who, is) in [
        ("all", true),
        ("anonymous", false),
        ("user alice", true),
        ("user Alice", false),
        ("client door", true),
        ("client doo", false),
        ("from 10.0.0.0/8", true),
        ("from 11.0.0.0/8", false),
        ("role role=guest", true),
        ("role role=host", false),
    ] {
        let acl = Acl::parse(&format!("allow {who} all #")).unwrap();
        assert_eq!(publishes(&acl, &someone, "x"), is, "{who}");
    }
}

#[test]
fn placeholders_stand_for_one_client_and_never_for_more() {
    let acl = Acl::parse("allow all all home/%u/# dev-%c-%u/x 100%%").unwrap();
    let alice = client("door", Some("alice"));
    assert!(publishes(&acl, &alice, "home/alice/x") && publishes(&acl, &alice, "dev-door-alice/x"));
    assert!(subscribes(&acl, &alice, "home/alice/+/#") && publishes(&acl, &alice, "100%"));
    assert!(!publishes(&acl, &alice, "home/bob/x") && !publishes(&acl, &alice, "home/%u/x"));
    assert!(!subscribes(&acl, &alice, "home/+/x") && !subscribes(&acl, &alice, "home/#"));
    for name in ["+", "#", "a/b", ""] {
        let sly = client(name, Some(name));
        assert!(!subscribes(&acl, &sly, "home/+/x") && !publishes(&acl, &sly, "home/a/b"), "{name}");
        assert!(!publishes(&acl, &sly, "home//x"), "{name}");
    }
    assert!(!publishes(&acl, &client("c", None), "home//x"));
}

#[test]
fn a_subscription_is_allowed_whole_and_denied_in_part() {
    let acl = Acl::parse("deny all subscribe a/secret/#\nallow all subscribe a/# +/b $SYS/x").unwrap();
    let alice = client("c", None);
    for filter in ["a", "a/b", "a/b/#", "x/b", "+/b", "$SYS/x", "$share/g/a/b"] {
        assert!(subscribes(&acl, &alice, filter), "{filter}");
    }
    for filter in ["#", "a/#", "a/+", "a/+/x", "a/secret", "x", "+/+", "$SYS/#", "$SYS/b", "$share/g/#"] {
        assert!(!subscribes(&acl, &alice, filter), "{filter}");
    }
    let all = Acl::parse("allow all all #").unwrap();
    assert!(subscribes(&all, &alice, "#") && !subscribes(&all, &alice, "$SYS/#"));
    let system = Acl::parse("deny all all $SYS/#\nallow all all #").unwrap();
    assert!(subscribes(&system, &alice, "#") && !subscribes(&system, &alice, "$SYS/+"));
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let found = |word: &str| word.to_owned();
    for (text, problem) in [
        ("permit all all #", AclProblem::Decision { found: found("permit") }),
        ("allow everybody all #", AclProblem::Who { found: found("everybody") }),
        ("allow", AclProblem::Who { found: found("") }),
        ("allow all read #", AclProblem::What { found: found("read") }),
        ("allow all all", AclProblem::NoFilter),
        ("allow all all a/%x", AclProblem::Placeholder { filter: found("a/%x") }),
        ("allow all all \"a", AclProblem::Quote),
        ("allow from here all #", AclProblem::Network { found: found("here") }),
        ("allow role guest all #", AclProblem::Role { found: found("guest") }),
    ] {
        match Acl::parse(&format!("# first\nallow all all #\n{text}\n")) {
            Err(AclError::Syntax { line: 3, problem: is }) => assert_eq!(is, problem),
            other => panic!("{text}: {other:?}"),
        }
    }
    let wrong = Acl::parse("allow all all a/#/b").unwrap_err();
    assert!(matches!(wrong, AclError::Syntax { line: 1, problem: AclProblem::Filter { .. } }));
    assert!(matches!(Acl::open("/no/such/file"), Err(AclError::Io { .. })));
}
