//! `Push`: how a command gets into the queue, at once, in line, or not at all.

use super::{Command, Outbox, State, Waiting, wake};
use crate::delivery::{Delivery, WhenFull};
use crate::store::Desk;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Why a command is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no room, and it is not one that waits.
    Full,
    /// It makes no sense without a connection.
    Offline,
    Closed,
}

/// What the queue makes of a command.
enum Admission {
    Accepted {
        driver: Option<Waker>,
        dropped: Vec<Command>,
    },
    Refused(Command, Refusal),
    /// There is no room.
    Full(Command),
}

impl Outbox {
    /// Puts a command into the queue when there is room, or as its delivery says. `Err` gives it back.
    ///
    /// Cancel-safe: a command is in the queue or not.
    pub(crate) fn push(&self, command: Command) -> Push<'_> {
        Push { outbox: self, command: Some(command), id: None }
    }

    /// Puts a command into the queue, or says at once why not. Gives out what was dropped for it.
    #[expect(clippy::result_large_err, reason = "the command goes back as it came")]
    pub(crate) fn try_push(&self, command: Command) -> Result<Vec<Command>, (Command, Refusal)> {
        let mut state = self.lock();
        // Nobody jumps the line.
        let is_turn = state.waiting.is_empty();
        match state.admit(command, is_turn, self.desk.as_ref()) {
            Admission::Accepted { driver, dropped } => {
                drop(state);
                wake(driver);
                Ok(dropped)
            }
            Admission::Refused(command, refusal) => Err((command, refusal)),
            Admission::Full(command) => Err((command, Refusal::Full)),
        }
    }
}

impl State {
    fn admit(&mut self, command: Command, is_turn: bool, desk: Option<&Arc<Desk>>) -> Admission {
        if self.closed {
            return Admission::Refused(command, Refusal::Closed);
        }
        if !self.online && command.is_dropped_offline() {
            return Admission::Refused(command, Refusal::Offline);
        }
        let load = command.load();
        if is_turn && self.used.takes(load, self.limit) {
            return Admission::Accepted { driver: self.accept(command, desk), dropped: Vec::new() };
        }
        let Command::Publish(outgoing) = &command else { return Admission::Full(command) };
        let Delivery { priority, when_full, .. } = outgoing.delivery;
        match self.queue.make_room(self.used, load, self.limit, priority, when_full) {
            Some(dropped) => {
                for command in &dropped {
                    self.used.remove(command.load());
                }
                Admission::Accepted { driver: self.accept(command, desk), dropped }
            }
            None if when_full == WhenFull::Wait => Admission::Full(command),
            None => Admission::Refused(command, Refusal::Full),
        }
    }
}

/// The future of [`Outbox::push`].
#[derive(Debug)]
pub(crate) struct Push<'a> {
    outbox: &'a Outbox,
    command: Option<Command>,
    /// The place in line, once it waits.
    id: Option<u64>,
}

impl Future for Push<'_> {
    type Output = Result<Vec<Command>, (Command, Refusal)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(command) = this.command.take() else { return Poll::Pending };
        let mut state = this.outbox.lock();
        let is_turn = match this.id {
            None => state.waiting.is_empty(),
            Some(id) => state.waiting.front().is_some_and(|waiting| waiting.id == id),
        };
        let command = match state.admit(command, is_turn, this.outbox.desk.as_ref()) {
            Admission::Accepted { driver, dropped } => {
                leave(&mut state, this.id.take());
                let next = state.next_in_line();
                drop(state);
                wake(driver);
                wake(next);
                return Poll::Ready(Ok(dropped));
            }
            Admission::Refused(command, refusal) => {
                leave(&mut state, this.id.take());
                let next = state.next_in_line();
                drop(state);
                wake(next);
                return Poll::Ready(Err((command, refusal)));
            }
            Admission::Full(command) => command,
        };
        match this.id {
            None => {
                let (id, load, waker) = (state.next_id, command.load(), cx.waker().clone());
                state.next_id += 1;
                this.id = Some(id);
                state.waiting.push_back(Waiting { id, load, waker });
            }
            Some(id) => {
                if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.id == id) {
                    waiting.waker.clone_from(cx.waker());
                }
            }
        }
        drop(state);
        this.command = Some(command);
        Poll::Pending
    }
}

impl Drop for Push<'_> {
    fn drop(&mut self) {
        if self.id.is_some() {
            let mut state = self.outbox.lock();
            leave(&mut state, self.id.take());
            // The turn may have come just now, and must be passed on.
            let next = state.next_in_line();
            drop(state);
            wake(next);
        }
    }
}

fn leave(state: &mut State, id: Option<u64>) {
    if let Some(id) = id {
        state.waiting.retain(|waiting| waiting.id != id);
    }
}
