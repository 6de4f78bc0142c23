//! Messages in both directions while the wire is cut anywhere, twice: none is lost, and QoS 2 arrives exactly once.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use mqttkit_codec::{
    AckToken, ClientConfig, ClientEvent, PublishError, QoS, ReasonCode, ServerConfig, ServerEvent, Session,
    Version,
};

use crate::{Pair, message, resuming};

const MESSAGES: [QoS; 6] = [
    QoS::AtLeastOnce,
    QoS::ExactlyOnce,
    QoS::ExactlyOnce,
    QoS::AtLeastOnce,
    QoS::ExactlyOnce,
    QoS::AtLeastOnce,
];

#[derive(Clone, Copy, Debug)]
struct Script {
    version: Version,
    /// How many messages each side takes at a time.
    receive_maximum: u16,
    /// Whether the applications are slow: they acknowledge nothing before the wire is quiet, and what is left at its
    /// end between two connections.
    is_slow: bool,
    /// Whether the sessions are stored and brought back in between. What the application has not acknowledged may
    /// come again then, since whoever had it may be gone.
    is_stored: bool,
    /// After how many bytes each connection is cut.
    cuts: [usize; 2],
}

/// What one application has sent and received.
#[derive(Debug, Default)]
struct Application {
    outbox: VecDeque<usize>,
    received: Vec<usize>,
    tokens: Vec<AckToken>,
    acknowledged: usize,
}

impl Application {
    fn new() -> Self {
        Self { outbox: (0..MESSAGES.len()).collect(), ..Self::default() }
    }

    fn receive(&mut self, payload: &[u8], token: Option<AckToken>) {
        self.received.push(std::str::from_utf8(payload).unwrap().parse().unwrap());
        self.tokens.extend(token);
    }

    /// [MQTT-4.3.2-1], [MQTT-4.3.3-8], [MQTT-4.4.0-1], [MQTT-4.6.0-1]
    fn check(&self, script: Script) {
        let mut first = Vec::new();
        for &number in &self.received {
            let is_new = !first.contains(&number);
            assert!(is_new || MESSAGES[number] == QoS::AtLeastOnce, "{number} came twice: {script:?}");
            if is_new {
                first.push(number);
            }
        }
        assert!(first.iter().copied().eq(0..MESSAGES.len()), "all in their order: {first:?}, {script:?}");
        assert_eq!(self.acknowledged, MESSAGES.len(), "each once: {script:?}");
    }
}

/// Returns whether the first connection was cut before all was done.
fn exchange(script: Script) -> bool {
    let (mut at_client, mut at_server) = (Application::new(), Application::new());
    let (mut client, mut server) = (Session::new(), Session::new());
    let mut was_cut = false;
    for (index, budget) in script.cuts.into_iter().chain([usize::MAX]).enumerate() {
        let maximum = NonZeroU16::new(script.receive_maximum).unwrap();
        let (mut client_config, mut server_config) = (ClientConfig::default(), ServerConfig::default());
        (client_config.receive_maximum, server_config.receive_maximum) = (maximum, maximum);
        let mut pair = Pair::with(client_config, server_config, resuming(script.version), client);
        pair.acks = !script.is_slow;
        pair.resume_within(budget, server);
        let is_whole = talk(&mut pair, &mut at_client, &mut at_server);
        was_cut |= index == 0 && !is_whole;
        (client, server) = (pair.client.take_session(), pair.server_session());
        if script.is_stored {
            client = Session::import(client.export()).unwrap();
            server = Session::import(server.export()).unwrap();
        }
        at_client.tokens.drain(..).for_each(|token| client.ack(token, ReasonCode::Success));
        at_server.tokens.drain(..).for_each(|token| server.ack(token, ReasonCode::Success));
    }
    at_client.check(script);
    at_server.check(script);
    assert!(client.is_empty() && server.is_empty(), "nothing is wedged: {script:?}");
    was_cut
}

/// Both sides publish what they may, until nothing moves. Returns whether the wire held.
fn talk(pair: &mut Pair, at_client: &mut Application, at_server: &mut Application) -> bool {
    loop {
        let mut moved = false;
        moved |= publish_all(at_client, |message| pair.client.publish(pair.now, message));
        moved |= publish_all(at_server, |message| pair.server.publish(pair.now, message));
        let holds = pair.run();
        moved |= !pair.client_events.is_empty() || !pair.server_events.is_empty();
        for event in pair.client_events.drain(..) {
            match event {
                ClientEvent::Publish { message, token, .. } => {
                    at_client.receive(&message.payload, token.filter(|_| !pair.acks));
                }
                ClientEvent::Acknowledged { .. } => at_client.acknowledged += 1,
                ClientEvent::Closed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        for event in pair.server_events.drain(..) {
            match event {
                ServerEvent::Publish { message, token, .. } => {
                    at_server.receive(&message.payload, token.filter(|_| !pair.acks));
                }
                ServerEvent::Acknowledged { .. } => at_server.acknowledged += 1,
                ServerEvent::Closed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if !holds || pair.client.is_closed() {
            return false;
        }
        // In the wrong order, which must not show.
        for token in at_client.tokens.drain(..).rev() {
            pair.client.ack(pair.now, token, ReasonCode::Success);
            moved = true;
        }
        for token in at_server.tokens.drain(..).rev() {
            pair.server.ack(pair.now, token, ReasonCode::Success);
            moved = true;
        }
        if !moved {
            return true;
        }
    }
}

fn publish_all(
    from: &mut Application,
    mut publish: impl FnMut(mqttkit_codec::Message) -> Result<Option<mqttkit_codec::PacketId>, PublishError>,
) -> bool {
    let mut moved = false;
    while let Some(&number) = from.outbox.front() {
        match publish(message(number, MESSAGES[number])) {
            Ok(_) => moved = true,
            Err(PublishError::QuotaExhausted | PublishError::NotConnected) => break,
            Err(error) => panic!("{error}"),
        }
        from.outbox.pop_front();
    }
    moved
}

/// Every cut of the first connection, with the second cut at every `step`-th byte or not at all.
fn cut_everywhere(script: Script, step: usize) {
    for second in (0..300).step_by(step).chain([usize::MAX]) {
        let mut first = 0;
        while exchange(Script { cuts: [first, second], ..script }) {
            first += 1;
        }
        assert!(first > 150, "the cut really went through the exchange: {first}");
    }
}

#[test]
fn quick_applications() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let script =
            Script { version, receive_maximum: u16::MAX, is_slow: false, is_stored: false, cuts: [0; 2] };
        cut_everywhere(script, 83);
    }
}

#[test]
fn slow_applications() {
    for version in [Version::V311, Version::V5] {
        let script =
            Script { version, receive_maximum: u16::MAX, is_slow: true, is_stored: false, cuts: [0; 2] };
        cut_everywhere(script, 83);
    }
}

#[test]
fn a_few_messages_at_a_time() {
    for receive_maximum in [1, 2] {
        for is_slow in [false, true] {
            let script =
                Script { version: Version::V5, receive_maximum, is_slow, is_stored: false, cuts: [0; 2] };
            cut_everywhere(script, 107);
        }
    }
}

#[test]
fn sessions_that_are_stored() {
    for version in [Version::V311, Version::V5] {
        let script = Script { version, receive_maximum: 3, is_slow: false, is_stored: true, cuts: [0; 2] };
        cut_everywhere(script, 107);
    }
}
