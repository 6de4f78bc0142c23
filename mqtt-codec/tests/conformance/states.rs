//! Each state of a connection × each packet that can arrive, as one table for each role and version.
//!
//! | word | meaning |
//! | --- | --- |
//! | event | the application gets it |
//! | PUBREC … | it is answered with this packet, without an event |
//! | taken | it changes nothing and is not answered |
//! | waits | it is not read before the application has answered CONNECT |
//! | goodbye | it ends the connection in the regular way |
//! | 82! | a protocol error of this reason code: the connection ends and the peer is told |
//! | 82 | the same, and the peer is not told, because it would not understand or must not be answered |
//! | gone | the connection is over and throws away whatever still arrives |

use std::fmt::Write;

use mqttkit_codec::{
    Auth, AuthProperties, Closed, ConnAck, Connect, Disconnect, Outgoing, Packet, PubAck, PubComp, PubRec,
    PubRel, QoS, ReasonCode, Session, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe, Version,
};

use crate::common::{Client, Connection, Server, Side, encoded, filter, id, message, none, resuming, text};
use crate::flow::incoming;

fn connect(version: Version) -> Connect {
    let mut connect = Connect::new(version, text("c"));
    connect.properties = connect.properties.with_authentication_method(&text("m"));
    connect
}

fn connack() -> ConnAck {
    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_authentication_method(&text("m"));
    connack
}

fn auth() -> Auth {
    let properties = AuthProperties::new().with_authentication_method(&text("m"));
    Auth { reason: ReasonCode::ContinueAuthentication, properties }
}

/// One of each packet, with its name; where it has an identifier, nothing is known by it.
fn packets(version: Version) -> Vec<(&'static str, Vec<u8>)> {
    let mut packets: Vec<(&str, Packet)> = vec![
        ("CONNECT", connect(version).into()),
        ("CONNACK", connack().into()),
        ("PUBLISH, QoS 0", incoming("", QoS::AtMostOnce, 0).into()),
        ("PUBLISH, QoS 1", incoming("", QoS::AtLeastOnce, 7).into()),
        ("PUBLISH, QoS 2", incoming("", QoS::ExactlyOnce, 7).into()),
        ("PUBACK", PubAck::new(id(7)).into()),
        ("PUBREC", PubRec::new(id(7)).into()),
        ("PUBREL", PubRel::new(id(7)).into()),
        ("PUBCOMP", PubComp::new(id(7)).into()),
        ("SUBSCRIBE", Subscribe::new(id(7), [Subscription::new(filter("a"), QoS::AtMostOnce)]).into()),
        ("SUBACK", SubAck::new(id(7), [ReasonCode::Success]).into()),
        ("UNSUBSCRIBE", Unsubscribe::new(id(7), [filter("a")]).into()),
        ("UNSUBACK", UnsubAck::new(id(7), [ReasonCode::Success]).into()),
        ("PINGREQ", Packet::PingReq),
        ("PINGRESP", Packet::PingResp),
        ("DISCONNECT", Disconnect::new(ReasonCode::NORMAL_DISCONNECTION).into()),
    ];
    if version == Version::V5 {
        packets.push(("AUTH", auth().into()));
    }
    let mut wires: Vec<_> =
        packets.into_iter().map(|(name, packet)| (name, encoded(version, packet))).collect();
    if version != Version::V5 {
        wires.push(("AUTH", encoded(Version::V5, auth())));
    }
    wires.push(("type 0", vec![0, 0]));
    wires
}

/// What becomes of a packet, in one word.
fn outcome<C: Connection>(mut side: Side<C>, wire: &[u8], was_closed: bool) -> String {
    let events = side.receive(wire);
    let waits = side.has_unread();
    let sent = side.sent();
    assert!(events.len() <= 1 && sent.len() <= 1, "{events:?} {sent:?}");
    let answer = sent.first().map(|packet| packet.packet_type().name());
    match events.into_iter().next() {
        None if waits => "waits".into(),
        None if was_closed => "gone".into(),
        None => answer.unwrap_or("taken").into(),
        Some(event) => match C::closed(event) {
            None => "event".into(),
            Some(Closed::Peer(_)) => "goodbye".into(),
            Some(Closed::Protocol(error)) => {
                let told = if answer.is_some() { "!" } else { "" };
                format!("{:02X}{told}", error.reason_code().as_u8())
            }
            Some(other) => panic!("{other:?}"),
        },
    }
}

/// A table with a row for each packet and a column for each state.
fn table<C: Connection>(version: Version, states: &[(&str, &dyn Fn() -> Side<C>)]) -> String {
    let mut out = format!("{:14}", "packet");
    for (name, _) in states {
        let _ = write!(out, " | {name:14}");
    }
    for (name, wire) in packets(version) {
        let _ = write!(out, "\n{name:14}");
        for (state, make) in states {
            let _ = write!(out, " | {:14}", outcome(make(), &wire, *state == "closed"));
        }
    }
    trimmed(&out)
}

