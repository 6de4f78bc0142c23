//! What the programs have in common: the job that each of them is given on its command line.
//!
//! `PROGRAM first|publish|receive|feed URL QOS SIZE COUNT`
//!
//! * `first` publishes one message of QoS 1 and ends when it is acknowledged.
//! * `publish` publishes COUNT messages to [`DATA`], has [`WINDOW`] unacknowledged at most, and ends when all are complete.
//! * `receive` subscribes to [`DATA`], says `ready`, ends after COUNT messages, and publishes to [`CREDIT`] for every
//!   [`BATCH`] of them.
//! * `feed` publishes for a `receive`, and is held back by its credit, so that no broker has to drop anything.

use std::error::Error;

/// Where the messages go.
pub const DATA: &str = "bench/data";
/// Where a receiver says that it has received a batch.
pub const CREDIT: &str = "bench/credit";
/// Messages between two credits.
pub const BATCH: u32 = 128;
/// Messages in flight.
pub const WINDOW: u16 = 100;

/// What to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// `first`, `publish`, `receive` or `feed`.
    pub mode: String,
    /// `mqtt://…` or `ws://…`.
    pub url: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Of a payload, in bytes.
    pub size: usize,
    /// How many messages.
    pub count: u32,
}

impl Job {
    /// The one of the command line.
    pub fn from_args() -> Result<Self, Box<dyn Error>> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [mode, url, qos, size, count] = &args[..] else { return Err("MODE URL QOS SIZE COUNT".into()) };
        Ok(Self {
            mode: mode.clone(),
            url: url.clone(),
            qos: qos.parse()?,
            size: size.parse()?,
            count: count.parse()?,
        })
    }

    /// How many messages a feeder may be ahead: 16 MiB of them, or two batches.
    pub fn lead(&self) -> u32 {
        ((16 << 20) / (self.size as u32 + 64)).clamp(2 * BATCH, 32 * BATCH)
    }
}
