//! All connections of a run in one event loop: what it costs per message must vanish beside what the broker does.

use std::error::Error;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::conn::{Conn, Shared};
use crate::latency::Delays;
use crate::progress::Progress;
use crate::scan::Tally;
use crate::target::Target;

/// How long nothing may happen while connections open or filters are subscribed.
const PATIENCE: Duration = Duration::from_secs(30);
const READ_BUFFER: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct World {
    target: Target,
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    buffer: Vec<u8>,
    reply: Vec<u8>,
    news: Vec<(usize, Tally)>,
    /// Whoever wants to know when messages arrive.
    pub(crate) delays: Option<Delays>,
    /// How many connections ended without being told to, and why the first of them did.
    pub(crate) ended: usize,
    pub(crate) fault: Option<String>,
    /// How many connections that are not accepted may be tried again.
    pub(crate) attempts_left: usize,
    opened: usize,
}

type Done<T = ()> = Result<T, Box<dyn Error>>;

impl World {
    pub(crate) fn new(target: Target) -> Done<Self> {
        Ok(Self {
            target,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            conns: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            reply: Vec::new(),
            news: Vec::new(),
            delays: None,
            ended: 0,
            fault: None,
            attempts_left: 0,
            opened: 0,
        })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn poll(&self) -> &Poll {
        &self.poll
    }

    pub(crate) fn conn(&self, index: usize) -> &Conn {
        &self.conns[index]
    }

    /// What the last turn brought, for each connection that got something.
    pub(crate) fn news(&self) -> &[(usize, Tally)] {
        &self.news
    }

    /// Opens so many connections and waits for their CONNACKs. Returns their indices.
    pub(crate) fn open(&mut self, count: usize, progress: &mut Progress) -> Done<Range<usize>> {
        self.open_by(count, self.target.at_once, progress)
    }

    /// The same, without regard for the broker.
    pub(crate) fn open_at_once(&mut self, count: usize, progress: &mut Progress) -> Done<Range<usize>> {
        self.open_by(count, count, progress)
    }

    fn open_by(&mut self, count: usize, at_once: usize, progress: &mut Progress) -> Done<Range<usize>> {
        let first = self.conns.len();
        let (mut ready, mut waiting) = (0, 0);
        let mut last = Instant::now();
        while ready < count {
            while waiting < at_once && self.conns.len() < first + count {
                let index = self.conns.len();
                let conn = Conn::open(&self.target, self.opened, self.poll.registry(), Token(index))?;
                self.opened += 1;
                self.conns.push(conn);
                waiting += 1;
            }
            self.turn(Some(Duration::from_secs(1)))?;
            self.open_again()?;
            self.check()?;
            let accepted = self.news.iter().filter(|(_, tally)| tally.accepted).count();
            ready += accepted;
            waiting -= accepted;
            if accepted > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!("only {ready} of {count} connections were accepted").into());
            }
            progress.show("connecting", ready as u64, count as u64);
        }
        Ok(first..first + count)
    }

    /// Opens anew what ended before it was accepted, as far as that is allowed.
    fn open_again(&mut self) -> Done {
        let failed = self.news.iter().filter(|(_, tally)| tally.unaccepted).map(|&(index, _)| index);
        for index in failed.take(self.attempts_left) {
            self.conns[index] = Conn::open(&self.target, self.opened, self.poll.registry(), Token(index))?;
            self.opened += 1;
            self.attempts_left -= 1;
            self.ended -= 1;
        }
        if self.ended == 0 {
            self.fault = None;
        }
        Ok(())
    }

    /// Sends SUBSCRIBE packets, each for so many filters, on these connections and waits until all are granted.
    pub(crate) fn subscribe(
        &mut self,
        mut packets: Vec<(usize, Vec<u8>, u64)>,
        progress: &mut Progress,
    ) -> Done {
        let total: u64 = packets.iter().map(|(_, _, filters)| filters).sum();
        packets.reverse();
        // Some brokers have little room for what they answer to one client.
        let (mut answered, mut asked, most) = (0, 0, 20_000.max(packets.last().map_or(0, |packet| packet.2)));
        let mut last = Instant::now();
        while answered < total {
            while let Some((_, _, filters)) = packets.last()
                && asked - answered + filters <= most
                && let Some((index, packet, filters)) = packets.pop()
            {
                self.conns[index].send_packets(&packet)?;
                asked += filters;
            }
            self.turn(Some(Duration::from_secs(1)))?;
            self.check()?;
            let denied: u64 = self.news.iter().map(|(_, tally)| tally.denied).sum();
            if denied > 0 {
                return Err(format!("the broker refuses {denied} subscriptions").into());
            }
            let granted: u64 = self.news.iter().map(|(_, tally)| tally.granted).sum();
            answered += granted;
            if granted > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!("only {answered} of {total} subscriptions were answered").into());
            }
            progress.show("subscribing", answered, total);
        }
        Ok(())
    }

    /// Closes these connections, the last ones, and forgets them.
    pub(crate) fn close(&mut self, from: usize) {
        for mut conn in self.conns.drain(from..) {
            conn.close(self.poll.registry());
        }
    }

    /// Waits for something to happen, at most so long, and does what is to be done: reads, counts, acknowledges.
    pub(crate) fn turn(&mut self, patience: Option<Duration>) -> Done {
        self.news.clear();
        match self.poll.poll(&mut self.events, patience) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        for event in &self.events {
            let index = event.token().0;
            let Some(conn) = self.conns.get_mut(index) else { continue };
            let mut tally = Tally::default();
            let mut done = Ok(());
            if event.is_writable() {
                done = conn.on_writable(&self.target);
            }
            if done.is_ok() && event.is_readable() {
                let mut shared = Shared {
                    target: &self.target,
                    buffer: &mut self.buffer,
                    reply: &mut self.reply,
                    stamps: self.delays.as_mut().map(|delays| &mut delays.stamps),
                };
                done = conn.on_readable(&mut shared, &mut tally);
                if let Some(delays) = &mut self.delays {
                    delays.settle();
                }
            }
            if let Err(fault) = done {
                tally.unaccepted = !conn.is_ready();
                conn.close(self.poll.registry());
                self.ended += 1;
                self.fault.get_or_insert_with(|| fault.to_string());
            }
            self.news.push((index, tally));
        }
        Ok(())
    }

    /// Sends bytes that are framed already.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) -> Done {
        Ok(self.conns[index].send(bytes)?)
    }

    /// Sends packets that are not framed yet.
    pub(crate) fn send_packets(&mut self, index: usize, packets: &[u8]) -> Done {
        Ok(self.conns[index].send_packets(packets)?)
    }

    /// An error if a connection ended.
    pub(crate) fn check(&self) -> Done {
        match &self.fault {
            None => Ok(()),
            Some(fault) if self.ended == 1 => Err(fault.clone().into()),
            Some(fault) => Err(format!("{fault} ({} connections)", self.ended).into()),
        }
    }
}
