//! Chapters 3.4 to 3.7: PUBACK, PUBREC, PUBREL and PUBCOMP.

use mqttkit_codec::{DecodeCause, EncodeError, PacketType, ReasonCode, Version};

use crate::common::{accepted, encoded, packet, refused};

/// Of all 256 codes this packet takes these, writes them, and refuses all others.
pub(crate) fn only_these_codes(
    packet: PacketType,
    allowed: &[u8],
    statement: &str,
    wire: impl Fn(u8) -> Vec<u8>,
) {
    for code in 0..=u8::MAX {
        let wire = wire(code);
        if allowed.contains(&code) {
            let again = encoded(Version::V5, accepted(Version::V5, &wire));
            assert_eq!(accepted(Version::V5, &again), accepted(Version::V5, &wire));
        } else {
            refused(Version::V5, &wire, DecodeCause::InvalidReasonCode(code), statement);
        }
    }
    for &reason in ReasonCode::ALL {
        assert_eq!(reason.is_allowed_in(packet), allowed.contains(&reason.as_u8()), "{packet} {reason}");
    }
}

const PUBACK_CODES: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// [MQTT-3.4.2-1]
#[test]
fn a_puback_carries_one_of_its_reason_codes() {
    only_these_codes(PacketType::PubAck, &PUBACK_CODES, "MQTT-3.4.2-1", |code| {
        packet(0x40, &format!("0001 {code:02x}"))
    });
}

/// [MQTT-3.5.2-1]
#[test]
fn a_pubrec_carries_one_of_its_reason_codes() {
    only_these_codes(PacketType::PubRec, &PUBACK_CODES, "MQTT-3.5.2-1", |code| {
        packet(0x50, &format!("0001 {code:02x}"))
    });
}

/// [MQTT-3.6.2-1]
#[test]
fn a_pubrel_carries_one_of_its_reason_codes() {
    only_these_codes(PacketType::PubRel, &[0x00, 0x92], "MQTT-3.6.2-1", |code| {
        packet(0x62, &format!("0001 {code:02x}"))
    });
}

/// [MQTT-3.7.2-1]
#[test]
fn a_pubcomp_carries_one_of_its_reason_codes() {
    only_these_codes(PacketType::PubComp, &[0x00, 0x92], "MQTT-3.7.2-1", |code| {
        packet(0x70, &format!("0001 {code:02x}"))
    });
}

#[test]
fn a_reason_code_of_another_packet_cannot_be_written() {
    let wrong = mqttkit_codec::PubRel::new(crate::common::id(1)).with_reason(ReasonCode::QuotaExceeded);
    let written = mqttkit_codec::Codec::new(Version::V5).encode(&wrong, &mut bytes::BytesMut::new());
    let code = ReasonCode::QuotaExceeded;
    assert_eq!(written, Err(EncodeError::InvalidReasonCode { packet: PacketType::PubRel, code }));
}

/// What the versions before 5.0 have: the identifier and nothing else.
#[test]
fn before_5_0_an_acknowledgement_is_an_identifier() {
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        let wire = packet(first_byte, "0102");
        assert_eq!(encoded(Version::V311, accepted(Version::V311, &wire)), wire);
        let longer = packet(first_byte, "0102 00");
        refused(Version::V311, &longer, DecodeCause::TrailingBytes(1), "none");
    }
}
