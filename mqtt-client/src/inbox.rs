//! `Inbox`: the bounded queue from the driver to one reader, and what happens when the reader is slow.

use crate::acknowledgement::Ack;
use crate::outbox::Load;
use mqttkit_codec::{Message, QoS, TopicFilter};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What happens to messages for a reader that does not take them in time: when its queue is full.
///
/// Each message that is dropped is counted by the stream
/// ([`SubscriptionStream::missed`](crate::SubscriptionStream::missed)) and in
/// [`Metrics::incoming_dropped`](crate::Metrics::incoming_dropped), and [`Event::SlowReader`](crate::Event::SlowReader)
/// tells when it begins and when it ends. To the server it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SlowReader {
    /// The client stops reading from its connection, so that the server waits; and with it all other streams.
    #[default]
    Wait,
    /// The new message is dropped.
    DropNewest,
    /// The oldest messages in the queue are dropped.
    DropOldest,
    /// The stream ends, after what is in its queue. Its subscriptions are ended too.
    End,
}

/// Why a stream of messages has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The client has ended.
    Client,
    /// All its subscriptions were ended by [`Client::unsubscribe`](crate::Client::unsubscribe), or by the server's refusal
    /// to make them again after it had lost the session.
    Unsubscribed,
    /// It was not read fast enough, and [`SlowReader::End`] says what then.
    Overflow,
}

/// A message in the queue, with what acknowledges it if that is left to the reader.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) message: Message,
    pub(crate) ack: Option<Ack>,
}

/// What became of a message that was offered.
#[derive(Debug)]
pub(crate) enum Offer {
    Taken(Effect),
    /// There is no room: the waker is called when there is.
    Full(Item),
}

/// What the driver has to do besides.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    /// Messages that were dropped, with what acknowledges them.
    pub(crate) dropped: u64,
    pub(crate) acks: Vec<Ack>,
    /// To be told: so many were dropped.
    pub(crate) tell: Option<u64>,
    /// The stream has just been ended.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    /// Whether the reader acknowledges.
    manual: bool,
    slow: SlowReader,
    /// The stream's number and its first filter; none for the one that takes the rest.
    stream: Option<(u64, TopicFilter)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Item>,
    used: Load,
    limit: Load,
    reader: Option<Waker>,
    /// The driver, while it waits for room.
    driver: Option<Waker>,
    /// No more will come.
    ended: Option<StreamEnd>,
    /// Nobody will take any.
    abandoned: bool,
    /// Dropped since the reader last asked.
    missed: u64,
    /// Dropped since there was last room.
    episode: u64,
}

impl Inbox {
    pub(crate) fn new(
        limit: Load,
        slow: SlowReader,
        manual: bool,
        stream: Option<(u64, TopicFilter)>,
    ) -> Self {
        Self {
            manual,
            slow,
            stream,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                used: Load::default(),
                limit,
                reader: None,
                driver: None,
                ended: None,
                abandoned: false,
                missed: 0,
                episode: 0,
            }),
        }
    }

    // ---- the driver's side

    pub(crate) fn is_manual(&self) -> bool {
        self.manual
    }

    pub(crate) fn stream(&self) -> Option<&(u64, TopicFilter)> {
        self.stream.as_ref()
    }

    /// Takes a message, or does with it what is to be done when there is no room.
    pub(crate) fn offer(&self, cx: &Context<'_>, item: Item) -> Offer {
        let mut state = self.lock();
        if state.abandoned || state.ended.is_some() {
            return Offer::Taken(Effect { acks: item.ack.into_iter().collect(), ..Effect::default() });
        }
        let load = Load::of(&item.message);
        let mut effect = Effect::default();
        if !state.used.takes(load, state.limit) {
            match self.slow {
                SlowReader::Wait => {
                    state.driver = Some(cx.waker().clone());
                    return Offer::Full(item);
                }
                SlowReader::DropNewest => {
                    state.count_dropped(&mut effect, item.ack);
                    return Offer::Taken(effect);
                }
                SlowReader::DropOldest => {
                    while !state.used.takes(load, state.limit)
                        && let Some(oldest) = state.queue.pop_front()
                    {
                        state.used.remove(Load::of(&oldest.message));
                        state.count_dropped(&mut effect, oldest.ack);
                    }
                }
                SlowReader::End => {
                    state.count_dropped(&mut effect, item.ack);
                    state.ended = Some(StreamEnd::Overflow);
                    effect.ended = true;
                    let reader = state.reader.take();
                    drop(state);
                    wake(reader);
                    return Offer::Taken(effect);
                }
            }
        } else if state.episode > 0 {
            effect.tell = Some(std::mem::take(&mut state.episode) - 1).filter(|&rest| rest > 0);
        }
        state.used.add(load);
        state.queue.push_back(item);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Offer::Taken(effect)
    }

    /// The connection was resumed: what was of QoS 1 and is not acknowledged comes again.
    pub(crate) fn forget_unacknowledged(&self) {
        if !self.manual {
            return;
        }
        let mut state = self.lock();
        let State { queue, used, .. } = &mut *state;
        queue.retain(|item| {
            let stays = item.ack.is_none() || item.message.qos != QoS::AtLeastOnce;
            if !stays {
                used.remove(Load::of(&item.message));
            }
            stays
        });
    }

    /// No more will come.
    pub(crate) fn end(&self, end: StreamEnd) {
        let mut state = self.lock();
        state.ended.get_or_insert(end);
        state.driver = None;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    // ---- the reader's side

    pub(crate) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    pub(crate) fn poll_recv(&self, cx: &Context<'_>) -> Poll<Option<Item>> {
        let mut state = self.lock();
        let Some(item) = state.queue.pop_front() else {
            if state.ended.is_some() {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.used.remove(Load::of(&item.message));
        if state.queue.is_empty() {
            state.queue.shrink_to(IDLE_CAPACITY);
        }
        // Not at the first free place: the driver would be woken for every single message.
        let half_free =
            state.used.entries <= state.limit.entries / 2 && state.used.bytes <= state.limit.bytes / 2;
        let driver = if half_free { state.driver.take() } else { None };
        drop(state);
        wake(driver);
        Poll::Ready(Some(item))
    }

    /// How many were dropped since this was last asked.
    pub(crate) fn take_missed(&self) -> u64 {
        std::mem::take(&mut self.lock().missed)
    }

    /// Why it has ended, once all is taken.
    pub(crate) fn ended(&self) -> Option<StreamEnd> {
        let state = self.lock();
        state.ended.filter(|_| state.queue.is_empty())
    }

    /// Nobody takes any more. Gives out what is to be acknowledged.
    pub(crate) fn abandon(&self) -> Vec<Ack> {
        let mut state = self.lock();
        state.abandoned = true;
        let queue = std::mem::take(&mut state.queue);
        state.used = Load::default();
        let driver = state.driver.take();
        drop(state);
        wake(driver);
        queue.into_iter().filter_map(|item| item.ack).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count_dropped(&mut self, effect: &mut Effect, ack: Option<Ack>) {
        self.missed += 1;
        self.episode += 1;
        if self.episode == 1 {
            effect.tell = Some(1);
        }
        effect.dropped += 1;
        effect.acks.extend(ack);
    }
}

/// Woken outside the lock, since a waker may poll at once.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What an empty queue keeps, in messages.
const IDLE_CAPACITY: usize = 64;
