//! The smallest CONNECT and what may come back: this crate carries MQTT and does not know it, but for these bytes.

use crate::error::LinkError;
use crate::link::{Link, LinkExt};
use crate::rt::{Runtime, timeout};
use crate::url::Endpoint;
use bytes::{Buf as _, BytesMut};
use std::time::Duration;

/// What came back for CONNECT.
#[derive(Debug)]
pub(super) enum Answer {
    /// CONNACK with this code, 0 being success, and the reason string of MQTT 5.
    ConnAck(u8, Option<String>),
    /// Up to 16 bytes of something else.
    Other(Vec<u8>),
    /// The end.
    Closed(Option<LinkError>),
    /// Nothing in time.
    Silent,
}

/// A clean CONNECT of version 3.1.1, or 5.0, with the user name and password of `endpoint` when it may carry them.
pub(super) fn connect(endpoint: &Endpoint, v5: bool) -> Vec<u8> {
    let (user, password) = (endpoint.username(), endpoint.password());
    let mut flags = 0x02;
    let mut payload = Vec::new();
    // Not empty, which some brokers refuse; the same each time, so that no sessions pile up.
    push(&mut payload, b"mqttkit-doctor");
    if let Some(user) = user {
        flags |= 0x80;
        push(&mut payload, user.as_bytes());
    }
    // MQTT 3 has no password without a user name [MQTT-3.1.2-22].
    if let Some(password) = password.filter(|_| user.is_some() || v5) {
        flags |= 0x40;
        push(&mut payload, password.as_bytes());
    }
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend_from_slice(&[if v5 { 5 } else { 4 }, flags, 0, 30]);
    if v5 {
        body.push(0);
    }
    body.append(&mut payload);
    let mut packet = vec![0x10];
    let mut left = body.len();
    while left > 0x7F {
        packet.push((left & 0x7F) as u8 | 0x80);
        left >>= 7;
    }
    packet.push(left as u8);
    packet.append(&mut body);
    packet
}

/// A string of at most 65,535 bytes; a longer one is cut, and the broker refuses it.
fn push(bytes: &mut Vec<u8>, text: &[u8]) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&text[..len.into()]);
}

/// Sends CONNECT on a fresh link, waits for the answer, and takes leave.
pub(super) async fn ask<R: Runtime, L: Link>(
    runtime: &R,
    link: &mut L,
    endpoint: &Endpoint,
    v5: bool,
    patience: Duration,
) -> Answer {
    let exchange = async {
        let packet = connect(endpoint, v5);
        let sent = link.send_all(&mut &packet[..]).await;
        let mut bytes = BytesMut::new();
        loop {
            if let Some(answer) = read(&bytes, v5) {
                return answer;
            }
            match link.recv(&mut bytes).await {
                Ok(0) if bytes.is_empty() => return Answer::Closed(sent.err()),
                Err(error) if bytes.is_empty() => return Answer::Closed(Some(error)),
                Ok(0) | Err(_) => return Answer::Other(bytes[..bytes.len().min(16)].to_vec()),
                Ok(_) => {}
            }
        }
    };
    let answer = timeout(runtime, patience, exchange).await.unwrap_or(Answer::Silent);
    if let Answer::ConnAck(0, _) = answer {
        let leave = async {
            link.send_all(&mut &b"\xE0\0"[..]).await.ok();
            link.finish().await.ok();
        };
        // The broker may go first, or not at all.
        let _ = timeout(runtime, Duration::from_millis(500), leave).await;
    }
    answer
}

/// `None` while more has to come. Nothing longer than 64 KiB is waited for.
fn read(bytes: &[u8], v5: bool) -> Option<Answer> {
    let other = || Some(Answer::Other(bytes[..bytes.len().min(16)].to_vec()));
    match bytes {
        [] | [0x20] => None,
        [0x20, rest @ ..] => {
            let Some(end) = rest.iter().take(3).position(|byte| byte & 0x80 == 0) else {
                return if rest.len() < 3 { None } else { other() };
            };
            let len = rest[..=end].iter().rev().fold(0, |len, &byte| len << 7 | usize::from(byte & 0x7F));
            let body = &rest[end + 1..];
            if !(2..65_536).contains(&len) {
                return other();
            }
            if body.len() < len {
                return None;
            }
            // A server that is asked for 5.0 and knows only 3 answers as 3 does.
            let reason = if v5 && len > 2 { reason_string(&body[2..len]) } else { None };
            Some(Answer::ConnAck(body[1], reason))
        }
        _ => other(),
    }
}

/// The reason string where it is the first property, as it is in a refusal that has any.
fn reason_string(mut properties: &[u8]) -> Option<String> {
    while properties.first()? & 0x80 != 0 {
        properties.advance(1);
    }
    properties.advance(1);
    let text = properties.strip_prefix(&[0x1F])?;
    let len = usize::from(u16::from_be_bytes([*text.first()?, *text.get(1)?]));
    let text = String::from_utf8_lossy(text.get(2..2 + len)?).into_owned();
    Some(text.chars().filter(|c| !c.is_control()).take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_says_what_it_must() {
        let endpoint: Endpoint = "mqtt://u:p@h".parse().unwrap();
        assert_eq!(
            connect(&endpoint, false),
            b"\x10\x20\0\x04MQTT\x04\xC2\0\x1e\0\x0emqttkit-doctor\0\x01u\0\x01p"
        );
        let endpoint: Endpoint = "mqtt://h".parse().unwrap();
        assert_eq!(connect(&endpoint, true), b"\x10\x1b\0\x04MQTT\x05\x02\0\x1e\0\0\x0emqttkit-doctor");
    }

    #[test]
    fn answers_are_told_apart_also_when_cut() {
        assert!(matches!(read(b"\x20\x02\0\x05", false), Some(Answer::ConnAck(5, None))));
        assert!(read(b"\x20\x02\0", false).is_none());
        assert!(
            matches!(read(b"\x20\x08\0\x83\x05\x1f\0\x02no", true), Some(Answer::ConnAck(0x83, Some(text))) if text == "no")
        );
        assert!(
            matches!(read(b"HTTP/1.1 400", false), Some(Answer::Other(first)) if first == b"HTTP/1.1 400")
        );
        assert!(matches!(read(b"\x20\xff\xff\xff\x7f", false), Some(Answer::Other(_))));
        // A length of properties that never ends, a string beyond the end.
        assert!(matches!(read(b"\x20\x04\0\x83\x80\x80", true), Some(Answer::ConnAck(0x83, None))));
        assert!(matches!(read(b"\x20\x06\0\x83\x03\x1f\0\x09", true), Some(Answer::ConnAck(0x83, None))));
    }
}
