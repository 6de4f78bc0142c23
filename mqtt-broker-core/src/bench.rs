//! A broker without sockets or tasks, for `benches/`: each step of its hot path can be taken, and timed, by itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqttkit_codec::Instant;
use mqttkit_ws_transport::{PeerInfo, Scheme};

use crate::config::Config;
use crate::notify::Notify;
use crate::peer::{Peer, Turn, Work};
use crate::rules::Rules;
use crate::state::State;

/// The state of a broker and its connections.
pub struct Bench {
    now: Instant,
    rules: Arc<Rules>,
    state: State,
    lines: Vec<Line>,
    work: Vec<Work>,
    bells: Vec<Arc<Notify>>,
}

struct Line {
    peer: Peer,
    input: BytesMut,
}

impl Bench {
    /// A broker that nobody has connected to.
    pub fn new(config: Config) -> Self {
        let rules = Arc::new(Rules::new(config, None));
        let state = State::new(&rules, "bench".into(), 1);
        let now = Instant::new(Duration::from_secs(1));
        Self { now, rules, state, lines: Vec::new(), work: Vec::new(), bells: Vec::new() }
    }

    /// A new connection, named by a number.
    pub fn open(&mut self) -> usize {
        let info = PeerInfo::new(Scheme::Tcp, None);
        let peer = Peer::new(Arc::clone(&self.rules), None, self.now, info, Arc::default());
        self.lines.push(Line { peer, input: BytesMut::new() });
        self.lines.len() - 1
    }

    /// The transport of a connection is gone.
    pub fn close(&mut self, line: usize) {
        self.lines[line].peer.handle_closed(self.now);
        self.take(line, BytesMut::new());
    }

    /// These bytes came from a client: takes the packets, and does what they ask for.
    pub fn take(&mut self, line: usize, bytes: BytesMut) {
        let Self { now, state, lines, work, .. } = self;
        let Line { peer, input } = &mut lines[line];
        if input.is_empty() {
            *input = bytes;
        } else {
            input.unsplit(bytes);
        }
        loop {
            let more = peer.decode(*now, input, work);
            let turn = peer.apply(*now, state, work);
            if !more && !matches!(turn, Turn::Again) {
                break;
            }
        }
        self.state.take_wakes(&mut self.bells);
        self.bells.clear();
    }

    /// Gives a client what waits for it, as if its socket took everything. Returns how many bytes it was.
    pub fn give(&mut self, line: usize) -> usize {
        let Self { now, state, lines, work, .. } = self;
        let peer = &mut lines[line].peer;
        let mut given = 0;
        loop {
            let turn = peer.apply(*now, state, work);
            let count = peer.transmit().remaining();
            peer.transmit().advance(count);
            given += count;
            if count == 0 && !matches!(turn, Turn::Again) {
                return given;
            }
        }
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}
