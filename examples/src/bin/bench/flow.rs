//! How far a publisher may be ahead of its subscribers, so that a run is as fast as they are and loses nothing.

use std::collections::VecDeque;

/// Publishers and the subscribers that get what they publish.
#[derive(Debug)]
pub(crate) struct Flow {
    /// How many subscribers get each message.
    copies: u64,
    /// Messages that may be under way: published and not yet delivered to all that get them.
    window: u64,
    published: u64,
    delivered: u64,
    /// Given up: they will not be delivered any more.
    lost: u64,
    /// For each block of messages from the oldest on that somebody lacks: how many subscribers have it whole.
    /// Empty where each message has one receiver.
    blocks: VecDeque<u64>,
    /// Messages of a block, and the blocks that everybody has.
    block: u64,
    complete: u64,
    /// How many messages each subscriber has.
    received: Vec<u64>,
}

impl Flow {
    /// Every one of these subscribers gets every message.
    pub(crate) fn to_each(subscribers: usize, window: u64, block: u64) -> Self {
        Self {
            copies: subscribers as u64,
            window,
            published: 0,
            delivered: 0,
            lost: 0,
            blocks: VecDeque::new(),
            block: block.max(1),
            complete: 0,
            received: vec![0; subscribers],
        }
    }

    /// One of these subscribers gets each message.
    pub(crate) fn to_one_of(subscribers: usize, window: u64) -> Self {
        Self { copies: 1, received: vec![0; subscribers], ..Self::to_each(0, window, 1) }
    }

    /// Whether so many more messages may be published.
    pub(crate) fn has_room(&self, messages: u64) -> bool {
        self.published + messages <= self.reached() + self.window
    }

    pub(crate) fn on_published(&mut self, messages: u64) {
        self.published += messages;
    }

    /// A subscriber got so many more messages.
    pub(crate) fn on_delivered(&mut self, subscriber: usize, messages: u64) {
        self.delivered += messages;
        let before = self.received[subscriber];
        let after = before + messages;
        self.received[subscriber] = after;
        if self.copies == 1 {
            return;
        }
        for block in before / self.block..after / self.block {
            let Some(at) = usize::try_from(block - self.complete).ok().filter(|_| block >= self.complete)
            else {
                continue;
            };
            if self.blocks.len() <= at {
                self.blocks.resize(at + 1, 0);
            }
            self.blocks[at] += 1;
        }
        while self.blocks.front() == Some(&self.copies) {
            self.blocks.pop_front();
            self.complete += 1;
        }
    }

    /// How many messages have reached everybody they are for.
    fn reached(&self) -> u64 {
        if self.copies == 1 { self.delivered + self.lost } else { self.complete * self.block }
    }

    /// Deliveries so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Deliveries that are still to come.
    pub(crate) fn outstanding(&self) -> u64 {
        (self.published * self.copies).saturating_sub(self.delivered + self.lost)
    }

    /// Deliveries given up.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Deliveries beyond what was published.
    pub(crate) fn surplus(&self) -> u64 {
        (self.delivered + self.lost).saturating_sub(self.published * self.copies)
    }

    /// What is under way will not come any more: the run goes on without.
    pub(crate) fn give_up(&mut self) {
        self.lost += self.outstanding();
        if self.copies > 1 {
            // As if everybody had everything.
            self.published = self.published.next_multiple_of(self.block);
            self.complete = self.published / self.block;
            self.blocks.clear();
            self.received.fill(self.published);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_subscriber_holds_the_publisher_back() {
        let mut flow = Flow::to_each(2, 8, 4);
        flow.on_published(8);
        assert!(!flow.has_room(1));
        flow.on_delivered(0, 8);
        assert!(!flow.has_room(1), "one has nothing");
        flow.on_delivered(1, 3);
        assert!(!flow.has_room(1), "it has no whole block");
        flow.on_delivered(1, 1);
        assert!(flow.has_room(4) && !flow.has_room(5));
        flow.on_delivered(1, 4);
        assert!(flow.has_room(8) && flow.outstanding() == 0);
    }

    #[test]
    fn any_receiver_makes_room_where_each_message_has_one() {
        let mut flow = Flow::to_one_of(2, 8);
        flow.on_published(8);
        flow.on_delivered(1, 3);
        assert!(flow.has_room(3) && !flow.has_room(4));
        assert_eq!((flow.outstanding(), flow.delivered()), (5, 3));
    }

    #[test]
    fn what_is_lost_makes_room_and_is_counted() {
        for mut flow in [Flow::to_each(1, 8, 4), Flow::to_each(3, 8, 4)] {
            let copies = flow.copies;
            flow.on_published(8);
            flow.on_delivered(0, 6);
            flow.give_up();
            assert_eq!((flow.outstanding(), flow.lost()), (0, 8 * copies - 6));
            assert!(flow.has_room(8) && !flow.has_room(9));
            flow.on_delivered(0, 1);
            assert_eq!(flow.surplus(), 1, "given up too early");
        }
    }
}
