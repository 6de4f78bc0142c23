//! Clients that break the rules: the reason the specification names, then the close, and nobody else notices.

use super::*;

fn reason_of(world: &World, id: Id) -> Option<ReasonCode> {
    match world.closed(id) {
        Some(Closed::Peer(disconnect)) => Some(disconnect.reason),
        _ => None,
    }
}

#[test]
fn each_violation_gets_its_reason() {
    let cases: [(&str, &[u8], ReasonCode); 6] = [
        (
            "a second CONNECT",
            &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 0],
            ReasonCode::ProtocolError,
        ),
        ("reserved packet type", &[0x00, 0], ReasonCode::MalformedPacket),
        ("QoS 3", &[0x36, 3, 0, 1, b'a'], ReasonCode::MalformedPacket),
        (
            "topic alias above the maximum",
            &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 99],
            ReasonCode::TopicAliasInvalid,
        ),
        ("too large", &[0x30, 0xff, 0xff, 0xff, 0x7f], ReasonCode::PacketTooLarge),
        ("a packet of servers", &[0xd0, 0], ReasonCode::ProtocolError),
    ];
    for (what, bytes, reason) in cases {
        let mut world = World::new();
        let (client, other) = (world.join("c"), world.join("o"));
        world.send_raw(client, bytes);
        assert_eq!(reason_of(&world, client), Some(reason), "{what}");
        assert!(matches!(world.cause(client), Some(Closed::Protocol(_))), "{what}");
        assert!(world.is_connected(other));
        assert_eq!(world.stats().sessions, 1);
    }
}

#[test]
fn mqtt_3_clients_are_just_closed() {
    let mut world = World::new();
    let client = world.connect(v311("c"));
    world.send_raw(client, &[0x36, 3, 0, 1, b'a']);
    assert!(matches!(world.cause(client), Some(Closed::Protocol(_))));
    assert_eq!(world.closed(client), Some(&Closed::Transport));
}

#[test]
fn an_unknown_version_is_answered() {
    let mut world = World::new();
    let client = ClientConnection::new(ClientConfig::default(), v5("c"), Session::new(), world.now).unwrap();
    let id = world.open(client);
    let out = world.lines[id.0].client.transmit();
    out.advance(out.remaining());
    world.send_raw(id, &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 0, 0, 0, 0]);
    assert_eq!(world.connack(id).reason, ReasonCode::UnsupportedProtocolVersion);
}

#[test]
fn an_authentication_method_is_refused_while_there_is_none() {
    let mut world = World::new();
    let mut connect = v5("c");
    connect.properties = connect.properties.with_authentication_method(&text("SCRAM-SHA-1"));
    let client = world.connect(connect);
    assert_eq!(world.connack(client).reason, ReasonCode::BadAuthenticationMethod);
}

/// Whatever bytes come, in whatever pieces: no panic, and no session stays.
#[test]
fn noise_harms_nobody() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut world = World::new();
    let good = world.join("good");
    world.subscribe(good, "#", QoS::AtMostOnce);
    for round in 0..300 {
        let client = world.connect(if round % 2 == 0 { v5("noise") } else { v311("noise") });
        for _ in 0..20 {
            // A packet type with its usual flags, a plausible length, then anything.
            let kind = (random() % 15 + 1) as u8;
            let flags = if matches!(kind, 6 | 8 | 10) {
                2
            } else {
                (random() % 16) as u8 & if kind == 3 { 15 } else { 0 }
            };
            let len = (random() % 20) as usize;
            let mut bytes = vec![kind << 4 | flags, len as u8];
            bytes.extend((0..len).map(|_| (random() % 6) as u8));
            world.send_raw(client, &bytes);
        }
        if world.cause(client).is_none() {
            world.cut(client);
        }
    }
    world.pass(seconds(1));
    assert!(world.is_connected(good));
    assert_eq!(world.stats().clients, 1);
}
