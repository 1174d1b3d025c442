//! Peers that are killed at any moment: while they connect, work, or sleep.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use evering::{
    Many, One, RecvError,
    driver::{LocalDriver, SubmitError, Tagged},
    heap::{Buffer, Heap, Local, Token},
    peer::{
        Peer,
        connect::{ConnectError, accept, accept_as, offer, offer_as, offer_region},
    },
    region::{Keeper, Life, Options, Region, RegionError},
};
use futures::{FutureExt, executor::block_on};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Child, possessions, random::Random};

const KILLS: u64 = 10_000;
const ARENA: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    lent: Token,
    given: Token,
}

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

/// Connects, as the side that makes the region or as the one that takes it.
fn connect(socket: &UnixStream, offers: bool) -> Result<Peer<Message, Message>, ConnectError> {
    let options = Options::new().capacity(8).arena(ARENA).away(8);
    if offers { offer(socket, &options) } else { accept(socket, false) }
}

/// Answers until it is killed; keeps some of what it is given.
fn victim(socket: UnixStream, offers: bool) {
    let Ok(mut peer) = connect(&socket, offers) else { return };
    let (heap, mut waiter, ringer) =
        (Heap::<Local>::new(peer.arena), peer.link.waiter(), peer.link.ringer());
    let mut kept = Vec::new();
    loop {
        let request = waiter.wait(None, || match peer.receiver.recv() {
            Err(RecvError::Empty) => None,
            other => Some(other),
        });
        let Some(Ok(request)) = request else { return };
        heap.borrow(request.lent).expect("it is right").fill(0, 10, 7).expect("it fits");
        kept.push(heap.accept(request.given).expect("it is right"));
        if kept.len() > 5 {
            kept.remove(2);
        }
        heap.collect();
        let given = heap.alloc(500).ok().and_then(|buffer| buffer.give().ok());
        let _ = peer.sender.send(Message { given: given.unwrap_or_default(), ..request });
        ringer.ring();
    }
}

type Client = LocalDriver<Message, Message, Buffer, Keeper, Keeper>;

/// One life of a peer. Whether it lived to be connected.
fn round(random: &mut Random, asleep: bool) -> bool {
    let offers = random.below(2) == 0;
    let (child, socket) = Child::new(|socket| victim(socket, !offers));
    let start = Instant::now();
    let life = Duration::from_micros(random.below(600));
    // Some die before anybody waits for them.
    if random.below(8) == 0 {
        while start.elapsed() < life {}
        child.kill();
    }
    let Ok(peer) = connect(&socket, offers) else { return false };
    drop(socket);
    let (heap, mut waiter, ringer) =
        (Heap::<Local>::new(peer.arena), peer.link.waiter(), peer.link.ringer());
    let driver = Client::local(peer.sender, peer.receiver, 8);
    let (life, start) = (Duration::from_micros(random.below(300)), Instant::now());
    let mut operations = Vec::new();
    while start.elapsed() < life {
        let lent = heap.alloc(1000).expect("there is room for all");
        let Some(given) = heap.alloc(300).ok().and_then(|buffer| buffer.give().ok()) else {
            continue;
        };
        let token = lent.lend().expect("it is ours");
        match driver.try_submit(Message { id: 0, lent: token, given }, lent) {
            Ok(operation) => operations.push(operation),
            Err(SubmitError::Busy(request, _)) => {
                drop(heap.accept(request.given).expect("it never left"));
            }
            Err(SubmitError::Lost(..)) => panic!("it is alive"),
        }
        ringer.ring();
        driver.turn().expect("it is alive");
        operations.retain_mut(|operation| match operation.now_or_never() {
            Some(answer) => {
                let (answer, _) = answer.expect("it is alive");
                if answer.given.is_given() {
                    drop(heap.accept(answer.given).expect("it is right"));
                }
                false
            }
            None => true,
        });
        heap.collect();
    }
    child.kill();
    if asleep {
        let deadline = Instant::now() + Duration::from_secs(10);
        let end = waiter.wait(Some(deadline), || driver.turn().err());
        assert_eq!(end, Some(RecvError::Closed), "it is noticed");
    } else {
        drop(child);
        assert_eq!(peer.link.look(), Life::Dead, "it is seen");
        // Its last answers come first.
        let end = (0..2).find_map(|_| driver.turn().err());
        assert_eq!(end, Some(RecvError::Closed));
    }
    for operation in operations {
        match block_on(operation) {
            Ok((answer, lent)) if answer.given.is_given() => {
                // What it gave is there as long as the region is.
                let buffer = heap.accept(answer.given).expect("it is right");
                assert_eq!((buffer.len(), lent.len()), (500, 1000));
            }
            Ok((_, lent)) => drop(lent),
            Err(lost) => drop(lost),
        }
    }
    assert_eq!(peer.link.peer(), Life::Dead);
    heap.reclaim();
    let usage = heap.usage();
    assert_eq!((usage.free as u64, usage.away), (ARENA, 0), "all buffers are back");
    true
}

