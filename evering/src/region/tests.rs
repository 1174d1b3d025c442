//! What is found in memory that anybody has written.

use core::mem::ManuallyDrop;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    io::Write,
    os::unix::net::UnixStream,
    vec::Vec,
};

use proptest::prelude::*;

use super::*;
use crate::{
    heap::{Heap, Local},
    peer::connect::accept,
};

fn options() -> Options {
    Options::new().capacities(4, 2).arenas(4096, 8192).away(2)
}

/// Memory that is as large as the test says.
struct Memory(NonNull<u8>, Layout);

// SAFETY: it only frees the memory.
unsafe impl Send for Memory {}
// SAFETY: nothing can be done with a shared one.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(bytes: &[u8]) -> Self {
        let layout = Layout::from_size_align(bytes.len().max(1), 4096).expect("it is small");
        // SAFETY: the size is not 0.
        let at = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("there is memory");
        // SAFETY: it is as long.
        unsafe { at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Memory(at, layout)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.0.as_ptr(), self.1) };
    }
}

/// The bytes of a new region.
fn image() -> Vec<u8> {
    let size = Region::<u64, u32>::size(&options()).expect("it is possible");
    let memory = ManuallyDrop::new(Memory::new(&std::vec![0; size]));
    // SAFETY: it is as long, aligned, and freed by nobody before the bytes are copied.
    let region =
        unsafe { Region::<u64, u32>::create_at(memory.0, size, &options(), Keeper::new(())) };
    drop(region.expect("it is possible"));
    // SAFETY: nobody uses it any more.
    let bytes = unsafe { core::slice::from_raw_parts(memory.0.as_ptr(), size) }.to_vec();
    drop(ManuallyDrop::into_inner(memory));
    bytes
}

/// Attaches to whatever those bytes are and uses both ends; whether it was a region.
fn attach(bytes: &[u8]) -> Result<(), RegionError> {
    let memory = Memory::new(bytes);
    let at = memory.0;
    // SAFETY: the keeper frees it, and it is initialised, aligned, and as long.
    let region = unsafe { Region::<u64, u32>::attach_at(at, bytes.len(), Keeper::new(memory)) }?;
    let (mut first, mut second) = (region.first()?, region.second()?);
    drop(region);
    for n in 0..10 {
        let _ = first.sender.send(n);
        let _ = second.sender.send(n as u32);
        let _ = (first.receiver.recv(), second.receiver.recv());
    }
    let heaps = [Heap::<Local>::new(first.arena), Heap::<Local>::new(second.arena)];
    for (ours, theirs) in [(&heaps[0], &heaps[1]), (&heaps[1], &heaps[0])] {
        let given = ours.alloc(1000).ok().and_then(|buffer| buffer.give().ok());
        let accepted = given.and_then(|token| theirs.accept(token).ok());
        if let Some(buffer) = accepted {
            let _ = buffer.fill(0, buffer.len(), 1);
        }
        ours.collect();
        ours.reclaim();
        assert_eq!(ours.usage().free, ours.usage().size);
    }
    Ok(())
}

#[test]
fn a_region_is_found_by_who_knows_what_it_is() {
    let good = image();
    assert!(attach(&good).is_ok());
    for len in [0, 1, 639, 640, good.len() - 4096, good.len() - 1] {
        assert!(matches!(attach(&good[..len]), Err(RegionError::Size)), "{len}");
    }
    let longer = [&good[..], &[0; 4096]].concat();
    assert!(matches!(attach(&longer), Err(RegionError::Size)));
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        attach(&bytes)
    };
    assert!(matches!(with(0, 0), Err(RegionError::Magic)));
    assert!(matches!(with(4, 77), Err(RegionError::Version(77))));
    assert!(matches!(with(8, 1), Err(RegionError::Geometry)), "the size");
    assert!(matches!(with(17, 0x40), Err(RegionError::Geometry)), "an arena");
    assert!(matches!(with(32, 3), Err(RegionError::Layout(_))), "a capacity");
    assert!(matches!(with(640, 0), Err(RegionError::Queue(_))), "a queue");
}

/// Any, or a power of two.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (0u32..32).prop_map(|shift| 1 << shift)]
}