fn trimmed(table: &str) -> String {
    table.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_table(found: &str, expected: &str) {
    assert!(found == trimmed(expected), "found\n{found}\n\nexpected\n{}", trimmed(expected));
}

fn server_table(version: Version) -> String {
    let authenticating = || {
        let mut server = Server::fresh().asked(connect(version));
        server.connection.auth(server.now, &auth()).expect("5.0");
        server.sent();
        server
    };
    let closed = || {
        let mut server = Server::connected(version);
        server.receive(&[0xe0, 0]);
        server
    };
    let connected = || Server::fresh().asked(connect(version)).accepted(connack(), Session::new());
    let asked = || Server::fresh().asked(connect(version));
    let mut states: Vec<(&str, &dyn Fn() -> Server)> =
        vec![("before CONNECT", &Server::fresh), ("to be answered", &asked)];
    if version == Version::V5 {
        states.push(("authenticating", &authenticating));
    }
    states.extend([("connected", &connected as &dyn Fn() -> Server), ("closed", &closed)]);
    table(version, &states)
}

fn client_table(version: Version) -> String {
    let closed = || {
        let mut client = Client::connected(version);
        client.connection.handle_closed(client.now);
        client.receive(&[]);
        client
    };
    let connecting = || Client::connecting(connect(version), Session::new());
    let connected = || connecting().answered(connack());
    table(version, &[("connecting", &connecting), ("connected", &connected), ("closed", &closed)])
}

#[test]
fn each_packet_in_each_state_of_a_5_0_server() {
    let expected = r"
        packet         | before CONNECT | to be answered | authenticating | connected      | closed
        CONNECT        | event          | waits          | 82             | 82!            | gone
        CONNACK        | 82             | waits          | 82             | 82!            | gone
        PUBLISH, QoS 0 | 82             | waits          | 82             | event          | gone
        PUBLISH, QoS 1 | 82             | waits          | 82             | event          | gone
        PUBLISH, QoS 2 | 82             | waits          | 82             | event          | gone
        PUBACK         | 82             | waits          | 82             | taken          | gone
        PUBREC         | 82             | waits          | 82             | PUBREL         | gone
        PUBREL         | 82             | waits          | 82             | PUBCOMP        | gone
        PUBCOMP        | 82             | waits          | 82             | taken          | gone
        SUBSCRIBE      | 82             | waits          | 82             | event          | gone
        SUBACK         | 82             | waits          | 82             | 82!            | gone
        UNSUBSCRIBE    | 82             | waits          | 82             | event          | gone
        UNSUBACK       | 82             | waits          | 82             | 82!            | gone
        PINGREQ        | 82             | waits          | 82             | PINGRESP       | gone
        PINGRESP       | 82             | waits          | 82             | 82!            | gone
        DISCONNECT     | 82             | waits          | goodbye        | goodbye        | gone
        AUTH           | 82             | waits          | event          | event          | gone
        type 0         | 81             | waits          | 81             | 81!            | gone
    ";
    assert_table(&server_table(Version::V5), expected);
}

#[test]
fn each_packet_in_each_state_of_a_3_1_1_server() {
    let expected = r"
        packet         | before CONNECT | to be answered | connected      | closed
        CONNECT        | event          | waits          | 82             | gone
        CONNACK        | 82             | waits          | 82             | gone
        PUBLISH, QoS 0 | 82             | waits          | event          | gone
        PUBLISH, QoS 1 | 82             | waits          | event          | gone
        PUBLISH, QoS 2 | 82             | waits          | event          | gone
        PUBACK         | 82             | waits          | taken          | gone
        PUBREC         | 82             | waits          | PUBREL         | gone
        PUBREL         | 82             | waits          | PUBCOMP        | gone
        PUBCOMP        | 82             | waits          | taken          | gone
        SUBSCRIBE      | 82             | waits          | event          | gone
        SUBACK         | 82             | waits          | 82             | gone
        UNSUBSCRIBE    | 82             | waits          | event          | gone
        UNSUBACK       | 82             | waits          | 82             | gone
        PINGREQ        | 82             | waits          | PINGRESP       | gone
        PINGRESP       | 82             | waits          | 82             | gone
        DISCONNECT     | 82             | waits          | goodbye        | gone
        AUTH           | 82             | waits          | 81             | gone
        type 0         | 81             | waits          | 81             | gone
    ";
    assert_table(&server_table(Version::V311), expected);
    assert_table(&server_table(Version::V31), &server_table(Version::V311));
}

#[test]
fn each_packet_in_each_state_of_a_5_0_client() {
    let expected = r"
        packet         | connecting     | connected      | closed
        CONNECT        | 82             | 82!            | gone
        CONNACK        | event          | 82!            | gone
        PUBLISH, QoS 0 | 82             | event          | gone
        PUBLISH, QoS 1 | 82             | event          | gone
        PUBLISH, QoS 2 | 82             | event          | gone
        PUBACK         | 82             | taken          | gone
        PUBREC         | 82             | PUBREL         | gone
        PUBREL         | 82             | PUBCOMP        | gone
        PUBCOMP        | 82             | taken          | gone
        SUBSCRIBE      | 82             | 82!            | gone
        SUBACK         | 82             | 82!            | gone
        UNSUBSCRIBE    | 82             | 82!            | gone
        UNSUBACK       | 82             | 82!            | gone
        PINGREQ        | 82             | 82!            | gone
        PINGRESP       | 82             | taken          | gone
        DISCONNECT     | 82             | goodbye        | gone
        AUTH           | event          | event          | gone
        type 0         | 81             | 81!            | gone
    ";
    assert_table(&client_table(Version::V5), expected);
}

#[test]
fn each_packet_in_each_state_of_a_3_1_1_client() {
    let expected = r"
        packet         | connecting     | connected      | closed
        CONNECT        | 82             | 82             | gone
        CONNACK        | event          | 82             | gone
        PUBLISH, QoS 0 | 82             | event          | gone
        PUBLISH, QoS 1 | 82             | event          | gone
        PUBLISH, QoS 2 | 82             | event          | gone
        PUBACK         | 82             | taken          | gone
        PUBREC         | 82             | PUBREL         | gone
        PUBREL         | 82             | PUBCOMP        | gone
        PUBCOMP        | 82             | taken          | gone
        SUBSCRIBE      | 82             | 82             | gone
        SUBACK         | 82             | 82             | gone
        UNSUBSCRIBE    | 82             | 82             | gone
        UNSUBACK       | 82             | 82             | gone
        PINGREQ        | 82             | 82             | gone
        PINGRESP       | 82             | taken          | gone
        DISCONNECT     | 82             | 82             | gone
        AUTH           | 81             | 81             | gone
        type 0         | 81             | 81             | gone
    ";
    assert_table(&client_table(Version::V311), expected);
    assert_table(&client_table(Version::V31), &client_table(Version::V311));
}

/// A client with one of each in flight: 1 a message that was given up, 2 one of QoS 1, 3 one of QoS 2, 4 one of QoS 2
/// that is released, 5 a SUBSCRIBE, 6 an UNSUBSCRIBE.
fn busy_client(version: Version) -> Client {
    let mut state = Session::new().export();
    state.outgoing.push((id(1), Outgoing::GivenUp));
    let session = Session::import(state).expect("a session");
    let mut client = Client::connecting(resuming(version), session).answered(ConnAck::accepted(true));
    let now = client.now;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce] {
        client.connection.publish(now, message("", qos)).unwrap();
    }
    let wanted = [Subscription::new(filter("a"), QoS::AtMostOnce)];
    client.connection.subscribe(now, none(), wanted).unwrap();
    client.connection.unsubscribe(now, none(), [filter("a")]).unwrap();
    client.receive_packet(PubRec::new(id(4)));
    client.sent();
    client
}

