//! A line on the terminal that says how far a run is. Where standard error is no terminal there is none.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(200);
const WIDTH: u64 = 30;

#[derive(Debug)]
pub(crate) struct Progress {
    shown: Option<Instant>,
    dirty: bool,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: None, dirty: false, terminal: stderr().is_terminal() }
    }

    /// Whether it is time for a new line: cheap to ask at every turn.
    pub(crate) fn is_due(&self) -> bool {
        self.terminal && self.shown.is_none_or(|shown| shown.elapsed() > INTERVAL)
    }

    /// Shows how much of it is done.
    pub(crate) fn show(&mut self, what: &str, done: u64, total: u64) {
        if self.is_due() {
            let filled = done * WIDTH / total.max(1);
            let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
            self.write(&format!("[{bar}] {what}: {done} of {total}"));
        }
    }

    /// Shows a line without a bar.
    pub(crate) fn say(&mut self, line: &str) {
        if self.is_due() {
            self.write(line);
        }
    }

    /// Leaves the line empty for what comes next.
    pub(crate) fn clear(&mut self) {
        if self.dirty {
            self.dirty = false;
            eprint!("\r\x1b[K");
        }
    }

    fn write(&mut self, line: &str) {
        self.shown = Some(Instant::now());
        self.dirty = true;
        eprint!("\r\x1b[K{line}");
        stderr().flush().ok();
    }
}
