//! A client's connection against whatever a server may send.

use arbitrary::{Result, Unstructured};
use mqttkit_codec::{
    ClientConfig, ClientConnection, ConnAck, Instant, ReasonCode, SubscribeProperties, UnsubscribeProperties,
};

use super::watched::Watched;
use super::{max_packet_size, receive_maximum, session, strictness};
use crate::{VERSIONS, generate};

/// Feeds a client's connection what `data` says.
pub fn client_bytes(data: &[u8]) {
    let _ = client(&mut Unstructured::new(data));
}

fn client(from: &mut Unstructured<'_>) -> Result<()> {
    let mut config = ClientConfig::default();
    config.max_packet_size = max_packet_size(from)?;
    config.strictness = strictness(from)?;
    config.receive_maximum = receive_maximum(from)?;
    config.topic_alias_maximum = from.int_in_range(0..=3)?;
    config.automatic_topic_aliases = from.int_in_range(0..=3)?;
    config.automatic_acknowledgement = from.arbitrary()?;
    let &version = from.choose(&VERSIONS)?;
    let (connect, session) = (generate::connect(from, version)?, session(from)?);
    let Ok(side) = ClientConnection::new(config, connect, session, Instant::ZERO) else { return Ok(()) };
    let mut it = Watched::new(side);
    if from.ratio(3, 4)? {
        let connack = ConnAck { reason: ReasonCode::Success, ..generate::connack(from)? };
        it.feed(&connack.into(), version);
    }
    it.run(from, version, command)
}

fn command(side: &mut ClientConnection, now: Instant, which: u8, from: &mut Unstructured<'_>) -> Result<()> {
    match which {
        0 | 1 => {
            let wanted = generate::many(from, generate::subscription)?;
            let _ = side.subscribe(now, SubscribeProperties::new(), wanted);
        }
        2 => {
            let filters = generate::many(from, generate::filter)?;
            let _ = side.unsubscribe(now, UnsubscribeProperties::new(), filters);
        }
        _ => {
            let _ = side.auth(now, &generate::auth(from)?);
        }
    }
    Ok(())
}
