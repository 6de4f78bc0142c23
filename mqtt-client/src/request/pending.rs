//! Requests that wait: in line for a place, and for their answers.
//!
//! There is no task that receives the answers. The stream of answers wakes one of those who wait, who takes all that has
//! come and gives it to whom it belongs; whoever stops waiting wakes another, so that no call is ever lost.

use crate::Message;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Requests that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    answer: Option<Message>,
}

impl Pending {
    pub(super) fn register(self: &Arc<Self>) -> Waiting {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, Slot::default());
        Waiting { pending: Arc::clone(self), number }
    }

    /// For the stream of answers.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Gives an answer to whom it belongs. One that is late, or answered before, belongs to nobody.
    pub(super) fn answer(&self, answer: Message) {
        let Some(number) = number(&answer) else { return };
        let mut state = self.lock();
        let Some(slot) = state.waiting.get_mut(&number).filter(|slot| slot.answer.is_none()) else { return };
        slot.answer = Some(answer);
        let waker = slot.waker.take();
        drop(state);
        wake(waker);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn wake_one(&self) {
        let waker = self.lock().waiting.values().find_map(|slot| slot.waker.clone());
        wake(waker);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Pending {
    fn wake(self: Arc<Self>) {
        self.wake_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_one();
    }
}

/// The number that is in the correlation data.
fn number(answer: &Message) -> Option<u64> {
    let data = answer.properties.correlation_data()?;
    Some(u64::from_be_bytes(<[u8; 8]>::try_from(&data[..]).ok()?))
}

/// One request.
#[derive(Debug)]
pub(super) struct Waiting {
    pending: Arc<Pending>,
    number: u64,
}

impl Waiting {
    pub(super) fn correlation(&self) -> [u8; 8] {
        self.number.to_be_bytes()
    }

    pub(super) fn listen(&self, cx: &Context<'_>) {
        if let Some(slot) = self.pending.lock().waiting.get_mut(&self.number) {
            slot.waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn take(&self) -> Option<Message> {
        self.pending.lock().waiting.get_mut(&self.number)?.answer.take()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pending.lock().waiting.remove(&self.number);
        // The stream may have called this one just now.
        self.pending.wake_one();
    }
}

/// Who waits for a place among the outstanding.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<Places>,
}

#[derive(Debug)]
struct Places {
    free: usize,
    next: u64,
    line: VecDeque<(u64, Waker)>,
}

/// A place; to drop it gives it back.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Line);

impl Line {
    pub(super) fn new(places: usize) -> Self {
        Self { state: Mutex::new(Places { free: places.max(1), next: 0, line: VecDeque::new() }) }
    }

    /// Waits for a place, in line. Cancel-safe.
    pub(super) async fn place(&self) -> Place<'_> {
        let mut ticket = InLine { line: self, number: None };
        poll_fn(|cx| ticket.poll(cx)).await;
        Place(self)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_next(&self) {
        let state = self.lock();
        let next = state.line.front().filter(|_| state.free > 0).map(|(_, waker)| waker.clone());
        drop(state);
        wake(next);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.call_next();
    }
}

struct InLine<'a> {
    line: &'a Line,
    /// Once it stands there.
    number: Option<u64>,
}

impl InLine<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.lock();
        let is_first = match self.number {
            None => state.line.is_empty(),
            Some(number) => state.line.front().is_some_and(|&(first, _)| first == number),
        };
        if is_first && state.free > 0 {
            state.free -= 1;
            if self.number.take().is_some() {
                state.line.pop_front();
            }
            drop(state);
            self.line.call_next();
            return Poll::Ready(());
        }
        match self.number {
            None => {
                let number = state.next;
                state.next += 1;
                self.number = Some(number);
                state.line.push_back((number, cx.waker().clone()));
            }
            Some(number) => {
                if let Some((_, waker)) = state.line.iter_mut().find(|(other, _)| *other == number) {
                    waker.clone_from(cx.waker());
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.line.lock().line.retain(|&(other, _)| other != number);
            self.line.call_next();
        }
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
    use futures_util::FutureExt;

    #[test]
    fn places_go_to_whoever_waits_longest() {
        let line = Line::new(1);
        let first = line.place().now_or_never().unwrap();
        let (mut second, mut third) = (Box::pin(line.place()), Box::pin(line.place()));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it is the second's turn");
        drop(second);
        let third = third.now_or_never().expect("the second gave up");
        drop(third);
        assert!(line.place().now_or_never().is_some());
    }

    #[test]
    fn an_answer_goes_to_whom_it_belongs_and_once() {
        let pending = Arc::new(Pending::default());
        let (one, two) = (pending.register(), pending.register());
        let answer = |waiting: &Waiting, payload: &'static str| {
            let mut message = Message::new("r".try_into().unwrap(), payload);
            let data = mqttkit_codec::Binary::try_from(&waiting.correlation()[..]).unwrap();
            message.properties = message.properties.with_correlation_data(&data);
            message
        };
        pending.answer(answer(&two, "b"));
        pending.answer(answer(&two, "again"));
        pending.answer(Message::new("r".try_into().unwrap(), "for nobody"));
        assert!(one.take().is_none());
        assert_eq!(two.take().unwrap().payload, "b");
        let late = answer(&one, "late");
        drop(one);
        pending.answer(late);
        assert_eq!(pending.len(), 1);
    }
}
