//! What a certificate says: whose it is, by whom, for which names and how long.

use super::der::{self, Der};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The readable part of an X.509 certificate.
///
/// Reading it checks nothing: whether to believe it is the matter of the TLS handshake that it came from.
///
/// ```no_run
/// # fn authenticate(peer: &mqttkit_ws_transport::PeerInfo) -> Option<String> {
/// // The common name of the client's certificate as the user name.
/// let certificate = peer.tls.as_ref()?.client_certificate()?.ok()?;
/// certificate.subject().common_name().map(str::to_owned)
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    subject: DistinguishedName,
    issuer: DistinguishedName,
    serial: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    emails: Vec<String>,
    uris: Vec<String>,
}

/// The bytes are not an X.509 certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate in DER")]
pub struct MalformedCertificate;

impl Certificate {
    /// Reads a certificate in DER, such as those of
    /// [`TlsInfo::client_certificates`](super::TlsInfo::client_certificates).
    ///
    /// # Errors
    /// [`MalformedCertificate`]; never for one that rustls has verified.
    pub fn from_der(der: &[u8]) -> Result<Self, MalformedCertificate> {
        parse(der).ok_or(MalformedCertificate)
    }

    /// Whose it is.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }
    /// Who signed it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }
    /// The issuer's number for it, most significant byte first, as revocation lists name it.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
    /// Valid from then on.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }
    /// Valid until then.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
    /// The host names it is for (subject alternative names), which may begin with `*.`.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }
    /// The addresses it is for.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.ip_addresses
    }
    /// The mail addresses it is for.
    pub fn emails(&self) -> &[String] {
        &self.emails
    }
    /// The URIs it is for, for example a SPIFFE identity.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }
    /// Whether subject and issuer are the same, as in a root or a self-signed certificate.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// A name such as `CN=device-7,O=Example`.
///
/// `Display` writes it as RFC 4514 does, the most specific part first, special characters escaped, so that two
/// different names never look alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DistinguishedName {
    /// In the order of the certificate; several in one set are rare and kept flat, joined by `+`.
    attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Attribute {
    kind: String,
    value: Value,
    /// Belongs to the one before it.
    joined: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    Text(String),
    /// Not text, or not of a kind that we can read.
    Der(Vec<u8>),
}

impl DistinguishedName {
    /// The common name (`CN`), the last one if there are several: that is the most specific.
    pub fn common_name(&self) -> Option<&str> {
        self.get("CN")
    }

    /// An attribute by its short name (`CN`, `O`, `OU`, `C`, `L`, `ST`, `DC`, `UID`, `serialNumber`, `emailAddress`) or
    /// its dotted number, the last one if there are several.
    pub fn get(&self, kind: &str) -> Option<&str> {
        self.iter().filter(|(k, _)| *k == kind).last().map(|(_, value)| value)
    }

    /// All attributes that are text, in the order of the certificate.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().filter_map(|attribute| match &attribute.value {
            Value::Text(text) => Some((attribute.kind.as_str(), text.as_str())),
            Value::Der(_) => None,
        })
    }

    /// Whether it says nothing, as in certificates that have only alternative names.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    fn parse(mut sets: Der<'_>) -> Option<Self> {
        let mut attributes = Vec::new();
        while !sets.is_empty() {
            let mut set = sets.inside(der::SET)?;
            let mut joined = false;
            while !set.is_empty() {
                let mut pair = set.inside(der::SEQUENCE)?;
                let kind = kind(pair.take(der::OID)?);
                let (tag, content) = pair.next()?;
                let value = text(tag, content).map_or_else(|| Value::Der(content.to_vec()), Value::Text);
                attributes.push(Attribute { kind, value, joined });
                joined = true;
            }
        }
        Some(Self { attributes })
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut end = self.attributes.len();
        // RFC 4514 section 2.1: the sets in reverse, what is in a set joined by `+`.
        while end > 0 {
            let begin = self.attributes[..end].iter().rposition(|attribute| !attribute.joined).unwrap_or(0);
            if end < self.attributes.len() {
                f.write_str(",")?;
            }
            for (i, attribute) in self.attributes[begin..end].iter().enumerate() {
                write!(f, "{}{}=", if i == 0 { "" } else { "+" }, attribute.kind)?;
                match &attribute.value {
                    Value::Text(text) => escape(text, f)?,
                    Value::Der(bytes) => {
                        f.write_str("#")?;
                        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    }
                }
            }
            end = begin;
        }
        Ok(())
    }
}

/// RFC 4514 section 2.4; control characters as hex besides, for the sake of logs.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    let last = text.chars().count().saturating_sub(1);
    for (i, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
            ' ' if i == 0 || i == last => f.write_str("\\ ")?,
            '#' if i == 0 => f.write_str("\\#")?,
            c if c.is_control() => {
                c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(f, "\\{byte:02x}"))?;
            }
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

