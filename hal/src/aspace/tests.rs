//! Tests of address spaces: what the guest's host mappings and the kernel's copies see.

use proptest::prelude::*;

use super::*;
use crate::pmem::GUEST_BOUNDARY;

const RW: Prot = Prot::READ.union(Prot::WRITE);
const RX: Prot = Prot::READ.union(Prot::EXEC);
const NONE: MapFlags = MapFlags::empty();

fn space() -> (Arc<PhysicalMemory>, Arc<AddressSpace>) {
    let memory = PhysicalMemory::new(None).unwrap();
    let space = AddressSpace::new(&memory).unwrap();
    (memory, space)
}

/// The first byte at a mapped guest address, as guest code would load it.
fn load(va: u64) -> u8 {
    // SAFETY: the tests call this with addresses that they have mapped readable.
    unsafe { std::ptr::with_exposed_provenance::<u8>(va as usize).read_volatile() }
}

/// Host mappings inside `range`, from /proc/self/maps.
fn host_mappings(range: &Range<u64>) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let inside = |line: &&str| {
        let (start, rest) = line.split_once('-').unwrap();
        let end = rest.split_once(' ').unwrap().0;
        let start = u64::from_str_radix(start, 16).unwrap();
        start < range.end && u64::from_str_radix(end, 16).unwrap() > range.start
    };
    maps.lines().filter(inside).map(str::to_owned).collect()
}

#[test]
fn guest_and_kernel_see_the_same_bytes() {
    let (memory, space) = space();
    let extent = memory.allocate(4 * PAGE_SIZE).unwrap();
    let va = space.window().start;
    space.map(va, extent.base(), 4 * PAGE, RW, NONE).unwrap();
    space.write(va + 4090, b"hello, guest").unwrap();
    assert_eq!(load(va + 4090), b'h');
    let mut buf = [0; 12];
    space.read(va + 4090, &mut buf).unwrap();
    assert_eq!(&buf, b"hello, guest");
    assert_eq!(space.read_cstr(va + 4097, 100).unwrap(), b"guest");
    assert_eq!(space.read_cstr(va + 4097, 3).unwrap(), b"gue");
    space.zero(va + 4091, 2).unwrap();
    assert_eq!(space.read_cstr(va + 4090, 100).unwrap(), b"h");
}

#[test]
fn bad_addresses_are_faults_and_say_where() {
    let (memory, space) = space();
    let extent = memory.allocate(2 * PAGE_SIZE).unwrap();
    let va = space.window().start + 0x10000;
    space.map(va, extent.base(), 2 * PAGE, RW, NONE).unwrap();
    space.protect(va + PAGE, PAGE, Prot::READ).unwrap();
    let mut buf = [0; 8192];
    assert_eq!(space.read(va, &mut buf), Ok(()));
    let fault = |addr, access, present| Err(Fault { addr, access, present });
    assert_eq!(space.read(va + 1, &mut buf), fault(va + 2 * PAGE, Access::Read, false));
    assert_eq!(space.write(va, &buf), fault(va + PAGE, Access::Write, true));
    assert_eq!(space.read(0, &mut buf), fault(0, Access::Read, false));
    assert_eq!(space.read(u64::MAX, &mut buf), fault(u64::MAX, Access::Read, false));
    assert_eq!(space.write(GUEST_BOUNDARY, &buf), fault(GUEST_BOUNDARY, Access::Write, false));
    space.protect(va, PAGE, Prot::empty()).unwrap();
    assert_eq!(space.read(va, &mut buf), fault(va, Access::Read, true));
    space.write(va + PAGE, &[]).unwrap();
}

#[test]
fn a_string_may_end_at_the_last_mapped_byte() {
    let (memory, space) = space();
    let extent = memory.allocate(PAGE_SIZE).unwrap();
    let va = space.window().start;
    space.map(va, extent.base(), PAGE, RW, NONE).unwrap();
    space.write(va + PAGE - 4, b"end\0").unwrap();
    assert_eq!(space.read_cstr(va + PAGE - 4, 4096).unwrap(), b"end");
    space.write(va + PAGE - 1, b"!").unwrap();
    assert_eq!(space.read_cstr(va + PAGE - 4, 4096).unwrap_err().addr, va + PAGE);
}

