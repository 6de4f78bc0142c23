//! Every malformed packet of the codec's vectors.

use mqttkit_broker_core::Version;
use mqttkit_broker_core::transport::Scheme;

use crate::house::{House, SCHEMES};
use crate::vectors::{self, Vector};

const CONNECT: u8 = 1;

/// Packets that only servers send: being malformed as well, they may be taken for either.
const OF_SERVERS: [u8; 4] = [2, 9, 11, 13];

impl Vector {
    fn kind(&self) -> u8 {
        self.bytes[0] >> 4
    }

    /// The cause, as the vectors have it.
    fn cause(&self) -> &str {
        self.error.as_deref().unwrap().split(" | ").next().unwrap()
    }

    /// Where the mistake is.
    fn offset(&self) -> usize {
        self.error.as_deref().unwrap().rsplit(" | ").next().unwrap().parse().unwrap()
    }

    /// The reason that 5.0 names for it. Without a name it is a malformed packet, 0x81: it cannot be parsed.
    fn reason(&self) -> u8 {
        let name = self.cause().split(['(', ' ']).next().unwrap();
        match (name, self.kind()) {
            // 3.1.2.11.4, 4.13
            ("PacketTooLarge", _) => 0x95,
            // 3.1.2.1, 3.1.2.2
            ("UnknownProtocolName" | "UnsupportedProtocolLevel", _) => 0x84,
            // 3.1.3.1
            ("EmptyClientId" | "NoClientId", _) => 0x85,
            // 3.3.2.3.4: "A Topic Alias of 0 is not permitted", answered as one above the maximum is.
            ("InvalidPropertyValue", 3) if self.cause() == "InvalidPropertyValue(35)" => 0x94,
            // Each of them "It is a Protocol Error" in its own chapter, QoS 3 in SUBSCRIBE (3.8.3.1) among them.
            ("InvalidQoS", 8)
            | (
                "DuplicateProperty"
                | "InvalidPropertyValue"
                | "AuthenticationDataWithoutMethod"
                | "AuthWithoutMethod"
                | "EmptyList"
                | "MissingTopic"
                | "InvalidRetainHandling"
                | "NoLocalOnSharedSubscription",
                _,
            ) => 0x82,
            _ => 0x81,
        }
    }

    /// What the client is told before it is closed.
    fn assert_answer(&self, version: Version, answer: &[u8], at: &str) {
        let (kind, reason) = (self.kind(), self.reason());
        match (kind, version) {
            (CONNECT, _) if reason == 0x84 => {
                // A level of the future is told in the newest form, all others as 3.1.1 has it. [MQTT-3.1.2-2]
                let told = [&[0x20, 2, 0, 1][..], &[0x20, 3, 0, 0x84, 0]];
                let plain = self.cause() == "UnknownProtocolName" && answer.is_empty();
                assert!(plain || told.contains(&answer), "{at}: {answer:02x?}");
            }
            // Before its version is known there is nobody to say it to.
            (CONNECT, _) if self.offset() < 9 => assert_eq!(answer, [0; 0], "{at}"),
            (CONNECT, Version::V5) => {
                assert_eq!((answer.first(), answer.get(3)), (Some(&0x20), Some(&reason)), "{at}");
            }
            // [MQTT-3.1.3-8]: the one other refusal that 3.1.1 asks for.
            (CONNECT, _) if reason == 0x85 => assert_eq!(answer, [0x20, 2, 0, 2], "{at}"),
            (_, Version::V5) => {
                assert!(answer.len() > 2, "{at}: {answer:02x?}");
                let fits = answer.first() == Some(&0xe0)
                    && answer.len() == usize::from(answer[1]) + 2
                    && (answer[2] == reason || OF_SERVERS.contains(&kind) && answer[2] == 0x82);
                assert!(fits, "{at}: {answer:02x?} instead of reason {reason:#x}");
            }
            _ => assert_eq!(answer, [0; 0], "{at}: there is nothing to say it with"),
        }
    }
}

async fn each_is_answered(scheme: Scheme) {
    let mut house = House::open(|config| config.max_packet_size = 1 << 20).await;
    let mut count = 0;
    // A limit too small for any CONNECT is the codec's to prove.
    let usable = |vector: &Vector| vector.limit.is_none_or(|limit| limit == 1 << 20);
    for vector in vectors::malformed().into_iter().filter(usable) {
        for &version in &vector.versions {
            let at = format!("{} in {version:?} over {}", vector.name, scheme.as_str());
            let mut stranger = if vector.kind() == CONNECT {
                house.stranger(scheme).await
            } else {
                house.guest(scheme, version).await
            };
            let (first, last) = vector.bytes.split_at(count % vector.bytes.len());
            stranger.send(first).await;
            // Nothing is read behind it.
            stranger.send(&[last, b"\x30\x09\x00\x05never\x00x"].concat()).await;
            vector.assert_answer(version, &stranger.until_closed().await, &at);
            house.goes_on(&at).await;
            count += 1;
        }
    }
    assert!(count > 250, "only {count}");
    house.is_empty().await;
}

/// [MQTT-4.8.0-1] of 3.1.1, [MQTT-4.13.1-1] of 5.0
#[tokio::test]
async fn each_is_answered_over_tcp() {
    each_is_answered(Scheme::Tcp).await;
}

/// [MQTT-4.8.0-1] of 3.1.1, [MQTT-4.13.1-1] of 5.0
#[tokio::test]
async fn each_is_answered_over_websocket() {
    each_is_answered(Scheme::Ws).await;
}

/// As the first packet each of them but CONNECT is out of place, whatever else it is. [MQTT-3.1.0-1]
#[tokio::test]
async fn before_connect_each_is_closed_without_a_word() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        for vector in vectors::malformed().iter().filter(|vector| vector.kind() != CONNECT) {
            let mut stranger = house.stranger(scheme).await;
            stranger.send(&vector.bytes).await;
            let answer = stranger.until_closed().await;
            assert_eq!(answer, [0; 0], "{} over {}", vector.name, scheme.as_str());
        }
        house.goes_on("packets before CONNECT").await;
    }
    house.is_empty().await;
}
