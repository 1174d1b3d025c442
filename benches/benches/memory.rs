//! What memory costs the kernel: physical memory, the page table, VMOs and VMARs.
//!
//! `cargo bench -p benches --bench memory`. The host's own price of the same work is measured beside
//! where there is one; the figures are for judging changes, nothing is asserted.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use hal::{
    aspace::{AddressSpace, Prot},
    pmem::PhysicalMemory,
};
use kernel_objects::{MapArgs, MappingFlags, Vmar, Vmo, VmoOptions};

const LEN: u64 = 64 << 10;

fn anonymous(memory: &Arc<PhysicalMemory>, len: u64) -> MapArgs {
    let vmo = Vmo::create(memory, len, VmoOptions::default()).expect("a VMO");
    MapArgs { flags: MappingFlags::DISCARD, ..MapArgs::new(vmo, len) }
}

fn bench(c: &mut Criterion) {
    let memory = PhysicalMemory::new(None).expect("physical memory");
    let space = AddressSpace::new(&memory).expect("an address space");
    let vmar = Vmar::create_root(&space).expect("a VMAR");
    let va = vmar.map(anonymous(&memory, 1 << 20)).expect("a mapping");
    vmar.zero(va, 1 << 20).expect("writable memory");

    c.bench_function("allocate and free 64 KiB", |b| {
        b.iter(|| {
            let extent = memory.allocate(LEN as usize).expect("an extent");
            extent.set_warm();
        });
    });
    let mut word = [0; 8];
    c.bench_function("read 8 bytes of a guest", |b| {
        b.iter(|| space.read(black_box(va), &mut word).expect("readable memory"));
    });
    c.bench_function("write 8 bytes of a guest", |b| {
        b.iter(|| space.write(black_box(va), &word).expect("writable memory"));
    });
    c.bench_function("compare-exchange a guest's word", |b| {
        b.iter(|| space.compare_exchange_u32(black_box(va), 1, 2).expect("writable memory"));
    });
    let file = Vmo::create(&memory, LEN, VmoOptions { resizable: true, charged: false });
    let file = file.expect("a VMO");
    file.write(0, &[1; LEN as usize]).expect("room");
    c.bench_function("copy 4 KiB of a VMO to a guest", |b| {
        b.iter(|| vmar.copy_from_vmo(va, &file, 4096, 4096).expect("writable memory"));
    });
    c.bench_function("map, touch and unmap 64 KiB", |b| {
        b.iter(|| {
            let at = vmar.map(anonymous(&memory, LEN)).expect("a mapping");
            for page in (at..at + LEN).step_by(4096) {
                vmar.store_u32(page, 1).expect("writable memory");
            }
            vmar.unmap(at, LEN).expect("room");
        });
    });
    c.bench_function("protect a page", |b| {
        let mut prot = Prot::READ;
        b.iter(|| {
            vmar.protect(va, 4096, prot).expect("room");
            prot ^= Prot::WRITE;
        });
    });
    c.bench_function("create and drop an address space", |b| {
        b.iter(|| AddressSpace::new(&memory).expect("a window"));
    });
}

criterion_group!(memory, bench);
criterion_main!(memory);