#[test]
fn a_host_file_is_read_straight_into_guest_memory() {
    let (memory, space) = space();
    let extent = memory.allocate(4 * PAGE_SIZE).unwrap();
    let va = space.window().start;
    // Two runs that are not neighbours in physical memory, and a hole behind.
    space.map(va, extent.base().offset(2 * PAGE), PAGE, RW, NONE).unwrap();
    space.map(va + PAGE, extent.base(), PAGE, RW, NONE).unwrap();
    let mut host = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
    std::io::Write::write_all(&mut host, &bytes).unwrap();
    let file = crate::host::HostFile::from(std::os::fd::OwnedFd::from(host));
    let (done, stop) = space.read_file(va + 10, 8000, &file, 0);
    if !matches!(stop, ReadStop::Host(error) if error.would_block()) {
        assert_eq!((done, stop), (5000, ReadStop::Short));
        let mut seen = vec![0; 5000];
        space.read(va + 10, &mut seen).unwrap();
        assert!(seen == bytes);
        let (done, stop) = space.read_file(va + 2 * PAGE - 7, 20, &file, 100);
        assert_eq!(done, 7);
        assert!(matches!(stop, ReadStop::Fault(fault) if fault.addr == va + 2 * PAGE));
        assert_eq!(space.read_file(va, 20, &file, 0), (20, ReadStop::Full));
    }
}

#[test]
fn words_are_atomic_and_aligned() {
    let (memory, space) = space();
    let extent = memory.allocate(PAGE_SIZE).unwrap();
    let va = space.window().start;
    space.map(va, extent.base(), PAGE, RW, NONE).unwrap();
    space.store_u32(va, 5).unwrap();
    assert_eq!(space.compare_exchange_u32(va, 4, 9).unwrap(), Err(5));
    assert_eq!(space.compare_exchange_u32(va, 5, 9).unwrap(), Ok(5));
    assert_eq!(space.fetch_update_u32(va, |word| word + 1).unwrap(), 9);
    assert_eq!(space.load_u32(va).unwrap(), 10);
    assert_eq!(space.load_u32(va).unwrap(), 10);
    assert!(space.load_u32(va + 2).is_err());
    space.protect(va, PAGE, Prot::READ).unwrap();
    assert!(space.store_u32(va, 1).is_err());
    assert_eq!(space.load_u32(va).unwrap(), 10);
}

#[test]
fn fixed_addresses_are_claimed_and_given_back() {
    let memory = PhysicalMemory::new(None).unwrap();
    let extent = memory.allocate(PAGE_SIZE).unwrap();
    let va = 0x7_4000_0000;
    let first = AddressSpace::new(&memory).unwrap();
    let second = AddressSpace::new(&memory).unwrap();
    first.map(va, extent.base(), PAGE, RW, NONE).unwrap();
    assert_eq!(second.map(va, extent.base(), PAGE, RW, NONE), Err(AspaceError::Taken));
    assert_eq!(second.claim(va..va + PAGE), Err(AspaceError::Taken));
    drop(first);
    assert!(host_mappings(&(va..va + PAGE)).is_empty());
    second.map(va, extent.base(), PAGE, RW, NONE).unwrap();
    assert_eq!(second.map(0, extent.base(), PAGE, RW, NONE), Err(AspaceError::OutOfRange));
    let above = second.map(GUEST_BOUNDARY, extent.base(), PAGE, RW, NONE);
    assert_eq!(above, Err(AspaceError::OutOfRange));
}