pub(super) fn nothing_leaks() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    // The first one starts the thread that notices.
    while !round(&mut random, true) {}
    let before = possessions();
    let connected = (0..KILLS).filter(|kill| round(&mut random, kill % 2 == 0)).count();
    assert_eq!(possessions(), before, "descriptors, mappings, threads");
    assert!(connected as u64 > KILLS / 2, "most have lived: {connected}");
}

/// A sender that is killed while it holds a reservation takes what it had begun with it, and nothing else.
pub(super) fn a_reservation_dies_with_its_sender() {
    for staged in 0..3 {
        let (child, socket) = Child::new(|socket| {
            let mut peer = accept_as::<u64, u64, One, Many>(&socket, false).expect("it is offered");
            let mut other = peer.sender.clone();
            assert_eq!(peer.sender.send(1), Ok(()));
            let mut room = peer.sender.reserve(2).expect("there is room");
            for n in 0..staged {
                assert_eq!(room.stage(100 + n), Ok(()));
            }
            assert_eq!(other.send(2), Ok(()), "which comes behind");
            peer.link.ringer().ring();
            std::thread::park_timeout(Duration::from_secs(10));
        });
        let options = Options::new().capacity(8).arena(0);
        let mut peer = offer_as::<u64, u64, One, Many>(&socket, &options).expect("it is accepted");
        let mut waiter = peer.link.waiter();
        let deadline = || Some(Instant::now() + Duration::from_secs(10));
        let mut next = |until| {
            waiter.wait(until, || match peer.receiver.recv() {
                Err(RecvError::Empty) => None,
                other => Some(other),
            })
        };
        assert_eq!(next(deadline()), Some(Ok(1)));
        assert_eq!(next(Some(Instant::now() + Duration::from_millis(20))), None, "it may come");
        child.kill();
        assert_eq!(next(deadline()), Some(Ok(2)));
        assert_eq!(next(deadline()), Some(Err(RecvError::Closed)));
    }
}

/// One file, one mapping, and one peer after the other that is killed at any moment.
pub(super) fn a_region_has_many_lives() {
    const LIVES: u64 = 300;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let options = Options::new().capacity(8).arena(ARENA).away(8);
    let mut region = Region::<Message, Message>::create(&options).expect("there is room");
    let mut answered = 0;
    let mut before = None;
    for life in 0..LIVES {
        let (child, socket) = Child::new(|socket| victim(socket, false));
        let peer = offer_region(&socket, &region).expect("it is accepted");
        let Peer { mut sender, mut receiver, arena, link } = peer;
        let (heap, mut waiter, ringer) = (Heap::<Local>::new(arena), link.waiter(), link.ringer());
        let usage = heap.usage();
        assert_eq!(
            (usage.free as u64, usage.away),
            (ARENA, 0),
            "nothing is left of the one before"
        );
        let end = Instant::now() + Duration::from_micros(random.below(1000));
        let mut kept = Vec::new();
        while Instant::now() < end {
            let lent = heap.alloc(1000).expect("there is room");
            let given = heap.alloc(300).expect("there is room").give();
            let Ok(given) = given.map_err(drop) else { break };
            let lent_token = lent.lend().expect("it is ours");
            sender.send(Message { id: life, lent: lent_token, given }).expect("there is room");
            ringer.ring();
            let answer = waiter.wait(Some(end), || receiver.recv().ok());
            kept.push(lent);
            let Some(answer) = answer else { break };
            assert_eq!(answer.id, life, "not one of another life");
            answered += 1;
            kept.clear();
            drop(heap.accept(answer.given));
            heap.collect();
        }
        child.kill();
        drop(child);
        assert_eq!(link.look(), Life::Dead);
        drop((socket, sender, receiver, waiter, ringer, link, heap));
        if let Some(buffer) = kept.pop() {
            assert!(matches!(region.renew(), Err(RegionError::Taken)), "a buffer is left");
            drop(buffer);
        }
        kept.clear();
        region.renew().expect("nothing is left");
        // The first one started the thread that notices.
        if life == 0 {
            before = Some(possessions());
        }
    }
    assert!(answered > LIVES, "they were used: {answered}");
    assert_eq!(Some(possessions()), before, "descriptors, mappings, threads");
}