/// What an acknowledgement means depends on what its identifier stands for.
#[test]
fn each_acknowledgement_for_each_thing_in_flight() {
    let columns = [
        ("QoS 1", 2),
        ("QoS 2", 3),
        ("released", 4),
        ("given up", 1),
        ("SUBSCRIBE", 5),
        ("UNSUBSCRIBE", 6),
        ("nothing", 9),
    ];
    let mut out = format!("{:15}", "packet");
    for (name, _) in columns {
        let _ = write!(out, " | {name:11}");
    }
    type Make = fn(u16) -> Packet;
    let rows: [(&str, Make); 6] = [
        ("PUBACK", |number| PubAck::new(id(number)).into()),
        ("PUBREC", |number| PubRec::new(id(number)).into()),
        ("PUBREC, refusal", |number| PubRec::new(id(number)).with_reason(ReasonCode::QuotaExceeded).into()),
        ("PUBCOMP", |number| PubComp::new(id(number)).into()),
        ("SUBACK", |number| SubAck::new(id(number), [ReasonCode::Success]).into()),
        ("UNSUBACK", |number| UnsubAck::new(id(number), [ReasonCode::Success]).into()),
    ];
    for (name, make) in rows {
        let _ = write!(out, "\n{name:15}");
        for (_, number) in columns {
            let wire = encoded(Version::V5, make(number));
            let _ = write!(out, " | {:11}", outcome(busy_client(Version::V5), &wire, false));
        }
    }
    let expected = r"
        packet          | QoS 1       | QoS 2       | released    | given up    | SUBSCRIBE   | UNSUBSCRIBE | nothing
        PUBACK          | event       | 82!         | 82!         | 82!         | 82!         | 82!         | taken
        PUBREC          | 82!         | PUBREL      | PUBREL      | PUBREL      | 82!         | 82!         | PUBREL
        PUBREC, refusal | 82!         | event       | PUBREL      | PUBREL      | 82!         | 82!         | taken
        PUBCOMP         | 82!         | 82!         | event       | taken       | 82!         | 82!         | taken
        SUBACK          | 82!         | 82!         | 82!         | 82!         | event       | 82!         | 82!
        UNSUBACK        | 82!         | 82!         | 82!         | 82!         | 82!         | event       | 82!
    ";
    assert_table(&trimmed(&out), expected);
}
