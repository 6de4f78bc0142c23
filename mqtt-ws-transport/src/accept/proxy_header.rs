//! The PROXY protocol, versions 1 and 2: a load balancer that passes bytes on says first for whom.

use crate::io::ByteStream;
use crate::replay::Replay;
use crate::ws::head::read_some;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether a listener expects the header of the PROXY protocol before anything else, even before TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// There is none. What looks like one is not understood.
    #[default]
    Off,
    /// Trusted peers may send one. Everybody else is a client without one.
    Optional,
    /// Trusted peers must send one, and nobody else may connect.
    Required,
}

/// What is wrong with the header of the PROXY protocol, or its absence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// The peer is not among the trusted ones. Add its network to the trusted ones if it is your load balancer.
    #[error("{peer} is not trusted to speak the PROXY protocol")]
    Untrusted {
        /// The address of the socket.
        peer: SocketAddr,
    },
    /// A header is required and the peer began with something else. Switch the PROXY protocol on in the load balancer.
    #[error("the peer sent no header of the PROXY protocol (first bytes: {first:02x?})")]
    Missing {
        /// Up to 16 of the first bytes.
        first: Vec<u8>,
    },
    /// The header is malformed.
    #[error("malformed header of the PROXY protocol: {0}")]
    Malformed(&'static str),
    /// The peer went away before its header was complete.
    #[error("the peer left after {received} bytes of the header of the PROXY protocol")]
    Ended {
        /// Bytes that had arrived. With 0 it is usually a health check.
        received: usize,
    },
    /// The header was not complete within the handshake time.
    #[error("the header of the PROXY protocol was not complete in time")]
    TimedOut,
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(io::Error),
}

const V1: &[u8] = b"PROXY ";
/// The longest header of version 1, with its line end.
const V1_MAX: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_HEAD: usize = 16;
/// What is taken of addresses and additional fields. Balancers send a few hundred bytes.
const V2_MAX: usize = 4 * 1024;

/// Reads a header and leaves what follows it. `None` when the peer begins with something else.
///
/// The inner `None` is a header that names nobody: a health check of the balancer itself, or an unknown family.
pub(super) async fn read<S: ByteStream>(
    stream: &mut Replay<S>,
) -> Result<Option<Option<SocketAddr>>, ProxyHeaderError> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes)? {
            Parsed::Header { len, source } => {
                let rest = bytes.split_off(len);
                stream.unread(rest);
                return Ok(Some(source));
            }
            Parsed::Other => {
                stream.unread(bytes);
                return Ok(None);
            }
            Parsed::Partial => {}
        }
        let received = bytes.len();
        match read_some(stream, &mut bytes, V2_HEAD + V2_MAX).await {
            Ok(0) => return Err(ProxyHeaderError::Ended { received }),
            Ok(_) => {}
            Err(error) => return Err(ProxyHeaderError::Io(error)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Partial,
    Other,
    Header { len: usize, source: Option<SocketAddr> },
}

fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let begins = |with: &[u8]| {
        let n = bytes.len().min(with.len());
        bytes[..n] == with[..n]
    };
    if begins(V1) {
        return if bytes.len() < V1.len() { Ok(Parsed::Partial) } else { parse_v1(bytes) };
    }
    if begins(V2) {
        return if bytes.len() < V2_HEAD { Ok(Parsed::Partial) } else { parse_v2(bytes) };
    }
    Ok(Parsed::Other)
}

