//! Vectors with every single bit flipped, and every beginning of them: strictly and leniently decoded, they are an error
//! or a packet that can be written again, and never cost more memory than there are bytes.

use allocation_counter::measure;
use bytes::BytesMut;
use mqttkit_codec::{
    ClientConfig, ClientConnection, Codec, ConnAck, Connect, DecodeError, Instant, Packet, ServerConfig,
    ServerConnection, Session, Strictness, Version,
};

use crate::parse::{self, Vector};

/// Longer vectors are repetitions of one byte, in which nothing new happens.
const LONGEST: usize = 1024;

/// What a packet may take beside its bytes: a CONNECT is boxed (as is the error that was forgiven), and a buffer that becomes shared counts who shares it.
const BESIDE: u64 = size_of::<Connect>() as u64 + 64;

/// A codec of each strictness for each version of the vector.
fn codecs(vector: &Vector) -> impl Iterator<Item = Codec> {
    vector.codecs().flat_map(|codec| {
        [Strictness::Strict, Strictness::Lenient].map(|strictness| {
            let mut codec = codec.clone();
            codec.set_strictness(strictness);
            codec
        })
    })
}

/// Every vector that is not too long with every single bit flipped.
fn flipped(longest: usize, mut test: impl FnMut(&Vector, &[u8])) {
    for vector in parse::load().iter().filter(|vector| vector.bytes.len() <= longest) {
        for bit in 0..vector.bytes.len() * 8 {
            let mut bytes = vector.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            test(vector, &bytes);
        }
    }
}

/// Decodes what must not panic; a packet that comes out must survive being encoded.
fn check(codec: &Codec, bytes: &[u8], name: &str) -> Option<Packet> {
    let (mut decoder, mut input) = (codec.clone(), BytesMut::from(bytes));
    let mut result = Ok(None);
    let memory = measure(|| result = decoder.decode(&mut input));
    let forgiven = decoder.take_forgiven();
    let kept = if forgiven.is_some() { size_of::<DecodeError>() as u64 } else { 0 };
    // A length that is declared and not there costs nothing.
    let limit = match &result {
        Ok(Some(_)) => bytes.len() as u64 + BESIDE + kept,
        Ok(None) => 0,
        Err(_) => BESIDE,
    };
    assert!(memory.bytes_total <= limit, "{name}: {} bytes allocated for {bytes:02x?}", memory.bytes_total);

    let packet = result.ok()??;
    let mut out = BytesMut::new();
    codec.encode(&packet, &mut out).unwrap_or_else(|error| panic!("{name}: {packet:?}: {error}"));
    // The form that is right can be longer than the one that was not: an empty user name takes two bytes.
    let longest = bytes.len() + if forgiven.is_some() { 2 } else { 0 };
    assert!(out.len() <= longest, "{name}: the canonical form is longer");
    let mut strict = codec.clone();
    strict.set_strictness(Strictness::Strict);
    let again = strict.decode(&mut out);
    assert_eq!(again.as_ref(), Ok(&Some(packet)), "{name}");
    // Whoever is strict has either the same packet or the error that was forgiven.
    strict.set_version(codec.version());
    match (strict.decode(&mut BytesMut::from(bytes)), forgiven) {
        (Err(error), Some(forgiven)) => assert_eq!(error, forgiven, "{name}"),
        (packet, None) => assert_eq!(packet, again, "{name}"),
        (Ok(packet), Some(error)) => panic!("{name}: {error} was forgiven in {packet:?}"),
    }
    again.unwrap_or_default()
}

#[test]
fn flipped_bits_give_an_error_or_a_packet() {
    let (mut errors, mut packets) = (0, 0);
    flipped(LONGEST, |vector, bytes| {
        for codec in codecs(vector) {
            match check(&codec, bytes, &vector.name) {
                Some(_) => packets += 1,
                None => errors += 1,
            }
        }
    });
    assert!(errors > 1000 && packets > 1000, "{errors} errors and {packets} packets");
}

#[test]
fn every_truncation_waits_or_fails() {
    for vector in parse::packets().iter().filter(|vector| vector.bytes.len() <= LONGEST) {
        for codec in codecs(vector) {
            for len in 0..vector.bytes.len() {
                let waits = codec.clone().decode(&mut BytesMut::from(&vector.bytes[..len]));
                assert_eq!(waits, Ok(None), "{} with {len} bytes", vector.name);
            }
        }
    }
}

/// The same, but the header says how much is left: the body itself is too short.
#[test]
fn every_shortened_body_gives_an_error_or_a_packet() {
    for vector in parse::load().iter().filter(|vector| vector.bytes.len() <= 129) {
        for codec in codecs(vector) {
            for len in 2..vector.bytes.len() {
                let mut bytes = vector.bytes[..len].to_vec();
                bytes[1] = (len - 2) as u8;
                check(&codec, &bytes, &vector.name);
            }
        }
    }
}

/// What one version writes is nothing that another may choke on.
#[test]
fn the_wrong_version_gives_an_error_or_a_packet() {
    for vector in parse::load() {
        for version in [Version::V31, Version::V311, Version::V5] {
            for mut codec in codecs(&vector) {
                codec.set_version(version);
                check(&codec, &vector.bytes, &vector.name);
            }
        }
    }
}

/// What a connection may take for a packet beside its bytes: room for an answer and for what it remembers.
const CONNECTION: u64 = 4096;

/// Neither connection has more memory at a time than the bytes it was given and a few of its own, whatever they say.
#[test]
fn connections_take_no_memory_for_what_is_only_declared() {
    let now = Instant::ZERO;
    flipped(129, |vector, bytes| {
        for codec in codecs(vector) {
            let connect = Connect::new(codec.version(), "c".try_into().unwrap());
            let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
            codec.encode(&connect, &mut to_server).unwrap();
            codec.encode(&ConnAck::accepted(false), &mut to_client).unwrap();

            let mut config = ServerConfig::default();
            config.strictness = codec.strictness();
            let mut server = ServerConnection::new(config, now);
            server.poll_event(now, &mut to_server).unwrap();
            server.accept(now, ConnAck::accepted(false), Session::new());

            let mut config = ClientConfig::default();
            config.strictness = codec.strictness();
            let mut client = ClientConnection::new(config, connect, Session::new(), now).unwrap();
            client.poll_event(now, &mut to_client).unwrap();

            let (mut to_server, mut to_client) = (BytesMut::from(bytes), BytesMut::from(bytes));
            let server = measure(|| while server.poll_event(now, &mut to_server).is_some() {});
            let client = measure(|| while client.poll_event(now, &mut to_client).is_some() {});
            for memory in [server, client] {
                let most = memory.bytes_max;
                let limit = bytes.len() as u64 + CONNECTION;
                assert!(most <= limit, "{}: {most} bytes allocated for {bytes:02x?}", vector.name);
            }
        }
    });
}
