//! A peer that has the region mapped and writes into it whatever it likes, while we use it.

use std::{
    env,
    os::unix::net::UnixStream,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use evering::{
    driver::{LocalDriver, Tagged},
    heap::{Heap, Local, Token},
    peer::Peer,
    region::{Keeper, Options, Region},
};
use futures::FutureExt;
use memmap2::MmapRaw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Child, possessions, random::Random};

/// For how long by default.
const SECONDS: u64 = 10;

/// How long one region is used: after a while most of it is beyond use.
const REGION: Duration = Duration::from_millis(20);

/// What the file is passed with: any byte.
fn pass(socket: &UnixStream, file: std::os::fd::BorrowedFd<'_>) {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::{io::IoSlice, os::fd::AsRawFd};
    let files = [file.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&files)];
    let bytes = [IoSlice::new(&[1])];
    sendmsg::<()>(socket.as_raw_fd(), &bytes, &control, MsgFlags::empty(), None)
        .expect("the other one is there");
}

fn receive(socket: &UnixStream) -> Option<std::fs::File> {
    use nix::{
        cmsg_space,
        sys::socket::{ControlMessageOwned, MsgFlags, recvmsg},
    };
    use std::{
        io::IoSliceMut,
        os::fd::{AsRawFd, FromRawFd},
    };
    let (mut byte, mut control) = ([0], cmsg_space!(i32));
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let fd = socket.as_raw_fd();
    let received = recvmsg::<()>(fd, &mut bytes, Some(&mut control), MsgFlags::empty()).ok()?;
    received.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => {
            // SAFETY: the kernel has just made it for us.
            fds.first().map(|&fd| unsafe { std::fs::File::from_raw_fd(fd) })
        }
        _ => None,
    })
}

/// Writes into one region after the other, in one of several manners, until the next one comes.
fn attacker(socket: UnixStream) {
    let mut random = Random(0xdead_beef_1234_5678 ^ u64::from(std::process::id()));
    let mut region: Option<MmapRaw> = None;
    let mut manner = 0;
    socket.set_nonblocking(true).expect("it is a socket");
    loop {
        match receive(&socket) {
            Some(file) => {
                region = Some(MmapRaw::map_raw(&file).expect("there is room"));
                manner = random.below(4);
            }
            None => {
                use std::io::Read;
                if matches!((&socket).read(&mut [0]), Ok(0)) {
                    return;
                }
            }
        }
        let Some(region) = &region else { continue };
        let words = region.len() as u64 / 4;
        for _ in 0..1000 {
            // All of it; or where the header and the queues are.
            let most = if manner & 1 == 0 { words } else { words.min(2500) };
            let value = if manner & 2 == 0 { random.next() } else { random.below(40) };
            let at = region.as_mut_ptr().cast::<AtomicU32>();
            // SAFETY: there are so many words in the mapping.
            unsafe { &*at.add(random.below(most) as usize) }.store(value as u32, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    token: Token,
}

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

/// Everything that a side can do, for a while. Both sides are played here: the attacker plays what it likes.
fn use_region(region: &Region<Message, Message>, random: &mut Random, until: Instant) -> u64 {
    let (Ok(first), Ok(second)) = (region.first(), region.second()) else { return 0 };
    let heaps = [Heap::<Local>::new(first.arena), Heap::<Local>::new(second.arena)];
    let driver = LocalDriver::<_, _, _, Keeper, Keeper>::local(first.sender, first.receiver, 8)
        .with_cancel(|id| Message { id, token: Token::default() });
    let (mut sender, mut receiver) = (second.sender, second.receiver);
    let (mut waiter, ringer) = (first.link.waiter(), second.link.ringer());
    let (mut operations, mut buffers, mut done) = (Vec::new(), Vec::new(), 0);
    let mut body = vec![0; 5000];
    while Instant::now() < until {
        done += 1;
        let heap = &heaps[random.below(2) as usize];
        let len = 1 + random.below(5000) as usize;
        if let Ok(buffer) = heap.alloc(len) {
            buffer.write(0, &body[..len]).expect("it fits");
            match random.below(3) {
                0 => buffers.push(buffer),
                1 => {
                    let token = buffer.lend().expect("it is ours");
                    let message = Message { id: 0, token };
                    operations.extend(driver.try_submit(message, Some(buffer)).ok());
                }
                _ => {
                    if let Ok(token) = buffer.give() {
                        let message = Message { id: random.next(), token };
                        if random.below(2) == 0 {
                            operations.extend(driver.try_submit(message, None).ok());
                        } else {
                            let _ = sender.send(message);
                        }
                    }
                }
            }
        }
        // Not at once, so that the entries lie there to be overwritten.
        let burst = if random.below(6) == 0 { 20 } else { 0 };
        for _ in 0..burst {
            let Ok(Message { token, id }) = receiver.recv() else { break };
            // As they come, which may be anything.
            match heaps[1].accept(token).or_else(|_| heaps[0].accept(token)) {
                Ok(buffer) => {
                    let _ = buffer.read(0, &mut body[..buffer.len().min(5000)]);
                    buffers.push(buffer);
                }
                Err(_) => {
                    if let Ok(loan) = heaps[1].borrow(token) {
                        loan.scan(|piece| {
                            std::hint::black_box(piece.len());
                        });
                    }
                }
            }
            let _ = sender.send(Message { id, token });
        }
        ringer.ring();
        let soon = Instant::now() + Duration::from_micros(50);
        match random.below(64) {
            0 => drop(waiter.wait(Some(soon), || driver.turn().ok().filter(|&n| n > 0))),
            _ => drop(driver.turn()),
        }
        operations.retain_mut(|operation| match operation.now_or_never() {
            Some(Ok((answer, _))) => {
                buffers.extend(heaps[0].accept(answer.token).ok());
                false
            }
            Some(Err(_)) => false,
            None => true,
        });
        if random.below(50) == 0 {
            operations.clear();
        }
        buffers.truncate(20);
        std::hint::black_box((first.link.peer(), second.link.look(), heaps[0].collect()));
        // The way in: whoever opens the region now finds whatever it finds.
        if random.below(20) == 0
            && let Some(file) = region.as_fd()
            && let Ok(file) = file.try_clone_to_owned()
            && let Ok(region) = Region::<Message, Message>::open(file, false)
        {
            drop::<[Option<Peer<_, _>>; 2]>([region.first().ok(), region.second().ok()]);
        }
    }
    drop(operations);
    drop(driver);
    drop(buffers);
    for heap in &heaps {
        heap.reclaim();
        let usage = heap.usage();
        assert_eq!((usage.free, usage.away), (usage.size, 0), "all buffers are back");
    }
    done
}

pub(super) fn errors_only() {
    let seconds = env::var("EVERING_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let (child, socket) = Child::new(attacker);
    let mut random = Random(0x0123_4567_89ab_cdef);
    let options = Options::new().capacity(16).arena(64 << 10).away(8);
    let before = possessions();
    let (mut regions, mut done) = (0u64, 0);
    while Instant::now() < end {
        let region = Region::<Message, Message>::create(&options).expect("there is memory");
        pass(&socket, region.as_fd().expect("it is in a file"));
        done += use_region(&region, &mut random, Instant::now() + REGION);
        regions += 1;
    }
    assert_eq!(possessions(), before, "descriptors, mappings, threads");
    assert!(done > regions * 10, "it was used: {done} times in {regions} regions");
    drop(socket);
    assert!(child.wait(), "the attacker has failed");
}
