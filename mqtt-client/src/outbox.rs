//! The bounded queue from the handles to the driver: messages and requests, and the wish to end.
//!
//! The bound covers everything that was accepted and is not complete, so also what is in flight: it is the memory
//! that outgoing messages can take. Whoever finds it full waits in line; a place is given back when a message is
//! complete, and goes to the longest waiting.

use crate::error::SubscribeError;
use crate::ticket::Resolver;
use mqttkit_codec::{
    Disconnect, Message, ReasonCode, SubscribeProperties, Subscription, TopicFilter, UnsubscribeProperties,
};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Something for the driver to do.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Outgoing),
    Request(Request),
}

/// A message on its way, with the place it takes in the queue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    pub(crate) ticket: Resolver<Result<ReasonCode, crate::PublishError>>,
    pub(crate) load: Load,
}

/// What the server answers to a SUBSCRIBE or UNSUBSCRIBE.
pub(crate) type Answer = Result<Vec<ReasonCode>, SubscribeError>;

/// A SUBSCRIBE or UNSUBSCRIBE. Without a ticket it is one of the driver's own, which restores a lost session.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: RequestKind,
    pub(crate) ticket: Option<Resolver<Answer>>,
    pub(crate) load: Load,
}

#[derive(Debug, Clone)]
pub(crate) enum RequestKind {
    Subscribe(Vec<Subscription>, SubscribeProperties),
    Unsubscribe(Vec<TopicFilter>, UnsubscribeProperties),
}

impl Command {
    fn load(&self) -> Load {
        match self {
            Self::Publish(outgoing) => outgoing.load,
            Self::Request(request) => request.load,
        }
    }
}

/// A place in a queue, or a limit: a number of entries and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// What an entry takes beside its texts and payload, roughly, in bytes.
const ENTRY_OVERHEAD: usize = 128;

impl Load {
    pub(crate) fn of(message: &Message) -> Self {
        let bytes =
            message.topic.as_bytes().len() + message.payload.len() + message.properties.as_bytes().len();
        Self { entries: 1, bytes: bytes + ENTRY_OVERHEAD }
    }

    pub(crate) fn of_request(kind: &RequestKind) -> Self {
        let bytes = match kind {
            RequestKind::Subscribe(list, properties) => {
                list.iter().map(|s| s.filter.as_bytes().len() + ENTRY_OVERHEAD).sum::<usize>()
                    + properties.as_bytes().len()
            }
            RequestKind::Unsubscribe(list, properties) => {
                list.iter().map(|f| f.as_bytes().len() + ENTRY_OVERHEAD).sum::<usize>()
                    + properties.as_bytes().len()
            }
        };
        Self { entries: 1, bytes: bytes + ENTRY_OVERHEAD }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Whether one more fits under `limit`. One that is larger than the whole limit fits when it is alone.
    pub(crate) fn takes(self, other: Self, limit: Self) -> bool {
        self.entries == 0
            || (self.entries + other.entries <= limit.entries && self.bytes + other.bytes <= limit.bytes)
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// The wish to end gracefully.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) disconnect: Disconnect,
    pub(crate) timeout: Duration,
    /// Told how many messages and requests were left.
    pub(crate) done: Resolver<usize>,
}

/// What the driver finds in the queue beside commands.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) stops: Vec<Stop>,
    /// Nobody is left who could send or receive anything.
    pub(crate) abandoned: bool,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    commands: VecDeque<Command>,
    used: Load,
    limit: Load,
    waiting: VecDeque<Waiting>,
    next_id: u64,
    /// The driver, while it waits.
    driver: Option<Waker>,
    stops: Vec<Stop>,
    /// Handles that can send or receive.
    users: usize,
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
    pub(crate) fn new(limit: Load) -> Self {
        Self {
            state: Mutex::new(State {
                commands: VecDeque::new(),
                used: Load::default(),
                limit,
                waiting: VecDeque::new(),
                next_id: 0,
                driver: None,
                stops: Vec::new(),
                users: 0,
                closed: false,
                ended: false,
            }),
        }
    }

    // ---- the handles' side

    /// Puts a command into the queue when there is room. `Err` gives it back: the client is closed.
    ///
    /// Cancel-safe: a command is in the queue or not.
    pub(crate) fn push(&self, command: Command) -> Push<'_> {
        Push { outbox: self, command: Some(command), id: None }
    }

