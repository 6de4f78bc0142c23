//! Our decoder and those of others must agree on what is a packet and on what is in it.
//!
//! Where they do not, the specification decides. A peer that is wrong has its fault in the list beside its reader,
//! with the reason; anything else is a finding.

mod mqtt_protocol_core;
mod mqttrs;
mod ours;
mod rumqttc;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use bytes::BytesMut;
use mqttkit_codec::{Codec, DecodeError, Packet, Version};

use self::ours::Fields;

/// A decoder of somebody else.
struct Peer {
    name: &'static str,
    /// What is in a packet, or `None` if it is none.
    read: fn(&[u8]) -> Option<Fields>,
    /// Why the peer may take what we refuse.
    lax: fn(&DecodeError) -> Option<&'static str>,
    /// Why the peer may refuse what we take, or may read something else.
    wrong: fn(&Packet) -> Option<&'static str>,
}

/// MQTT 3.1.1 against rumqttc and mqttrs.
pub fn diff_v4(data: &[u8]) {
    compare(Version::V311, data, &[rumqttc::V4, mqttrs::V4]);
}

/// MQTT 5.0 against rumqttc and mqtt-protocol-core.
pub fn diff_v5(data: &[u8]) {
    compare(Version::V5, data, &[rumqttc::V5, mqtt_protocol_core::V5]);
}

fn compare(version: Version, data: &[u8], peers: &[Peer]) {
    let mut input = BytesMut::from(data);
    let ours = Codec::new(version).decode(&mut input);
    let frame = match &ours {
        Ok(None) => return,
        Ok(Some(_)) => &data[..data.len() - input.len()],
        Err(_) => match frame(data) {
            Some(frame) => frame,
            // The error is in the header and the packet is not there: peers may wait for it.
            None => return,
        },
    };
    if is_connect_of_another(version, frame) {
        return;
    }
    for peer in peers {
        // A peer that panics has refused.
        let theirs = quietly(|| (peer.read)(frame)).flatten();
        match (&ours, theirs) {
            (Ok(Some(packet)), Some(theirs)) => {
                let ours = ours::fields(packet);
                let wrong = theirs.iter().find(|(name, value)| ours.get(*name) != Some(*value));
                if let Some((name, value)) = wrong {
                    assert!(
                        (peer.wrong)(packet).is_some(),
                        "{} reads {name} as {value:x?}, we as {:x?}: {packet:?}: {frame:x?}",
                        peer.name,
                        ours.get(name)
                    );
                }
            }
            (Ok(Some(packet)), None) => {
                assert!((peer.wrong)(packet).is_some(), "{} refuses {packet:?}: {frame:x?}", peer.name);
            }
            (Err(error), Some(theirs)) => {
                assert!(
                    (peer.lax)(error).is_some(),
                    "{} takes {frame:x?} as {theirs:x?}: {error}",
                    peer.name
                );
            }
            _ => {}
        }
    }
}

/// The first packet by its header.
fn frame(data: &[u8]) -> Option<&[u8]> {
    let mut len = 0;
    for (index, &byte) in data.get(1..)?.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return data.get(..index + 2 + len);
        }
    }
    None
}

/// Our codec takes a CONNECT of any version, whichever it speaks.
fn is_connect_of_another(version: Version, frame: &[u8]) -> bool {
    let body = frame.iter().skip(1).position(|byte| byte & 0x80 == 0).map_or(0, |at| at + 2);
    let fields = &frame[body..];
    let level = match fields.first_chunk() {
        Some([0, 4, b'M', b'Q', b'T', b'T']) => fields.get(6),
        Some([0, 6, ..]) => fields.get(8),
        _ => None,
    };
    let others = [3, 4, 5].into_iter().filter(|&level| level != version.level());
    frame[0] >> 4 == 1 && level.is_some_and(|&level| others.into_iter().any(|other| other == level & 0x7f))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic without ending the fuzzer, whose hook ends it at every panic.
fn quietly<T>(run: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result.ok()
}
