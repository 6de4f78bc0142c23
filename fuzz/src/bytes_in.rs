//! A connection that is fed arbitrary bytes, packets, times and commands.

mod client;
mod server;
mod watched;

pub use self::client::client_bytes;
pub use self::server::server_bytes;

use std::num::NonZeroU16;

use arbitrary::{Result, Unstructured};
use mqttkit_codec::{Incoming, Outgoing, QoS, Session, SessionState, Strictness};

use crate::generate;

/// More steps than this teach nothing new.
const STEPS: usize = 100;

/// A limit for the size of packets.
fn max_packet_size(from: &mut Unstructured<'_>) -> Result<u32> {
    Ok(*from.choose(&[u32::MAX, 1000, 100])?)
}

fn receive_maximum(from: &mut Unstructured<'_>) -> Result<NonZeroU16> {
    Ok(*from.choose(&[NonZeroU16::MAX, NonZeroU16::MIN])?)
}

fn strictness(from: &mut Unstructured<'_>) -> Result<Strictness> {
    Ok(*from.choose(&[Strictness::Strict, Strictness::Lenient])?)
}

/// A session that an earlier connection may have left behind.
fn session(from: &mut Unstructured<'_>) -> Result<Session> {
    let mut state = SessionState::default();
    for _ in 0..from.int_in_range(0..=3)? {
        let outgoing = if from.arbitrary()? {
            Outgoing::Released
        } else {
            let message = generate::message(from)?;
            let qos = message.qos.max(QoS::AtLeastOnce);
            Outgoing::Published(message.with_qos(qos))
        };
        state.outgoing.push((generate::packet_id(from)?, outgoing));
    }
    for _ in 0..from.int_in_range(0..=3)? {
        let incoming = *from.choose(&[Incoming::Delivered, Incoming::Acknowledged])?;
        state.incoming.push((generate::packet_id(from)?, incoming));
    }
    Ok(Session::import(state).unwrap_or_default())
}
