//! `Queue`: commands that no connection has taken, by class; what may be dropped, and what is.

use super::{Command, Load};
use crate::delivery::{Priority, WhenFull};
use mqttkit_codec::{Instant, QoS};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By class, the lowest first.
    classes: [VecDeque<Command>; Priority::COUNT],
    len: usize,
    /// No message expires before this.
    next_expiry: Option<Instant>,
}

/// How much a connection takes now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    /// In bytes; one message more passes.
    pub(crate) bytes: usize,
    /// Messages of QoS 1 and 2.
    pub(crate) window: usize,
    /// Packet identifiers for these and for requests.
    pub(crate) identifiers: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    pub(super) fn push(&mut self, command: Command) {
        self.note_expiry(&command);
        self.len += 1;
        self.classes[command.priority().index()].push_back(command);
    }

    /// Puts one back in front of its class.
    pub(super) fn push_front(&mut self, command: Command) {
        self.note_expiry(&command);
        self.len += 1;
        self.classes[command.priority().index()].push_front(command);
    }

    fn note_expiry(&mut self, command: &Command) {
        if let Some(expires) = command.expires() {
            self.next_expiry = Some(self.next_expiry.map_or(expires, |next| next.min(expires)));
        }
    }

    /// Hands out what fits, the highest class first. A class that must wait does not hold the others up.
    pub(super) fn take(&mut self, budget: &mut Budget, into: &mut VecDeque<Command>) {
        for class in self.classes.iter_mut().rev() {
            while budget.bytes > 0
                && let Some(command) = class.front()
            {
                match command {
                    Command::Publish(outgoing) if outgoing.message.qos == QoS::AtMostOnce => {}
                    Command::Publish(_) => {
                        if budget.window == 0 || budget.identifiers == 0 {
                            break;
                        }
                        budget.window -= 1;
                        budget.identifiers -= 1;
                    }
                    Command::Request(_) => {
                        if budget.identifiers == 0 {
                            break;
                        }
                        budget.identifiers -= 1;
                    }
                }
                budget.bytes = budget.bytes.saturating_sub(command.load().bytes);
                into.extend(class.pop_front());
                self.len -= 1;
            }
        }
        if self.len == 0 {
            self.next_expiry = None;
            for class in &mut self.classes {
                class.shrink_to(IDLE_CAPACITY);
            }
        }
    }

    /// Takes out what must make room for `load`, so that it fits beside `used` under `limit`; nothing if it cannot.
    pub(super) fn make_room(
        &mut self,
        used: Load,
        load: Load,
        limit: Load,
        priority: Priority,
        when_full: WhenFull,
    ) -> Option<Vec<Command>> {
        let below = match when_full {
            WhenFull::DropOldest => priority.index() + 1,
            WhenFull::DropLower => priority.index(),
            WhenFull::Wait | WhenFull::DropNewest => return None,
        };
        let mut left = used;
        let mut victims = Vec::new();
        for class in &mut self.classes[..below] {
            while !left.takes(load, limit) {
                let Some(at) = class.iter().position(Command::is_unsent) else {
                    break;
                };
                if let Some(command) = class.remove(at) {
                    left.remove(command.load());
                    victims.push((at, command));
                }
            }
        }
        if left.takes(load, limit) {
            self.len -= victims.len();
            return Some(victims.into_iter().map(|(_, command)| command).collect());
        }
        for (at, command) in victims.into_iter().rev() {
            self.classes[command.priority().index()].insert(at, command);
        }
        None
    }

    /// Takes out what has expired.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Command> {
        if self.next_expiry.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let expired = self.take_if(|command| command.expires().is_some_and(|expires| expires <= now));
        self.next_expiry = self.classes.iter().flatten().filter_map(Command::expires).min();
        expired
    }

    /// Takes out what satisfies, in order.
    pub(super) fn take_if(&mut self, mut is_wanted: impl FnMut(&Command) -> bool) -> Vec<Command> {
        let mut taken = Vec::new();
        for class in &mut self.classes {
            if class.iter().any(&mut is_wanted) {
                let (out, rest): (Vec<_>, VecDeque<_>) = partition(std::mem::take(class), &mut is_wanted);
                taken.extend(out);
                *class = rest;
            }
        }
        self.len -= taken.len();
        taken
    }
}

fn partition(
    commands: VecDeque<Command>,
    mut is_wanted: impl FnMut(&Command) -> bool,
) -> (Vec<Command>, VecDeque<Command>) {
    let (mut out, mut rest) = (Vec::new(), VecDeque::with_capacity(commands.len()));
    for command in commands {
        if is_wanted(&command) { out.push(command) } else { rest.push_back(command) }
    }
    (out, rest)
}

/// What an empty queue keeps, in commands.
const IDLE_CAPACITY: usize = 64;
