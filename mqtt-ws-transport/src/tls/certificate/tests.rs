//! Against certificates made by another hand, and against everything that is not one.
use super::*;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber};

fn make(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn complete() -> Vec<u8> {
    make(|params| {
        let name = &mut params.distinguished_name;
        name.push(DnType::CountryName, "AT");
        name.push(DnType::OrganizationName, "Müller, Söhne");
        name.push(DnType::OrganizationalUnitName, DnValue::BmpString("Wärme".try_into().unwrap()));
        name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), "u7");
        name.push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99_999]), "own");
        name.push(DnType::CommonName, DnValue::PrintableString("device-7".try_into().unwrap()));
        params.subject_alt_names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::DnsName("*.b.example".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::Rfc822Name("a@b.example".try_into().unwrap()),
            SanType::URI("spiffe://example/device/7".try_into().unwrap()),
        ];
        params.serial_number = Some(SerialNumber::from_slice(&[0x81, 2, 3]));
        params.not_before = rcgen::date_time_ymd(1999, 12, 31);
        params.not_after = rcgen::date_time_ymd(2400, 2, 29);
    })
}

#[test]
fn everything_in_it_is_found() {
    let certificate = Certificate::from_der(&complete()).unwrap();
    let subject = certificate.subject();
    assert_eq!(subject.common_name(), Some("device-7"));
    assert_eq!(subject.get("UID"), Some("u7"));
    assert_eq!(subject.get("OU"), Some("Wärme"));
    assert_eq!(subject.get("L"), None);
    assert_eq!(
        subject.to_string(),
        "CN=device-7,1.3.6.1.4.1.99999=own,UID=u7,OU=Wärme,O=Müller\\, Söhne,C=AT"
    );
    assert!(certificate.is_self_issued());
    assert_eq!(certificate.dns_names(), ["a.example", "*.b.example"]);
    let addresses: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    assert_eq!(certificate.ip_addresses(), addresses);
    assert_eq!(certificate.emails(), ["a@b.example"]);
    assert_eq!(certificate.uris(), ["spiffe://example/device/7"]);
    assert_eq!(certificate.serial(), [0x81, 2, 3]);
    let unix = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(unix(certificate.not_before()), 946_598_400);
    assert_eq!(unix(certificate.not_after()), 13_574_563_200);
}

#[test]
fn a_certificate_may_say_nothing() {
    let certificate = Certificate::from_der(&make(|_| {})).unwrap();
    assert!(certificate.subject().is_empty());
    assert_eq!(certificate.subject().to_string(), "");
    assert!(certificate.dns_names().is_empty());
}

#[test]
fn two_names_never_look_alike() {
    let name = |value: &str| {
        let der = make(|params| params.distinguished_name.push(DnType::CommonName, value));
        Certificate::from_der(&der).unwrap().subject().to_string()
    };
    assert_eq!(name("a,O=b"), "CN=a\\,O\\=b".replace("\\=", "="));
    assert_eq!(name(" a "), "CN=\\ a\\ ");
    assert_eq!(name("#a+b"), "CN=\\#a\\+b");
    assert_eq!(name("a\0b\n"), "CN=a\\00b\\0a");
}

#[test]
fn a_set_of_several_is_joined() {
    let pair = |kind: u8, value: &[u8]| {
        let mut pair = vec![0x30, 7 + value.len() as u8, 6, 3, 0x55, 4, kind, 12, value.len() as u8];
        pair.extend_from_slice(value);
        pair
    };
    let set = |pairs: Vec<Vec<u8>>| {
        let content = pairs.concat();
        [vec![0x31, content.len() as u8], content].concat()
    };
    let name = [set(vec![pair(10, b"o")]), set(vec![pair(3, b"a"), pair(11, b"b")])].concat();
    assert_eq!(DistinguishedName::parse(Der::new(&name)).unwrap().to_string(), "CN=a+OU=b,O=o");
}

#[test]
fn what_is_no_certificate_is_refused_without_harm() {
    let good = complete();
    // The signature behind the part that is read may be missing, nothing of that part.
    for end in 0..good.len() {
        let _ = Certificate::from_der(&good[..end]);
    }
    assert_eq!(Certificate::from_der(&good[..good.len() / 2]), Err(MalformedCertificate));
    for i in 0..good.len() {
        for flip in [0x01, 0x20, 0x80, 0xFF] {
            let mut bad = good.clone();
            bad[i] ^= flip;
            if let Ok(certificate) = Certificate::from_der(&bad) {
                let _ = format!("{certificate:?} {}", certificate.subject());
            }
        }
    }
    assert!(Certificate::from_der(b"").is_err());
    assert!(Certificate::from_der(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
}

#[test]
fn days_of_the_calendar() {
    for (date, expected) in [
        ((1970, 1, 1), 0),
        ((1969, 12, 31), -1),
        ((2000, 2, 29), 11_016),
        ((2000, 3, 1), 11_017),
        ((2100, 3, 1), 47_541),
    ] {
        assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
    }
}