fn parse(der: &[u8]) -> Option<Certificate> {
    let mut tbs = Der::new(der).inside(der::SEQUENCE)?.inside(der::SEQUENCE)?;
    let _version = tbs.take(0xA0);
    let serial = tbs.take(der::INTEGER)?;
    let _signature_algorithm = tbs.take(der::SEQUENCE)?;
    let issuer = DistinguishedName::parse(tbs.inside(der::SEQUENCE)?)?;
    let mut validity = tbs.inside(der::SEQUENCE)?;
    let not_before = time(validity.next()?)?;
    let not_after = time(validity.next()?)?;
    let subject = DistinguishedName::parse(tbs.inside(der::SEQUENCE)?)?;
    let _public_key = tbs.take(der::SEQUENCE)?;
    let _issuer_id = tbs.take(0x81);
    let _subject_id = tbs.take(0x82);

    let mut certificate = Certificate {
        subject,
        issuer,
        // A leading zero only says that the number is positive.
        serial: serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial).to_vec(),
        not_before,
        not_after,
        dns_names: Vec::new(),
        ip_addresses: Vec::new(),
        emails: Vec::new(),
        uris: Vec::new(),
    };
    if let Some(mut outer) = tbs.inside(0xA3) {
        let mut extensions = outer.inside(der::SEQUENCE)?;
        while !extensions.is_empty() {
            let mut extension = extensions.inside(der::SEQUENCE)?;
            let id = extension.take(der::OID)?;
            let _critical = extension.take(0x01);
            let content = extension.take(der::OCTET_STRING)?;
            // id-ce-subjectAltName, 2.5.29.17.
            if id == [0x55, 0x1D, 0x11] {
                alternative_names(Der::new(content).inside(der::SEQUENCE)?, &mut certificate)?;
            }
        }
    }
    Some(certificate)
}

/// RFC 5280 section 4.2.1.6, the kinds that mean something here.
fn alternative_names(mut names: Der<'_>, certificate: &mut Certificate) -> Option<()> {
    let ascii = |content: &[u8]| content.is_ascii().then(|| String::from_utf8_lossy(content).into_owned());
    while !names.is_empty() {
        match names.next()? {
            (0x81, content) => certificate.emails.push(ascii(content)?),
            (0x82, content) => certificate.dns_names.push(ascii(content)?),
            (0x86, content) => certificate.uris.push(ascii(content)?),
            (0x87, content) => certificate.ip_addresses.push(match content.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(content).ok()?),
                16 => IpAddr::from(<[u8; 16]>::try_from(content).ok()?),
                _ => return None,
            }),
            _ => {}
        }
    }
    Some(())
}

/// The short names of RFC 4514 and the usual others; what has none is written as its number.
fn kind(oid: &[u8]) -> String {
    const NAMES: [(&[u8], &str); 12] = [
        (&[0x55, 4, 3], "CN"),
        (&[0x55, 4, 4], "SN"),
        (&[0x55, 4, 5], "serialNumber"),
        (&[0x55, 4, 6], "C"),
        (&[0x55, 4, 7], "L"),
        (&[0x55, 4, 8], "ST"),
        (&[0x55, 4, 9], "STREET"),
        (&[0x55, 4, 10], "O"),
        (&[0x55, 4, 11], "OU"),
        (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1], "UID"),
        (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25], "DC"),
        (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1], "emailAddress"),
    ];
    match NAMES.iter().find(|(bytes, _)| *bytes == oid) {
        Some((_, name)) => (*name).to_owned(),
        None => dotted(oid),
    }
}

fn dotted(oid: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0u64;
    for &byte in oid {
        arc = arc.wrapping_shl(7) | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.extend([first, arc - first * 40]);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// A string of any of the kinds that names are made of.
fn text(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString
        0x0C | 0x12 | 0x13 | 0x16 | 0x1A => String::from_utf8(content.to_vec()).ok(),
        // TeletexString, which in practice is Latin-1
        0x14 => Some(content.iter().copied().map(char::from).collect()),
        // BMPString
        0x1E if content.len().is_multiple_of(2) => {
            let units = content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// RFC 5280 section 4.1.2.5: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time((tag, content): (u8, &[u8])) -> Option<SystemTime> {
    let digits = content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |value, &digit| value * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (der::UTC_TIME, 12) => match number(&digits[..2]) {
            year @ 50.. => (1900 + year, &digits[2..]),
            year => (2000 + year, &digits[2..]),
        },
        (der::GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|i| number(&rest[i..i + 2]));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, for years from 0. Years are counted from March, so that the leap
/// day is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests;