#[test]
fn whoever_has_an_end_of_a_region_before_finds_its_peer_dead() {
    let size = Region::<u64, u32>::size(&options()).expect("it is possible");
    let memory = Memory::new(&std::vec![0; size]);
    let (at, keeper) = (memory.0, Keeper::new(memory));
    // SAFETY: the keeper frees it, and it is initialised, aligned, and as long. Of the ends before only the link is used,
    // by atomic operations.
    let make = || unsafe { Region::<u64, u32>::create_at(at, size, &options(), keeper.clone()) };
    let before = make().expect("it is possible");
    let links =
        [before.first().expect("it is free").link, before.second().expect("it is free").link];
    assert!(links.iter().all(|link| link.peer() == Life::Here));
    let after = make().expect("it is possible");
    assert!(links.iter().all(|link| link.peer() == Life::Dead));
    let first = after.first().expect("it is free");
    drop(links);
    let second = after.second().expect("nobody has left");
    assert_eq!((first.link.peer(), second.link.peer()), (Life::Here, Life::Here));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// What a fuzzer would do, from seeds that a failure prints: a good region with some bytes changed.
    #[test]
    fn changed_bytes_are_errors_at_worst(
        changes in proptest::collection::vec(
            (
                prop_oneof![3 => 0usize..64, 2 => 0usize..4096, 1 => any::<usize>()],
                prop_oneof![any::<u8>(), 0u8..4],
            ),
            0..12,
        ),
    ) {
        let mut bytes = image();
        let len = bytes.len();
        changes.iter().for_each(|&(at, value)| bytes[at % len] = value);
        let _ = attach(&bytes);
    }

    /// The numbers in the header, changed to agree with each other or not.
    #[test]
    fn changed_geometries_are_errors_at_worst(
        size in prop_oneof![any::<u64>(), Just(20480), Just(16384)],
        arenas in [prop_oneof![any::<u64>(), 0u64..20_000], prop_oneof![any::<u64>(), 0u64..20_000]],
        numbers in [number(), number(), number()],
    ) {
        let mut bytes = image();
        bytes[8..16].copy_from_slice(&size.to_ne_bytes());
        bytes[16..24].copy_from_slice(&arenas[0].to_ne_bytes());
        bytes[24..32].copy_from_slice(&arenas[1].to_ne_bytes());
        for (number, at) in numbers.iter().zip([32, 36, 40]) {
            bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        let _ = attach(&bytes);
    }

    /// The way in over a socket: whatever comes is refused, and does not block.
    #[test]
    fn any_bytes_on_the_socket_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..40), real: bool) {
        if real && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"evhl\x01\0\0\0");
        }
        let (here, mut there) = UnixStream::pair().expect("descriptors are left");
        there.write_all(&bytes).expect("it is connected");
        there.shutdown(std::net::Shutdown::Write).expect("it is connected");
        prop_assert!(accept::<u64, u32>(&here, false).is_err());
    }
}

#[test]
fn who_was_taken_for_dead_finds_its_peer_dead_after_a_renewal() {
    let mut region = Region::<u32, u32>::create(&Options::new()).expect("it is possible");
    let first = region.first().expect("it is free");
    let fd = region.as_fd().expect("it is in a file").try_clone_to_owned();
    let other = Region::<u32, u32>::open(fd.expect("descriptors are left"), false);
    let mut old = other.expect("it is there").second().expect("it is free");
    assert_eq!(old.link.peer(), Life::Here);
    first.link.peer_is_dead();
    drop(first);
    region.renew().expect("nothing is left here");
    assert_eq!(old.link.peer(), Life::Dead);
    let (mut first, mut second) =
        (region.first().expect("it is free"), region.second().expect("it is free"));
    assert!(matches!(old.sender.send(7), Err(crate::SendError::Closed(7))));
    assert!(matches!(old.receiver.recv(), Err(crate::RecvError::Closed)));
    // Nor does it close what is not its own any more, in whichever way.
    old.link.peer_is_dead();
    drop(old);
    assert_eq!((first.link.peer(), second.link.peer()), (Life::Here, Life::Here));
    assert_eq!((first.sender.send(1), second.receiver.recv()), (Ok(()), Ok(1)));
    assert_eq!((second.sender.send(2), first.receiver.recv()), (Ok(()), Ok(2)));
    assert!(matches!(second.receiver.recv(), Err(crate::RecvError::Empty)));
}

#[test]
fn only_a_file_can_be_renewed() {
    let mut region = Region::<u32, u32>::on_heap(&Options::new()).expect("it is possible");
    assert!(matches!(region.renew(), Err(RegionError::NoFile)));
}
