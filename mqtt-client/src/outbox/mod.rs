//! The bounded queue from the handles to the driver: messages and requests, and what else they want.
//!
//! The bound covers everything that was accepted and is not complete, so also what is in flight: it is the memory
//! that outgoing messages can take. Whoever finds it full waits in line; a place is given back when a message is
//! complete, and goes to the longest waiting.
//!
//! A command stays here until a connection takes it ([`Outbox::take`]), a turn's worth at a time. Up to then it can be
//! cancelled, expire or make room for others; from then on it is with the driver's `Work`, and with the codec's session.
//!
//! What goes into the [`store`](crate::store), and when, to survive a loss of power:
//!
//! | what | when it is known | before |
//! | --- | --- | --- |
//! | a QoS 1 or 2 message | `State::accept`, here | [`Outbox::push`] is ready, and so the application goes on |
//! | its end without being sent | `Queue::make_room`, `take_expired`, [`Outbox::remove_cancelled`] | its ticket says so |
//! | its packet identifier | `Online::publish` | its bytes leave in `Online::write` |
//! | PUBREC: its payload is not needed any more | `Work::received` | PUBREL leaves in `Online::write` |
//! | its end | `Work::acknowledged` | its identifier is used again |
//! | an incoming QoS 2 identifier | `Notes::incoming` | PUBREC leaves in `Online::write` |
//! | that it is released | `Notes::incoming` | PUBCOMP leaves: then it means another message, which must not pass for this one |
//!
//! The ops are in order, so one look at the store in front of `Online::write` is enough for a whole turn. A ticket does not
//! wait: what is sent once more by the next process, the server knows. All but the queue itself is in the codec's session,
//! to which `Session::import` brings it back.

mod command;
mod load;
mod push;
mod queue;

pub(crate) use command::{Answer, Command, Outgoing, Reader, Request, RequestKind, Stop};
pub(crate) use load::Load;
pub(crate) use push::Refusal;
pub(crate) use queue::Budget;

use crate::error::PublishError;
use crate::store::Desk;
use mqttkit_codec::{AckToken, Instant, ReasonCode};
use queue::Queue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// What the driver finds in the queue beside commands.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) stops: Vec<Stop>,
    /// Messages that the application acknowledges.
    pub(crate) acks: Vec<(AckToken, ReasonCode)>,
    /// Streams that nobody reads any more.
    pub(crate) gone: Vec<u64>,
    /// The application wants another connection now.
    pub(crate) reconnect: bool,
    /// Nobody is left who could send or receive anything.
    pub(crate) abandoned: bool,
    /// Commands that are left in the queue.
    pub(crate) queued: usize,
    /// When the next message expires.
    pub(crate) next_expiry: Option<Instant>,
    /// Messages that have expired, resolved already.
    pub(crate) expired: usize,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    /// Where messages of QoS 1 and 2 are kept.
    desk: Option<Arc<Desk>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    used: Load,
    limit: Load,
    waiting: VecDeque<Waiting>,
    next_id: u64,
    /// The driver, while it waits.
    driver: Option<Waker>,
    stops: Vec<Stop>,
    acks: Vec<(AckToken, ReasonCode)>,
    gone: Vec<u64>,
    reconnect: bool,
    /// Handles that can send or receive.
    users: usize,
    /// There is a connection.
    online: bool,
    /// No more commands are taken.
    closed: bool,
    /// The driver is gone.
    ended: bool,
}

/// One who waits in line for a place.
#[derive(Debug)]
struct Waiting {
    id: u64,
    load: Load,
    waker: Waker,
}

impl Outbox {
    pub(crate) fn new(limit: Load, desk: Option<Arc<Desk>>) -> Self {
        Self {
            desk,
            state: Mutex::new(State {
                queue: Queue::default(),
                used: Load::default(),
                limit,
                waiting: VecDeque::new(),
                next_id: 0,
                driver: None,
                stops: Vec::new(),
                acks: Vec::new(),
                gone: Vec::new(),
                reconnect: false,
                users: 0,
                online: false,
                closed: false,
                ended: false,
            }),
        }
    }

    // ---- the handles' side

    /// Asks the driver to end. `false` when it has ended already.
    pub(crate) fn stop(&self, stop: Stop) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        state.closed = true;
        state.stops.push(stop);
        let wakers = state.all_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    pub(crate) fn user_added(&self) {
        self.lock().users += 1;
    }

    pub(crate) fn user_dropped(&self) {
        let mut state = self.lock();
        state.users = state.users.saturating_sub(1);
        let driver = if state.users == 0 { state.driver.take() } else { None };
        drop(state);
        wake(driver);
    }

