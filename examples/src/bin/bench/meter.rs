//! What a process used: processor time and memory, as `/proc` tells it.

use std::fs;
use std::time::{Duration, Instant};

/// The kernel's unit of processor time in `/proc/PID/stat`, 1/100 s wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);

/// A moment in the life of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    /// Processor time of all threads, in the program and in the kernel for it.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// How much more resident memory there is, in bytes.
    pub(crate) grown: i64,
}

/// Looks at a process; `None` when it is gone, or this is not Linux.
pub(crate) fn sample(pid: u32) -> Option<Sample> {
    let at = Instant::now();
    Some(Sample { at, cpu: precise(pid).or_else(|| ticks(pid))?, memory: memory(pid)? })
}

impl Usage {
    pub(crate) fn between(first: &Sample, last: &Sample) -> Self {
        Self {
            wall: last.at - first.at,
            cpu: last.cpu.saturating_sub(first.cpu),
            grown: last.memory.cast_signed() - first.memory.cast_signed(),
        }
    }

    /// Microseconds of processor time for each of so many things.
    pub(crate) fn micros_per(&self, count: u64) -> Option<f64> {
        (count > 0).then(|| self.cpu.as_secs_f64() * 1e6 / count as f64)
    }
}

/// User and system time in ticks: of all threads, also of those that have ended.
fn ticks(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// The same in nanoseconds, unless threads have ended: what they used is only in the ticks.
fn precise(pid: u32) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let line = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += Duration::from_nanos(line.split_whitespace().next()?.parse().ok()?);
    }
    let whole = ticks(pid)?;
    (sum + TICK * 5 > whole).then_some(sum)
}

fn memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_processor_time() {
        let first = sample(std::process::id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let usage = Usage::between(&first, &sample(std::process::id()).unwrap());
            if usage.cpu > Duration::from_millis(20) {
                break;
            }
            assert!(Instant::now() < deadline, "{usage:?}");
        }
        assert!(first.memory > 100_000, "{first:?}");
        assert!(sample(u32::MAX).is_none());
    }
}