/// `PROXY TCP4 203.0.113.9 192.0.2.1 4711 8083\r\n`
fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let window = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_MAX {
            Ok(Parsed::Partial)
        } else {
            Err(ProxyHeaderError::Malformed("the line does not end"))
        };
    };
    let line = std::str::from_utf8(&window[V1.len()..end])
        .map_err(|_| ProxyHeaderError::Malformed("the line is not text"))?;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    let source = match family {
        "UNKNOWN" => None,
        "TCP4" | "TCP6" => {
            let rest: Vec<&str> = words.collect();
            let [source, _, port, _] = rest[..] else {
                return Err(ProxyHeaderError::Malformed("it needs two addresses and two ports"));
            };
            let bad = ProxyHeaderError::Malformed;
            let ip = if family == "TCP4" {
                source.parse::<Ipv4Addr>().map_err(|_| bad("bad IPv4 address"))?.into()
            } else {
                source.parse::<Ipv6Addr>().map_err(|_| bad("bad IPv6 address"))?.into()
            };
            Some(SocketAddr::new(ip, port.parse().map_err(|_| bad("bad port"))?))
        }
        _ => return Err(ProxyHeaderError::Malformed("unknown family")),
    };
    Ok(Parsed::Header { len: end + 2, source })
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let [command, family, high, low] = bytes[V2.len()..V2_HEAD] else { return Ok(Parsed::Partial) };
    if command >> 4 != 2 {
        return Err(ProxyHeaderError::Malformed("unknown version"));
    }
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > V2_MAX {
        return Err(ProxyHeaderError::Malformed("too long"));
    }
    let Some(body) = bytes.get(V2_HEAD..V2_HEAD + len) else { return Ok(Parsed::Partial) };
    let short = || ProxyHeaderError::Malformed("too short for its addresses");
    let source = match (command & 15, family) {
        (1, 0x11) => {
            let (ip, port) = source::<4, 8, 12>(body).ok_or_else(short)?;
            Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
        }
        (1, 0x21) => {
            let (ip, port) = source::<16, 32, 36>(body).ok_or_else(short)?;
            Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port))
        }
        // LOCAL: the balancer speaks for itself, whatever else is there. Or another family, such as a Unix socket, whose
        // address is to be skipped.
        (0 | 1, _) => None,
        _ => return Err(ProxyHeaderError::Malformed("unknown command")),
    };
    Ok(Parsed::Header { len: V2_HEAD + len, source })
}

/// The first address, of `N` bytes, and the port at `PORT`, of a block of `ALL` bytes.
fn source<const N: usize, const PORT: usize, const ALL: usize>(body: &[u8]) -> Option<([u8; N], u16)> {
    let body: &[u8; ALL] = body.first_chunk()?;
    Some((*body.first_chunk()?, u16::from_be_bytes([body[PORT], body[PORT + 1]])))
}

#[cfg(test)]
mod tests {
    use super::{Parsed, V2, parse};

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2.to_vec();
        bytes.extend([command, family, 0, body.len() as u8]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn headers_are_understood_whole_and_waited_for_in_part() {
        let v4 = [&[203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0, 80][..], b"more"].concat();
        let mut v6 = vec![0; 36];
        (v6[0], v6[15], v6[32], v6[33]) = (0xFD, 1, 0x12, 0x67);
        let cases = [
            (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 8083\r\n".to_vec(), Some("203.0.113.9:4711")),
            (b"PROXY TCP6 fd00::1 fd00::2 4711 8083\r\n".to_vec(), Some("[fd00::1]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ff:ff 1 2 3\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("203.0.113.9:4711")),
            (v2(0x21, 0x21, &v6), Some("[fd00::1]:4711")),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0, b""), None),
            (v2(0x21, 0x31, &[b'/'; 216]), None),
        ];
        for (header, source) in cases {
            let source = source.map(|source| source.parse().unwrap());
            for n in 0..header.len() {
                assert_eq!(parse(&header[..n]).unwrap(), Parsed::Partial, "{n} bytes of {header:?}");
            }
            let mut bytes = header.clone();
            bytes.extend(b"\x10\x0c");
            assert_eq!(parse(&bytes).unwrap(), Parsed::Header { len: header.len(), source });
        }
    }

    #[test]
    fn what_is_none_is_told_at_its_first_wrong_byte() {
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x10", b"\x16\x03", b"PUT", b"PROXYX", b"\r\n\r\nX"] {
            assert_eq!(parse(other).unwrap(), Parsed::Other, "{other:?}");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        let long = [V2, &[0x21, 0x11, 0xFF, 0xFF]].concat();
        for bad in [
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n".to_vec(),
            b"PROXY TCP4 fd00::1 fd00::2 1 2\r\n".to_vec(),
            b"PROXY TCP6 203.0.113.9 192.0.2.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 192.0.2.1 70000 2\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.9 192.0.2.1 1 2\r\n".to_vec(),
            [b"PROXY ".to_vec(), vec![b'x'; 200]].concat(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            long,
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
