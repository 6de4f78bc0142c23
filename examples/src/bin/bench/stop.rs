//! Ctrl-C ends a run, not the program: what was measured so far is still told.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[derive(Debug)]
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on, in a thread that costs nothing.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let requested = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let flag = requested.clone();
        thread::spawn(move || {
            if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                flag.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self { requested })
    }

    pub(crate) fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
