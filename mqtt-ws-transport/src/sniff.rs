//! Which protocol a connection begins with, told from its first bytes. Pure: no IO, no clock.
//!
//! The client speaks first in every protocol that comes to an MQTT port by design or by mistake, and each begins in
//! a way that no other does. At most [`SNIFF_LEN`] bytes are needed to be sure.

use std::fmt;

/// After this many bytes [`sniff`] has always decided.
pub const SNIFF_LEN: usize = 16;

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sniffed {
    /// A CONNECT packet of MQTT.
    Mqtt {
        /// The protocol level as sent: 3 (3.1), 4 (3.1.1), 5 (5.0), or one that does not exist. A bridge sets the
        /// highest bit.
        level: u8,
    },
    /// A TLS handshake.
    Tls,
    /// An HTTP request of any kind and version, that of HTTP/2 included.
    Http,
    /// A PROXY protocol header, of version 1 or 2.
    ProxyHeader {
        /// 1 is text, 2 is binary.
        version: u8,
    },
    /// None of them.
    Other,
}

impl fmt::Display for Sniffed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt { level: 3 } => "MQTT 3.1",
            Self::Mqtt { level: 4 } => "MQTT 3.1.1",
            Self::Mqtt { level: 5 } => "MQTT 5.0",
            Self::Mqtt { .. } => "MQTT",
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::ProxyHeader { .. } => "a PROXY header",
            Self::Other => "an unknown protocol",
        })
    }
}

/// The methods of HTTP and its extensions (WebDAV among them) that a server meets, and the preface of HTTP/2.
const METHODS: [&[u8]; 16] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * HTTP/2.0",
    b"PROPFIND ",
    b"SEARCH ",
    b"REPORT ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
];

/// Says what a connection begins with, given its first bytes, or `None` while they could become several things.
///
/// ```
/// use mqttkit_ws_transport::{Sniffed, sniff};
///
/// assert_eq!(sniff(b"\x10\x0c\0\x04MQTT\x05"), Some(Sniffed::Mqtt { level: 5 }));
/// assert_eq!(sniff(b"GET /mqtt HTTP/1.1\r\n"), Some(Sniffed::Http));
/// assert_eq!(sniff(b"\x16\x03\x01\x02"), Some(Sniffed::Tls));
/// assert_eq!(sniff(b"P"), None); // POST, PUT, PATCH, PROXY …
/// assert_eq!(sniff(b"SSH-2.0-"), Some(Sniffed::Other));
/// ```
pub fn sniff(first: &[u8]) -> Option<Sniffed> {
    /// The signature of PROXY protocol version 2.
    const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let mut open = false;
    let mut begins = |with: &[u8]| {
        let begins = begins_with(first, with);
        open |= begins.is_none();
        begins == Some(true)
    };
    let decided = if begins(PROXY_V2) {
        Some(Sniffed::ProxyHeader { version: 2 })
    } else if begins(b"PROXY ") {
        Some(Sniffed::ProxyHeader { version: 1 })
    } else if begins(&[0x16, 3]) {
        Some(Sniffed::Tls)
    } else if METHODS.iter().any(|method| begins(method)) {
        Some(Sniffed::Http)
    } else {
        match connect_level(first) {
            Level::Is(level) => Some(Sniffed::Mqtt { level }),
            Level::MayCome => None,
            Level::None => Some(Sniffed::Other),
        }
    };
    // Nothing yet, or the beginning of several things.
    if open && decided == Some(Sniffed::Other) { None } else { decided }
}

/// What it is called in an error, judged by a possibly incomplete beginning.
pub(crate) fn name(first: &[u8]) -> String {
    match (sniff(first), first.first()) {
        (Some(found), _) => found.to_string(),
        (None, Some(0x16)) => Sniffed::Tls.to_string(),
        (None, Some(0x10)) => "MQTT".to_owned(),
        (None, _) => Sniffed::Other.to_string(),
    }
}

/// `None` while `first` is shorter than `with` and agrees so far.
fn begins_with(first: &[u8], with: &[u8]) -> Option<bool> {
    let len = first.len().min(with.len());
    if first[..len] != with[..len] {
        return Some(false);
    }
    (len == with.len()).then_some(true)
}

enum Level {
    Is(u8),
    MayCome,
    None,
}