    /// Tells the driver that the application has a message.
    pub(crate) fn acknowledge(&self, token: AckToken, reason: ReasonCode) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.acks.push((token, reason));
        let driver = state.driver.take();
        drop(state);
        wake(driver);
    }

    /// A stream has been dropped, and was a user.
    pub(crate) fn stream_dropped(&self, id: u64) {
        self.stream_ended(id);
        self.user_dropped();
    }

    /// Nobody shall get anything by this stream any more.
    pub(crate) fn stream_ended(&self, id: u64) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.gone.push(id);
        let driver = state.driver.take();
        drop(state);
        wake(driver);
    }

    pub(crate) fn reconnect(&self) {
        self.lock().reconnect = true;
        self.wake_driver();
    }

    pub(crate) fn wake_driver(&self) {
        let driver = self.lock().driver.take();
        wake(driver);
    }

    /// Gives the places of cancelled messages back.
    pub(crate) fn remove_cancelled(&self) {
        drop(self.remove(Command::is_cancelled));
    }

    /// What is accepted and not complete, and how many of it are still in the queue.
    pub(crate) fn depth(&self) -> (Load, usize) {
        let state = self.lock();
        (state.used, state.queue.len())
    }

    // ---- the driver's side

    /// Takes what an earlier process has left: commands, and what takes room without being queued. The limit is no matter.
    pub(crate) fn restore(&self, commands: Vec<Command>, in_flight: Load) {
        let mut state = self.lock();
        state.used.add(in_flight);
        for command in commands {
            state.used.add(command.load());
            state.queue.push(command);
        }
    }

    /// Takes as many commands as fit; the waker of `cx` is called when there is something new.
    pub(crate) fn take(
        &self,
        cx: &Context<'_>,
        now: Instant,
        mut budget: Budget,
        into: &mut VecDeque<Command>,
    ) -> Control {
        let mut state = self.lock();
        let expired = state.queue.take_expired(now);
        let next = state.give_back(&expired);
        state.queue.take(&mut budget, into);
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let control = Control {
            stops: std::mem::take(&mut state.stops),
            acks: std::mem::take(&mut state.acks),
            gone: std::mem::take(&mut state.gone),
            reconnect: std::mem::take(&mut state.reconnect),
            abandoned: state.users == 0,
            queued: state.queue.len(),
            next_expiry: state.queue.next_expiry(),
            expired: expired.len(),
        };
        drop(state);
        wake(next);
        for command in expired {
            command.resolve(Err(PublishError::Expired));
        }
        control
    }

    /// Puts commands back in front of the others, in their order.
    pub(crate) fn put_back(&self, commands: impl DoubleEndedIterator<Item = Command>) {
        let mut state = self.lock();
        for command in commands.rev() {
            state.queue.push_front(command);
        }
    }

    /// Gives places back.
    pub(crate) fn release(&self, load: Load) {
        let mut state = self.lock();
        state.used.remove(load);
        let next = state.next_in_line();
        drop(state);
        wake(next);
    }

    /// Whether there is a connection. Without one, messages that make no sense are dropped, and returned.
    pub(crate) fn set_online(&self, online: bool) -> Vec<Command> {
        self.lock().online = online;
        if online { Vec::new() } else { self.remove(Command::is_dropped_offline) }
    }

    /// Takes nothing any more, and gives out what is queued: the driver has ended.
    pub(crate) fn close(&self) -> Vec<Command> {
        let mut state = self.lock();
        state.closed = true;
        state.ended = true;
        let queued = state.queue.take_if(|_| true);
        let stops = std::mem::take(&mut state.stops);
        state.driver = None;
        let wakers = state.all_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(stops);
        queued
    }

    // ---- helpers

    fn remove(&self, is_wanted: impl FnMut(&Command) -> bool) -> Vec<Command> {
        let mut state = self.lock();
        let removed = state.queue.take_if(is_wanted);
        let next = state.give_back(&removed);
        drop(state);
        wake(next);
        removed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn accept(&mut self, mut command: Command, desk: Option<&Arc<Desk>>) -> Option<Waker> {
        // Here, so that it is in the store before the driver can send it, and in the order of the queue.
        if let (Some(desk), Command::Publish(outgoing)) = (desk, &mut command) {
            outgoing.keep(desk);
        }
        self.used.add(command.load());
        self.queue.push(command);
        self.driver.take()
    }

    /// Gives the places of commands back that were taken out. Returns who can take one.
    fn give_back(&mut self, commands: &[Command]) -> Option<Waker> {
        if commands.is_empty() {
            return None;
        }
        for command in commands {
            self.used.remove(command.load());
        }
        self.next_in_line()
    }

    /// The first in line, if there is room for it.
    fn next_in_line(&self) -> Option<Waker> {
        let first = self.waiting.front()?;
        self.used.takes(first.load, self.limit).then(|| first.waker.clone())
    }

    fn all_wakers(&mut self) -> Vec<Waker> {
        self.driver
            .take()
            .into_iter()
            .chain(self.waiting.iter().map(|waiting| waiting.waker.clone()))
            .collect()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
