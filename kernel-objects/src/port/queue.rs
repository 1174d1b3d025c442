//! What is in a port: the queue, and the operations whose packets may come into it.
//!
//! The one idea: an operation's packet is no more than its [`Token`] in the queue, and all else stays with the operation; so to
//! cancel an operation is to remove it, and a token that names none any more is passed over.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Weak,
};

use slab::Slab;

use super::{InterruptPacket, Packet, PageRequestPacket, Payload, SignalPacket, WaitAsync};
use crate::{
    object::{KernelObject, Koid},
    pager::PageRequests,
    signals::{Signals, WatchKey},
};

#[derive(Default)]
pub(super) struct Inner {
    pub(super) queue: VecDeque<Entry>,
    /// The packets of interrupts by number, which is their order: each one's key and time.
    pub(super) interrupts: BTreeMap<u64, (u64, InterruptPacket)>,
    pub(super) next_interrupt: u64,
    /// How many entries of the queue are users' packets.
    pub(super) user_packets: usize,
    /// How many entries of the queue belong to operations or requests that are gone.
    pub(super) stale: usize,
    /// The requests for pages in the queue, by number.
    pub(super) page_requests: BTreeMap<u64, PageRequest>,
    pub(super) next_page_request: u64,
    pub(super) operations: Slab<Operation>,
    /// The operations by key, then source.
    pub(super) index: BTreeSet<(u64, Koid, usize)>,
    pub(super) next_serial: u32,
    pub(super) closed: bool,
}

pub(super) enum Entry {
    User(Packet),
    Signal(Token),
    PageRequest(u64),
}

/// A request for pages that nobody has read.
pub(super) struct PageRequest {
    pub(super) key: u64,
    pub(super) packet: PageRequestPacket,
    /// Who asks, to be told if nobody will, and which of its requests it is.
    pub(super) from: (Weak<PageRequests>, usize),
}

/// Names an operation; a later one at the same index has another serial number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) index: u32,
    pub(super) serial: u32,
}

impl Token {
    pub(super) fn encode(self) -> u64 {
        u64::from(self.serial) << 32 | u64::from(self.index)
    }

    pub(super) fn decode(token: u64) -> Self {
        Token { index: token as u32, serial: (token >> 32) as u32 }
    }
}

pub(super) struct Operation {
    pub(super) serial: u32,
    pub(super) key: u64,
    pub(super) source: Koid,
    pub(super) object: Weak<dyn KernelObject>,
    pub(super) trigger: Signals,
    pub(super) options: WaitAsync,
    pub(super) progress: Progress,
}

pub(super) enum Progress {
    /// Being registered with the object, by the thread that is in `wait_async`.
    Starting,
    Watching(WatchKey),
    /// Its packet is in the queue.
    Queued {
        observed: Signals,
        timestamp: u64,
    },
}

/// An operation that was removed while it watched its object.
pub(super) struct Watched(Weak<dyn KernelObject>, WatchKey);

impl Watched {
    pub(super) fn end(self) {
        if let Some(object) = self.0.upgrade() {
            object.base().signal_state().unwatch(self.1);
        }
    }
}

impl Inner {
    pub(super) fn operation(&mut self, token: Token) -> Option<&mut Operation> {
        self.operations.get_mut(token.index as usize).filter(|op| op.serial == token.serial)
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Operation> {
        let operation = self.operations.try_remove(index)?;
        self.index.remove(&(operation.key, operation.source, index));
        if self.operations.is_empty() && self.operations.capacity() > 64 {
            self.operations = Slab::new();
        }
        Some(operation)
    }

    pub(super) fn pop(&mut self) -> Option<Packet> {
        if let Some((_, (key, packet))) = self.interrupts.pop_first() {
            return Some(Packet { key, status: 0, payload: Payload::Interrupt(packet) });
        }
        loop {
            match self.queue.pop_front()? {
                Entry::User(packet) => {
                    self.user_packets -= 1;
                    return Some(packet);
                }
                Entry::PageRequest(number) => match self.page_requests.remove(&number) {
                    Some(PageRequest { key, packet, .. }) => {
                        return Some(Packet {
                            key,
                            status: 0,
                            payload: Payload::PageRequest(packet),
                        });
                    }
                    None => self.stale -= 1,
                },
                Entry::Signal(token) if self.operation(token).is_none() => self.stale -= 1,
                Entry::Signal(token) => {
                    let operation = self.remove(token.index as usize)?;
                    let Progress::Queued { observed, timestamp } = operation.progress else {
                        continue;
                    };
                    let trigger = operation.trigger;
                    let payload =
                        Payload::Signal(SignalPacket { trigger, observed, count: 1, timestamp });
                    return Some(Packet { key: operation.key, status: 0, payload });
                }
            }
        }
    }

    /// Removes the operations at these indices; those that still watch are returned.
    pub(super) fn cancel(&mut self, indices: impl IntoIterator<Item = usize>) -> Vec<Watched> {
        let mut watched = Vec::new();
        for index in indices {
            let Some(operation) = self.remove(index) else { continue };
            match operation.progress {
                Progress::Starting => {}
                Progress::Watching(key) => watched.push(Watched(operation.object, key)),
                Progress::Queued { .. } => self.stale += 1,
            }
        }
        self.compact();
        watched
    }

    /// Removes the places of what is gone when they are the larger part.
    pub(super) fn compact(&mut self) {
        if self.stale > self.queue.len() / 2 {
            let (operations, requests) = (&self.operations, &self.page_requests);
            self.queue.retain(|entry| match entry {
                Entry::User(_) => true,
                Entry::PageRequest(number) => requests.contains_key(number),
                Entry::Signal(token) => operations
                    .get(token.index as usize)
                    .is_some_and(|operation| operation.serial == token.serial),
            });
            self.stale = 0;
        }
    }
}
