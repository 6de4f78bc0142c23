//! What must hold for the messages of one direction.

use std::collections::HashMap;

use bytes::Bytes;
use mqttkit_codec::{Message, PacketId, QoS, ReasonCode};

use super::limits::Limits;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client to the server.
    Up,
    Down,
}

/// Everything that was published in one direction, and what became of it.
#[derive(Debug)]
pub(super) struct Flow {
    way: Way,
    records: Vec<Record>,
    /// The messages in flight by their identifiers.
    in_flight: HashMap<PacketId, usize>,
    /// Requests that wait for their answers.
    requests: Vec<PacketId>,
    /// The last message that arrived for the first time, of QoS 0 and of the others.
    latest: [Option<usize>; 2],
}

#[derive(Debug)]
struct Record {
    message: Message,
    /// It was delivered at all.
    seen: bool,
    /// How often it was delivered since it was last refused or forgotten.
    delivered: usize,
    /// The connection by which it was delivered last.
    connection: usize,
    /// The receiving application took it.
    accepted: bool,
    refused: bool,
    done: bool,
    /// The receiver lowered its limit, and the application was told.
    too_large: bool,
    /// A session was lost on the way: all promises end.
    abandoned: bool,
}

impl Flow {
    pub(super) fn new(way: Way) -> Self {
        let (records, in_flight, requests) = (Vec::new(), HashMap::new(), Vec::new());
        Self { way, records, in_flight, requests, latest: [None; 2] }
    }

    /// A payload by which the next message is known.
    pub(super) fn next_payload(&self, size: usize) -> Bytes {
        let mut payload = self.records.len().to_be_bytes().to_vec();
        payload.resize(payload.len() + size, b'x');
        payload.into()
    }

    pub(super) fn published(&mut self, message: Message, id: Option<PacketId>) {
        assert_eq!(id.is_some(), message.qos != QoS::AtMostOnce);
        if let Some(id) = id {
            self.check_free(id);
            self.in_flight.insert(id, self.records.len());
        }
        self.records.push(Record {
            message,
            seen: false,
            delivered: 0,
            connection: 0,
            accepted: false,
            refused: false,
            done: id.is_none(),
            too_large: false,
            abandoned: false,
        });
    }

    pub(super) fn request(&mut self, id: PacketId) {
        self.check_free(id);
        self.requests.push(id);
    }

    pub(super) fn request_done(&mut self, id: PacketId) {
        let at = self.requests.iter().position(|&request| request == id).expect("it was asked for");
        self.requests.remove(at);
    }

    fn check_free(&self, id: PacketId) {
        assert!(!self.in_flight.contains_key(&id), "identifier {id} belongs to a message in flight");
        assert!(!self.requests.contains(&id), "identifier {id} belongs to a request");
    }

    /// Returns which message it is.
    pub(super) fn received(&mut self, message: &Message, dup: bool, connection: usize) -> usize {
        let number = message.payload.first_chunk().map(|number| usize::from_be_bytes(*number));
        let number = number.expect("it was published with a number");
        let record = &mut self.records[number];
        assert_eq!(&record.message, message, "{:?} {number}", self.way);
        if record.seen {
            assert!(dup, "{:?} {number} comes again without DUP", self.way);
            assert!(record.connection < connection, "{:?} {number} comes twice by one connection", self.way);
        } else {
            let latest = &mut self.latest[usize::from(message.qos != QoS::AtMostOnce)];
            assert!(*latest < Some(number), "{:?}: {number} comes after {latest:?}", self.way);
            *latest = Some(number);
        }
        record.seen = true;
        record.delivered += 1;
        record.connection = connection;
        match message.qos {
            QoS::AtLeastOnce => {}
            _ => assert_eq!(record.delivered, 1, "{:?} {number} has {:?}", self.way, message.qos),
        }
        number
    }

    /// The receiving application has answered.
    pub(super) fn answered(&mut self, number: usize, refused: bool) {
        let record = &mut self.records[number];
        if refused {
            (record.refused, record.delivered) = (true, 0);
        } else {
            record.accepted = true;
        }
    }

    /// The receiving application is gone, and with it what it held.
    pub(super) fn forgotten(&mut self, number: usize) {
        self.records[number].delivered = 0;
    }

    /// The publishing application is told that the message is complete.
    pub(super) fn acknowledged(&mut self, id: PacketId, reason: ReasonCode, limits: &Limits) {
        let number = self.in_flight.remove(&id).expect("it names a message in flight");
        let record = &mut self.records[number];
        assert!(!record.done, "{:?} {number} is complete twice", self.way);
        record.done = true;
        if reason == ReasonCode::PacketTooLarge {
            assert!(limits.forbid(self.way, &record.message), "{:?} {number} is not too large", self.way);
            record.too_large = true;
        } else if reason.is_error() {
            assert!(record.refused, "{:?} {number}: {reason}", self.way);
        } else {
            assert!(record.accepted, "{:?} {number} was acknowledged by nobody", self.way);
        }
    }

    /// The connection is over.
    pub(super) fn cut(&mut self) {
        self.requests.clear();
    }

    /// The session is gone, and the application knows why.
    pub(super) fn abandon(&mut self) {
        for (_, number) in self.in_flight.drain() {
            self.records[number].abandoned = true;
        }
    }

    /// A new connection has begun; these messages were given back because the session was gone.
    pub(super) fn lost(&mut self, lost: &[(PacketId, Bytes)]) {
        let numbers = lost.iter().map(|(id, payload)| {
            let number = self.in_flight.remove(id).expect("it names a message in flight");
            assert_eq!(&self.records[number].message.payload, payload);
            self.records[number].abandoned = true;
            number
        });
        assert!(numbers.collect::<Vec<_>>().is_sorted(), "in the order they were sent");
    }

    /// Nothing is on its way any more.
    pub(super) fn check_complete(&self) {
        assert!(self.in_flight.is_empty(), "{:?}: {:?} are never complete", self.way, self.in_flight);
        assert!(self.requests.is_empty(), "{:?}: {:?} are never answered", self.way, self.requests);
        for (number, record) in self.records.iter().enumerate() {
            if record.message.qos == QoS::AtMostOnce || record.abandoned {
                continue;
            }
            assert!(record.done, "{:?} {number} is not complete", self.way);
            assert!(record.seen || record.too_large, "{:?} {number} was never delivered", self.way);
        }
    }
}
