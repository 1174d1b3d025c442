//! What it costs to enter a guest and come back, without a system call's work in between.
//!
//! `call` is a rewritten call site, the door alone; `switch` lets two guests take turns on one thread, so that vector state beyond
//! `xmm0-15` is saved and loaded; `trap` is a call site that can not be rewritten and raises SIGSYS each time.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use hal::{
    aspace::{AddressSpace, MapFlags, Prot},
    context::{Trap, UserContext},
    pmem::{Extent, PAGE_SIZE, PhysicalMemory},
};

/// `mov eax, 110; syscall; jmp` back to the first.
const LOOP: &[u8] = &[0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
/// `vpxord zmm16, zmm16, zmm16` is not a use; `vpternlogd zmm16, zmm16, zmm16, 0xff` sets all bits. Then the loop.
const WIDE_LOOP: &[u8] =
    &[0x62, 0xa3, 0x7d, 0x40, 0x25, 0xc0, 0xff, 0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];

struct Guest {
    space: Arc<AddressSpace>,
    text: u64,
    _extent: Extent,
}

impl Guest {
    fn new(code: &[u8], flags: MapFlags) -> Self {
        let memory = PhysicalMemory::new(None).expect("physical memory");
        let space = AddressSpace::new(&memory).expect("an address space");
        let extent = memory.allocate(PAGE_SIZE).expect("a page");
        memory.write(extent.base(), code);
        let text = space.window().start + (1 << 20);
        space
            .map(text, extent.base(), PAGE_SIZE as u64, Prot::READ | Prot::EXEC, flags)
            .expect("a free place");
        Self { space, text, _extent: extent }
    }

    fn context(&self) -> UserContext {
        let mut context = UserContext::new();
        context.regs_mut().rip = self.text;
        context
    }
}

/// Runs to the next call; ticks of the preemption timer do not count.
fn call(context: &mut UserContext, guest: &Guest) {
    while black_box(context.run(&guest.space)) != Trap::Syscall {}
}

fn context(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("context");
    let guest = Guest::new(LOOP, MapFlags::PATCHABLE);
    let mut one = guest.context();
    group.bench_function("call", |bencher| bencher.iter(|| call(&mut one, &guest)));

    let code = if is_x86_feature_detected!("avx512f") { WIDE_LOOP } else { LOOP };
    let wide = Guest::new(code, MapFlags::PATCHABLE);
    let (mut first, mut second) = (wide.context(), wide.context());
    group.bench_function("switch", |bencher| {
        bencher.iter(|| {
            call(&mut first, &wide);
            call(&mut second, &wide);
        });
    });

    let fixed = Guest::new(LOOP, MapFlags::empty());
    let mut trapping = fixed.context();
    group.bench_function("trap", |bencher| bencher.iter(|| call(&mut trapping, &fixed)));
    group.finish();
}

criterion_group!(benches, context);
criterion_main!(benches);