#[test]
fn dropping_a_space_leaves_no_host_mapping() {
    let (memory, space) = space();
    let window = space.window();
    let extent = memory.allocate(64 * PAGE_SIZE).unwrap();
    for page in (0..64).step_by(2) {
        let va = window.start + page * 3 * PAGE;
        space.map(va, extent.base().offset(page * PAGE), PAGE, RX, MapFlags::PATCHABLE).unwrap();
    }
    space.patch_text(window.start, &[0x90]).unwrap();
    space.map_trampoline(window.start + (1 << 30), PAGE).unwrap();
    assert!(!host_mappings(&window).is_empty());
    drop(space);
    assert!(host_mappings(&window).is_empty());
    drop(extent);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn a_run_is_one_host_mapping() {
    let (memory, space) = space();
    let extent = memory.allocate(64 * PAGE_SIZE).unwrap();
    let va = space.window().start;
    for page in 0..64 {
        let at = page * PAGE;
        space.map(va + at, extent.base().offset(at), PAGE, RW, NONE).unwrap();
    }
    assert_eq!(space.runs().len(), 1);
    assert_eq!(host_mappings(&space.window()).len(), 1);
}

#[test]
fn a_reservation_has_no_pages() {
    let (memory, space) = space();
    let extent = memory.allocate(PAGE_SIZE).unwrap();
    let va = space.window().start;
    space.map(va, extent.base(), PAGE, RW, NONE).unwrap();
    space.reserve(va, 1 << 30).unwrap();
    assert!(host_mappings(&space.window()).is_empty());
    let fault = space.read(va, &mut [0]).unwrap_err();
    assert!(!fault.present);
    space.protect(va, 1 << 30, RW).unwrap();
    space.map(va + PAGE, extent.base(), PAGE, RW, NONE).unwrap();
    assert_eq!(space.runs().len(), 3);
    space.unmap(va, 1 << 30).unwrap();
    assert!(space.runs().is_empty());
}

#[test]
fn patched_text_is_executed_but_not_read() {
    let (memory, space) = space();
    let extent = memory.allocate(2 * PAGE_SIZE).unwrap();
    let va = space.window().start;
    memory.write(extent.base().offset(PAGE - 2), &[0x0f, 0x05, 0x0f, 0x05]);
    space.map(va, extent.base(), 2 * PAGE, RX, MapFlags::PATCHABLE).unwrap();
    space.patch_text(va + PAGE - 2, &[1, 2, 3, 4]).unwrap();
    let (mut original, mut patched) = ([0; 4], [0; 4]);
    space.read(va + PAGE - 2, &mut original).unwrap();
    space.read_text(va + PAGE - 2, &mut patched).unwrap();
    assert_eq!((original, patched), ([0x0f, 0x05, 0x0f, 0x05], [1, 2, 3, 4]));
    assert_eq!((load(va + PAGE - 2), load(va + PAGE)), (1, 3));
    // Writable text shows, and has, the original bytes.
    space.protect(va, PAGE, RW).unwrap();
    assert_eq!((load(va + PAGE - 2), load(va + PAGE)), (0x0f, 3));
    assert!(!space.is_patched(va) && space.is_patched(va + PAGE));
    assert_eq!(space.patch_text(va, &[1]), Err(AspaceError::NotPatchable));
    space.unmap(va, 2 * PAGE).unwrap();
    drop(extent);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn only_patchable_text_is_patched() {
    let (memory, space) = space();
    let extent = memory.allocate(PAGE_SIZE).unwrap();
    let va = space.window().start;
    space.map(va, extent.base(), PAGE, RX, NONE).unwrap();
    assert_eq!(space.patch_text(va, &[1]), Err(AspaceError::NotPatchable));
    assert_eq!(space.patch_text(va + PAGE, &[1]), Err(AspaceError::NotPatchable));
    assert_eq!(space.patch_text(u64::MAX, &[1, 2]), Err(AspaceError::OutOfRange));
}

#[test]
fn trampolines_are_near_and_hidden() {
    let (memory, space) = space();
    let extent = memory.allocate(PAGE_SIZE).unwrap();
    for near in [0x40_0000, space.window().end - (64 << 20)] {
        space.map(near, extent.base(), PAGE, RX, NONE).unwrap();
        let va = space.map_trampoline(near, 4 * PAGE).unwrap();
        let next = space.map_trampoline(near, 4 * PAGE).unwrap();
        assert!(va.abs_diff(near) < 2 << 30 && next.abs_diff(near) < 2 << 30);
        assert_eq!(load(va), 0xcc);
        space.write_trampoline(va + 6, &[1, 2, 3]).unwrap();
        assert_eq!((load(va + 6), load(va + 8)), (1, 3));
        assert!(space.query(va).is_none() && space.is_trampoline(va));
        assert_eq!(space.map(va, extent.base(), PAGE, RW, NONE), Err(AspaceError::Taken));
        assert_eq!(space.trampoline_in(va - PAGE..va + PAGE), Some(va..va + 4 * PAGE));
        // Unmapping all around leaves it alone.
        space.unmap(va - PAGE, 16 * PAGE).unwrap();
        assert_eq!(load(va), 0xcc);
        assert_eq!(
            space.write_trampoline(va + 4 * PAGE - 1, &[1, 2]),
            Err(AspaceError::NotPatchable)
        );
        let mut bytes = [0; 2];
        space.read_text(va + 5, &mut bytes).unwrap();
        assert_eq!(bytes, [0xcc, 1]);
    }
}

#[test]
fn readers_never_see_a_page_of_someone_else() {
    let (memory, space) = space();
    let (mine, other) = (memory.allocate(PAGE_SIZE).unwrap(), memory.allocate(PAGE_SIZE).unwrap());
    memory.write(mine.base(), &[1; PAGE_SIZE]);
    memory.write(other.base(), &[2; PAGE_SIZE]);
    let va = space.window().start;
    space.map(va, mine.base(), PAGE, RW, NONE).unwrap();
    let reader = {
        let space = space.clone();
        std::thread::spawn(move || {
            let mut good = 0;
            while good < 20_000 {
                let mut buf = [0; 64];
                match space.read(va, &mut buf) {
                    Ok(()) => assert!(buf == [1; 64] || buf == [2; 64]),
                    Err(fault) => assert_eq!(fault.addr, va),
                }
                good += 1;
            }
        })
    };
    while !reader.is_finished() {
        space.map(va, other.base(), PAGE, RW, NONE).unwrap();
        space.unmap(va, PAGE).unwrap();
        space.map(va, mine.base(), PAGE, RW, NONE).unwrap();
    }
    reader.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_host_mapping_is_what_the_table_says(
        ops in prop::collection::vec((0u64..16, 1u64..8, 0u64..24, 0u8..5), 1..40)
    ) {
        let (memory, space) = space();
        let extent = memory.allocate(32 * PAGE_SIZE).unwrap();
        for page in 0..32 {
            memory.write(extent.base().offset(page * PAGE), &[page as u8]);
        }
        let va = space.window().start;
        for (at, len, pa, what) in ops {
            let (at, bytes) = (va + at * PAGE, len * PAGE);
            match what {
                0 => space.unmap(at, bytes).unwrap(),
                1 => space.protect(at, bytes, RX).unwrap(),
                2 => space.protect(at, bytes, RW).unwrap(),
                3 => space.map(at, extent.base().offset(pa * PAGE), bytes, RX, MapFlags::PATCHABLE).unwrap(),
                _ => {
                    let _ = space.patch_text(at, &[pa as u8 + 100]);
                }
            }
        }
        let mut hosts = Vec::new();
        for page in 0..24 {
            let at = va + page * PAGE;
            let mut seen = [0];
            if space.read_text(at, &mut seen).is_ok() {
                prop_assert_eq!(load(at), seen[0]);
                hosts.push(at);
            } else {
                prop_assert!(host_mappings(&(at..at + PAGE)).is_empty());
            }
            if space.read(at, &mut seen).is_ok() {
                let run = space.query(at).unwrap();
                let expected = (run.translate(at).0 - extent.base().0) / PAGE;
                prop_assert_eq!(u64::from(seen[0]), expected);
            }
        }
    }
}
