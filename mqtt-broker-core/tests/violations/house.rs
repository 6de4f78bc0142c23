//! `House`: a broker with a listener of each kind, a good client in it, and strangers that speak in bytes.

use bytes::BytesMut;
use mqttkit_broker_core::transport::{ClientLink, ConnectOptions, LinkExt, MemoryLink, Scheme, TokioRuntime};
use mqttkit_broker_core::{Broker, Config, Listen, Listening, QoS, Version};
use tokio::time::timeout;

use crate::support::{PATIENCE, RawClient, dial, join, until};

/// The listeners by their URLs, in the order of [`SCHEMES`].
pub(crate) struct House {
    pub(crate) broker: Broker,
    listening: Vec<Listening>,
    witness: RawClient<MemoryLink>,
    rounds: usize,
}

pub(crate) const SCHEMES: [Scheme; 2] = [Scheme::Tcp, Scheme::Ws];

/// A client that is nothing but bytes.
pub(crate) struct Stranger {
    link: ClientLink<TokioRuntime>,
    input: BytesMut,
}

/// The CONNECT of a client with a clean start.
pub(crate) fn connect_bytes(version: Version, client_id: &str) -> Vec<u8> {
    let head: &[u8] = match version {
        Version::V31 => b"\0\x06MQIsdp\x03\x02\0\x3c",
        Version::V311 => b"\0\x04MQTT\x04\x02\0\x3c",
        Version::V5 => b"\0\x04MQTT\x05\x02\0\x3c\0",
    };
    let mut bytes = vec![0x10, (head.len() + 2 + client_id.len()) as u8];
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&[0, client_id.len() as u8]);
    bytes.extend_from_slice(client_id.as_bytes());
    bytes
}

impl House {
    pub(crate) async fn open(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let broker = Broker::builder().config(config).build();
        let mut listening = Vec::new();
        for scheme in SCHEMES {
            listening.push(broker.listen(Listen::new(scheme, ([127, 0, 0, 1], 0))).await.unwrap());
        }
        let mut witness = join(&broker, "witness").await;
        witness.subscribe("#", QoS::ExactlyOnce).await;
        Self { broker, listening, witness, rounds: 0 }
    }

    /// A connection over one of [`SCHEMES`] on which nothing has been said.
    pub(crate) async fn stranger(&self, scheme: Scheme) -> Stranger {
        let at = SCHEMES.iter().position(|&other| other == scheme).unwrap();
        let address = self.listening[at].local_addr();
        let path = if scheme == Scheme::Ws { "/mqtt" } else { "" };
        let link = dial(&format!("{}://{address}{path}", scheme.as_str()), &ConnectOptions::new()).await;
        Stranger { link, input: BytesMut::new() }
    }

    /// One that has been let in.
    pub(crate) async fn guest(&mut self, scheme: Scheme, version: Version) -> Stranger {
        self.rounds += 1;
        let mut stranger = self.stranger(scheme).await;
        stranger.send(&connect_bytes(version, &format!("guest{}", self.rounds))).await;
        let connack = stranger.packet().await;
        assert_eq!((connack[0], &connack[2..4]), (0x20, &[0, 0][..]), "{connack:02x?}");
        stranger
    }

    /// The broker still serves: a message comes through, and it is the first since the last time.
    pub(crate) async fn goes_on(&mut self, after: &str) {
        self.rounds += 1;
        let text = self.rounds.to_string();
        self.witness.publish("round", text.clone(), QoS::ExactlyOnce).await;
        let message = self.witness.message().await;
        assert_eq!((message.topic.as_str(), &*message.payload), ("round", text.as_bytes()), "after {after}");
    }

    /// Nobody but the good client is left, neither connected nor as a session.
    pub(crate) async fn is_empty(&self) {
        until("the strangers are gone", || {
            let stats = self.broker.stats();
            (stats.connections, stats.sessions, stats.subscriptions) == (1, 1, 1)
        })
        .await;
    }
}

impl Stranger {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // Who has been closed already is told so when it reads.
        let _ =
            timeout(PATIENCE, self.link.send_all(&mut &bytes[..])).await.expect("the bytes leave in time");
    }

    /// The next packet, whole.
    pub(crate) async fn packet(&mut self) -> Vec<u8> {
        loop {
            if let Some(len) = packet_len(&self.input) {
                return self.input.split_to(len).to_vec();
            }
            let got = timeout(PATIENCE, self.link.recv(&mut self.input)).await.expect("a packet in time");
            assert_ne!(got.unwrap_or(0), 0, "closed within {:02x?}", &self.input[..]);
        }
    }

    /// Everything up to the end of the connection, which must come.
    pub(crate) async fn until_closed(mut self) -> Vec<u8> {
        loop {
            let got = timeout(PATIENCE, self.link.recv(&mut self.input)).await.expect("the end in time");
            if got.unwrap_or(0) == 0 {
                return self.input.to_vec();
            }
        }
    }

    /// It is still connected: a PINGREQ is answered, and nothing else comes.
    pub(crate) async fn is_served(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.packet().await, [0xd0, 0]);
    }
}

/// How long the packet at the front is, once it is complete.
fn packet_len(input: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for (at, &byte) in input.iter().enumerate().skip(1).take(4) {
        remaining |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte < 0x80 {
            let len = at + 1 + remaining;
            return (input.len() >= len).then_some(len);
        }
    }
    None
}
