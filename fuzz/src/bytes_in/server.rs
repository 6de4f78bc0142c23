//! A server's connection against whatever a client may send.

use arbitrary::{Result, Unstructured};
use mqttkit_codec::{ConnAck, Instant, ReasonCode, ServerConfig, ServerConnection};

use super::watched::Watched;
use super::{max_packet_size, receive_maximum, session, strictness};
use crate::{VERSIONS, generate};

/// Feeds a server's connection what `data` says.
pub fn server_bytes(data: &[u8]) {
    let _ = server(&mut Unstructured::new(data));
}

fn server(from: &mut Unstructured<'_>) -> Result<()> {
    let mut config = ServerConfig::default();
    config.max_packet_size = max_packet_size(from)?;
    config.strictness = strictness(from)?;
    config.receive_maximum = receive_maximum(from)?;
    config.topic_alias_maximum = from.int_in_range(0..=3)?;
    config.automatic_topic_aliases = from.int_in_range(0..=3)?;
    config.automatic_acknowledgement = from.arbitrary()?;
    let &version = from.choose(&VERSIONS)?;
    let mut it = Watched::new(ServerConnection::new(config, Instant::ZERO));
    if from.ratio(3, 4)? {
        it.feed(&generate::connect(from, version)?.into(), version);
    }
    it.run(from, version, command)
}

fn command(side: &mut ServerConnection, now: Instant, which: u8, from: &mut Unstructured<'_>) -> Result<()> {
    match which {
        0 => {
            let connack = ConnAck { reason: ReasonCode::Success, ..generate::connack(from)? };
            side.accept(now, connack, session(from)?);
        }
        1 if from.ratio(1, 4)? => side.refuse(now, &generate::connack(from)?),
        1 => {
            let _ = side.auth(now, &generate::auth(from)?);
        }
        2 => {
            let _ = side.sub_ack(now, &generate::sub_ack(from)?);
        }
        _ => {
            let _ = side.unsub_ack(now, &generate::unsub_ack(from)?);
        }
    }
    Ok(())
}
