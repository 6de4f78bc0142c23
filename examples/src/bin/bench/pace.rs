//! Wakes the event loop at a steady pace, more precisely than the milliseconds that it waits in itself.

use std::error::Error;
use std::time::Duration;

use mio::Poll;

#[cfg(target_os = "linux")]
pub(crate) use timer::Pace;

/// The shortest interval between two wakes: more than one message may be due at each.
const SHORTEST: Duration = Duration::from_micros(50);

#[cfg(target_os = "linux")]
mod timer {
    use super::{Duration, Error, Poll, SHORTEST};
    use mio::unix::SourceFd;
    use mio::{Interest, Token};
    use rustix::fd::{AsRawFd, OwnedFd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// A timer of the kernel among the sockets.
    #[derive(Debug)]
    pub(crate) struct Pace {
        timer: OwnedFd,
    }

    impl Pace {
        pub(crate) fn new(poll: &Poll, interval: Duration) -> Result<Self, Box<dyn Error>> {
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            let interval = Timespec::try_from(interval.max(SHORTEST))?;
            let setting = Itimerspec { it_interval: interval, it_value: interval };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
            poll.registry().register(
                &mut SourceFd(&timer.as_raw_fd()),
                Token(usize::MAX - 1),
                Interest::READABLE,
            )?;
            Ok(Self { timer })
        }

        /// How long the event loop may wait in itself.
        pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

        /// To be called at every turn: the timer goes on when its ticks are read.
        pub(crate) fn tick(&mut self) {
            // Nothing to read is no error: something else ended the turn.
            rustix::io::read(&self.timer, &mut [0; 8]).ok();
        }

        pub(crate) fn stop(&mut self, poll: &Poll) {
            poll.registry().deregister(&mut SourceFd(&self.timer.as_raw_fd())).ok();
        }
    }
}

/// Where there is no such timer the event loop does not wait at all.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Pace;

#[cfg(not(target_os = "linux"))]
impl Pace {
    pub(crate) fn new(_: &Poll, _: Duration) -> Result<Self, Box<dyn Error>> {
        Ok(Self)
    }

    pub(crate) const PATIENCE: Duration = Duration::ZERO;

    pub(crate) fn tick(&mut self) {}

    pub(crate) fn stop(&mut self, _: &Poll) {}
}