    /// Puts a command into the queue, or says at once why not.
    pub(crate) fn try_push(&self, command: Command) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        // Nobody jumps the line.
        if !state.waiting.is_empty() || !state.used.takes(command.load(), state.limit) {
            return Err(Refusal::Full);
        }
        let driver = state.accept(command);
        drop(state);
        wake(driver);
        Ok(())
    }

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

    // ---- the driver's side

    /// Takes all commands; the waker of `cx` is called when there is something new.
    pub(crate) fn take(&self, cx: &Context<'_>, into: &mut VecDeque<Command>) -> Control {
        let mut state = self.lock();
        if into.is_empty() {
            std::mem::swap(into, &mut state.commands);
        } else {
            into.append(&mut state.commands);
        }
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Control { stops: std::mem::take(&mut state.stops), abandoned: state.users == 0 }
    }

    /// Gives places back.
    pub(crate) fn release(&self, load: Load) {
        let mut state = self.lock();
        state.used.remove(load);
        let next = state.next_in_line();
        drop(state);
        wake(next);
    }

    /// Takes nothing any more, and drops what is queued: the driver has ended.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.ended = true;
        let dropped = (std::mem::take(&mut state.commands), std::mem::take(&mut state.stops));
        state.driver = None;
        let wakers = state.all_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn accept(&mut self, command: Command) -> Option<Waker> {
        self.used.add(command.load());
        self.commands.push_back(command);
        self.driver.take()
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

/// Why a command is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
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
    type Output = Result<(), Command>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(command) = this.command.take() else { return Poll::Pending };
        let mut state = this.outbox.lock();
        if state.closed {
            leave(&mut state, this.id.take());
            return Poll::Ready(Err(command));
        }
        let load = command.load();
        let first = match this.id {
            None => state.waiting.is_empty(),
            Some(id) => state.waiting.front().is_some_and(|waiting| waiting.id == id),
        };
        if first && state.used.takes(load, state.limit) {
            leave(&mut state, this.id.take());
            let driver = state.accept(command);
            let next = state.next_in_line();
            drop(state);
            wake(driver);
            wake(next);
            return Poll::Ready(Ok(()));
        }
        match this.id {
            None => {
                let id = state.next_id;
                state.next_id += 1;
                this.id = Some(id);
                state.waiting.push_back(Waiting { id, load, waker: cx.waker().clone() });
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

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::Ticket;
    use futures_util::FutureExt;
    use mqttkit_codec::TopicName;

    fn message(payload: &'static str) -> Command {
        let message = Message::new(TopicName::try_from("t").unwrap(), payload);
        let load = Load::of(&message);
        Command::Publish(Outgoing { message, ticket: Ticket::new().0, load })
    }

    fn outbox(entries: usize, bytes: usize) -> Outbox {
        Outbox::new(Load { entries, bytes })
    }

    fn take(outbox: &Outbox) -> Vec<String> {
        let mut commands = VecDeque::new();
        outbox.take(&Context::from_waker(Waker::noop()), &mut commands);
        let payload = |command| match command {
            Command::Publish(outgoing) => String::from_utf8(outgoing.message.payload.to_vec()).unwrap(),
            Command::Request(_) => unreachable!("not pushed here"),
        };
        commands.into_iter().map(payload).collect()
    }

    #[test]
    fn whoever_waits_longest_comes_first() {
        let outbox = outbox(1, 1 << 20);
        let one = message("").load();
        assert!(matches!(outbox.push(message("a")).now_or_never(), Some(Ok(()))));
        let (mut b, mut c) = (outbox.push(message("b")), outbox.push(message("c")));
        assert!((&mut b).now_or_never().is_none());
        assert!((&mut c).now_or_never().is_none());
        assert_eq!(take(&outbox), ["a"]);
        assert!((&mut c).now_or_never().is_none(), "the place is not free yet: a is not complete");
        outbox.release(one);
        assert!((&mut c).now_or_never().is_none(), "b is first");
        assert_eq!(outbox.try_push(message("d")), Err(Refusal::Full), "and nobody jumps the line");
        assert!(matches!((&mut b).now_or_never(), Some(Ok(()))));
        outbox.release(one);
        assert!(matches!((&mut c).now_or_never(), Some(Ok(()))));
        assert_eq!(take(&outbox), ["b", "c"]);
    }

    #[test]
    fn one_who_gives_up_passes_the_turn_on() {
        let outbox = outbox(1, 1 << 20);
        outbox.try_push(message("a")).unwrap();
        let mut b = outbox.push(message("b"));
        let mut c = outbox.push(message("c"));
        assert!((&mut b).now_or_never().is_none());
        assert!((&mut c).now_or_never().is_none());
        outbox.release(message("").load());
        drop(b);
        assert!(matches!((&mut c).now_or_never(), Some(Ok(()))));
        assert_eq!(take(&outbox), ["a", "c"]);
    }

    #[test]
    fn bytes_are_bounded_too_but_a_large_message_passes_alone() {
        let outbox = outbox(10, 10);
        outbox.try_push(message("larger than ten bytes")).unwrap();
        assert_eq!(outbox.try_push(message("")), Err(Refusal::Full));
    }

    #[test]
    fn a_closed_queue_refuses_those_who_wait() {
        let outbox = outbox(1, 1 << 20);
        outbox.try_push(message("a")).unwrap();
        let mut b = outbox.push(message("b"));
        assert!((&mut b).now_or_never().is_none());
        outbox.close();
        assert!(matches!((&mut b).now_or_never(), Some(Err(_))));
        assert_eq!(outbox.try_push(message("c")), Err(Refusal::Closed));
    }
}