/// The protocol level of a CONNECT packet: type and flags, the remaining length of up to four bytes, the protocol name
/// with its length, the level [MQTT-3.1.2-1].
fn connect_level(first: &[u8]) -> Level {
    let Some((&type_and_flags, rest)) = first.split_first() else { return Level::MayCome };
    if type_and_flags != 0x10 {
        return Level::None;
    }
    let len = match rest.iter().take(4).position(|byte| byte & 0x80 == 0) {
        Some(last) => last + 1,
        None if rest.len() < 4 => return Level::MayCome,
        None => return Level::None,
    };
    let mut may_come = false;
    for name in [&b"\0\x04MQTT"[..], b"\0\x06MQIsdp"] {
        match begins_with(&rest[len..], name) {
            Some(true) => {
                return rest.get(len + name.len()).map_or(Level::MayCome, |&level| Level::Is(level));
            }
            Some(false) => {}
            None => may_come = true,
        }
    }
    if may_come { Level::MayCome } else { Level::None }
}

#[cfg(test)]
mod tests {
    use super::{SNIFF_LEN, Sniffed, sniff};

    const KNOWN: &[(&[u8], Sniffed)] = &[
        (b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", Sniffed::Mqtt { level: 4 }),
        (b"\x10\x0c\0\x04MQTT\x05\x02\0\x3c\0\0", Sniffed::Mqtt { level: 5 }),
        (b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0", Sniffed::Mqtt { level: 3 }),
        (b"\x10\x0e\0\x06MQIsdp\x83\x02\0\x3c\0\0", Sniffed::Mqtt { level: 0x83 }),
        (b"\x10\xff\xff\xff\x7f\0\x06MQIsdp\x03\x02\0", Sniffed::Mqtt { level: 3 }),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Sniffed::Tls),
        (b"GET / HTTP/1.1\r\n\r\n", Sniffed::Http),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", Sniffed::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniffed::Http),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Sniffed::ProxyHeader { version: 1 }),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Sniffed::ProxyHeader { version: 2 }),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", Sniffed::Other),
        (b"\x20\x02\0\0", Sniffed::Other),
        (b"\x10\xff\xff\xff\xff\x01\0\x04MQTT", Sniffed::Other),
        (b"\x10\x0c\0\x04HTTP\x04", Sniffed::Other),
        (b"\x10\x0c\0\x05MQTTX\x04", Sniffed::Other),
        (b"get / HTTP/1.1\r\n\r\n", Sniffed::Other),
        (b"GETTING STARTED WITH", Sniffed::Other),
        (b"\x16\x01aaaaaaaaaaaaaa", Sniffed::Other),
        (&[0; 16], Sniffed::Other),
    ];

    /// Whatever arrives first, the answer is the same or still open, and open no longer than promised.
    #[test]
    fn every_beginning_leads_to_the_same_answer() {
        for (bytes, expected) in KNOWN {
            assert_eq!(sniff(bytes), Some(*expected), "{}", bytes.escape_ascii());
            for len in 0..=bytes.len() {
                let early = sniff(&bytes[..len]);
                assert!(early.is_none() || early == Some(*expected), "{}", bytes[..len].escape_ascii());
                assert!(early.is_some() || len < SNIFF_LEN, "{}", bytes.escape_ascii());
            }
        }
        assert_eq!(sniff(b""), None);
    }

    /// No two protocols share a first byte but those in capitals: one byte says which wrong port it is.
    #[test]
    fn the_first_byte_tells_tls_from_the_rest() {
        assert_eq!(sniff(b"\x10"), None);
        assert_eq!(sniff(b"\x16"), None);
        assert_eq!(sniff(b"\x17"), Some(Sniffed::Other));
        assert_eq!(sniff(b"X"), Some(Sniffed::Other));
    }

    #[test]
    fn any_sixteen_bytes_are_decided() {
        // Bytes that the protocols are made of, so that many get far.
        const BYTES: &[u8] = b"\x10\x16\x03\0\x04MQTTIsdp\x06\xff\x7fGET PROXY";
        let mut noise = 1_u64;
        for _ in 0..20_000 {
            let mut bytes = [0; SNIFF_LEN];
            for byte in &mut bytes {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                *byte = BYTES[(noise % BYTES.len() as u64) as usize];
            }
            assert!(sniff(&bytes).is_some(), "{}", bytes.escape_ascii());
        }
    }
}
