mod bound;
mod held;

use std::{
    arch::{asm, global_asm},
    cell::Cell,
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64},
    thread,
    time::Duration,
};

use super::*;
use crate::{
    aspace::{MapFlags, Prot},
    pmem::{Extent, PAGE_SIZE, PhysicalMemory},
};

const PAGE: u64 = PAGE_SIZE as u64;
const RX: Prot = Prot::READ.union(Prot::EXEC);
const RW: Prot = Prot::READ.union(Prot::WRITE);
/// Enough traps at a site for it to be rewritten.
const MANY: u64 = 12;

/// Machine code between two labels, to be copied into a guest.
macro_rules! code {
    ($name:ident: $($line:literal),+ $(,)?) => {
        global_asm!(
            ".text",
            concat!(".globl hal_test_", stringify!($name)),
            concat!(".globl hal_test_end_", stringify!($name)),
            concat!("hal_test_", stringify!($name), ":"),
            $($line,)+
            concat!("hal_test_end_", stringify!($name), ":"),
        );
        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("hal_test_", stringify!($name))]
                static START: u8;
                #[link_name = concat!("hal_test_end_", stringify!($name))]
                static END: u8;
            }
            let (start, end) = (&raw const START, &raw const END);
            // SAFETY: the bytes between the labels.
            unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
        }
    };
}

thread_local! {
    /// Whether guests that this thread makes are in a stub.
    static ISOLATED: Cell<bool> = const { Cell::new(false) };
}

/// An address space with one page of text, some data and a stack.
struct Guest {
    space: Arc<AddressSpace>,
    text: u64,
    data: u64,
    _extents: [Extent; 2],
}

const DATA: u64 = 16 * PAGE;

impl Guest {
    fn new(code: &[u8]) -> Self {
        let memory = PhysicalMemory::new(None).unwrap();
        let space = match ISOLATED.get() {
            false => AddressSpace::new(&memory).unwrap(),
            true => AddressSpace::new_isolated(&memory, None).unwrap(),
        };
        let text_pages = memory.allocate(PAGE_SIZE).unwrap();
        let data_pages = memory.allocate(DATA as usize).unwrap();
        let text = space.window().start + (1 << 20);
        let data = text + (1 << 20);
        memory.write(text_pages.base(), code);
        space.map(text, text_pages.base(), PAGE, RX, MapFlags::PATCHABLE).unwrap();
        space.map(data, data_pages.base(), DATA, RW, MapFlags::empty()).unwrap();
        Self { space, text, data, _extents: [text_pages, data_pages] }
    }

    fn context(&self) -> UserContext {
        let mut context = UserContext::new();
        context.regs_mut().rip = self.text;
        context.regs_mut().rsp = self.data + DATA - 256;
        context.regs_mut().rdi = self.data;
        context
    }

    fn u64_at(&self, va: u64) -> u64 {
        let mut bytes = [0; 8];
        self.space.read(va, &mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    }
}

code!(one_call: "syscall", "ud2");

#[test]
fn a_call_brings_all_registers_and_takes_them_back() {
    let guest = Guest::new(one_call());
    let mut context = guest.context();
    let before = GeneralRegs {
        rax: 39,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rsi: 5,
        rdi: 6,
        rbp: 7,
        rsp: 8,
        r8: 9,
        r9: 10,
        r10: 11,
        r11: 12,
        r12: 13,
        r13: 14,
        r14: 15,
        r15: 16,
        rip: guest.text,
        rflags: 0x202 | 0x8d5,
    };
    *context.regs_mut() = before;
    assert_eq!(context.run(&guest.space), Trap::Syscall);
    let rip = guest.text + 2;
    let expected = GeneralRegs { rip, rcx: rip, r11: before.rflags, ..before };
    assert_eq!(*context.regs(), expected);
    context.regs_mut().rax = u64::MAX;
    let trap = context.run(&guest.space);
    let Trap::Exception(exception) = trap else { panic!("{trap:?} {context:?}") };
    assert_eq!((exception.signal, exception.trapno, exception.addr), (libc::SIGILL, 6, rip));
    assert_eq!(*context.regs(), GeneralRegs { rax: u64::MAX, ..expected });
}

code!(numbered_calls: "2:", "mov eax, 39", "syscall", "add rbx, rax", "dec r12", "jnz 2b", "hlt");
code!(followed_calls: "2:", "lea rax, [r12 + 0x100]", "syscall", "cmp rax, -4095", "jae 3f", "add rbx, rax", "3:", "dec r12", "jnz 2b", "hlt");
code!(returning_call: "2:", "lea rax, [r12 + 0x100]", "call 9f", "add rbx, rax", "dec r12", "jnz 2b", "hlt", "nop", "9:", "syscall", "ret", ".balign 16");
code!(target_behind_call: "xor eax, eax", "jmp 3f", "2:", "lea rax, [r12 + 0x100]", "syscall", "3:", "add rbx, rax", "dec r12", "jns 2b", "hlt");

code!(target_behind_call_and_nop: "xor eax, eax", "jmp 3f", "2:", "lea rax, [r12 + 0x100]", "syscall", "3:", "add rbx, rax", "dec r12", "jns 2b", "hlt",
    ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0");
code!(target_behind_call_and_short_nop: "xor eax, eax", "jmp 3f", "2:", "lea rax, [r12 + 0x100]", "syscall", "3:", "add rbx, rax",
    ".byte 0x0f, 0x1f, 0x80, 0, 0, 0, 0", "dec r12", "jns 2b", "hlt");

/// Runs calls until the guest halts, answering with the call's number plus one. Returns how many calls came by signals.
fn serve(guest: &Guest, context: &mut UserContext) -> u64 {
    let (mut by_signal, mut calls) = (0, 0);
    loop {
        match context.run(&guest.space) {
            Trap::Syscall => {
                by_signal += u64::from(!context.partial && context.exit_rip == 0);
                let (number, arguments) = context.call();
                // As a kernel does that looks at all registers now and then.
                calls += 1;
                if calls % 3 == 0 {
                    let regs = *context.regs();
                    assert_eq!((regs.rcx, regs.r11), (regs.rip, regs.rflags));
                    assert!((guest.text..guest.text + PAGE).contains(&regs.rip));
                    assert_eq!((number, arguments[0]), (regs.rax, regs.rdi));
                }
                context.set_result(number + 1);
            }
            Trap::Timer => {}
            Trap::Exception(exception) => {
                assert_eq!((exception.signal, exception.trapno), (libc::SIGSEGV, 13));
                return by_signal;
            }
            other => panic!("{other:?} at {:#x}", context.regs().rip - guest.text),
        }
    }
}

#[test]
fn rewritten_sites_give_the_same_results_without_signals() {
    for (code, patchable) in [
        (numbered_calls(), true),
        (followed_calls(), true),
        (returning_call(), true),
        (target_behind_call(), false),
        (target_behind_call_and_nop(), true),
        // This one is executed.
        (target_behind_call_and_short_nop(), true),
    ] {
        let guest = Guest::new(code);
        let mut context = guest.context();
        context.regs_mut().r12 = MANY;
        let first = serve(&guest, &mut context);
        let mut again = guest.context();
        again.regs_mut().r12 = MANY;
        let second = serve(&guest, &mut again);
        let rbx = context.regs().rbx;
        assert_eq!(rbx, again.regs().rbx);
        assert!(rbx != 0);
        if patchable {
            assert!(0 < first && first < MANY, "{first} calls trapped");
            assert_eq!(second, 0);
        } else {
            assert!(second >= MANY);
        }
    }
}

#[test]
fn a_context_that_waits_in_a_call_goes_on_behind_a_site_rewritten_meanwhile() {
    let guest = Guest::new(followed_calls());
    let mut waits = guest.context();
    waits.regs_mut().r12 = 1;
    assert_eq!(waits.run(&guest.space), Trap::Syscall);
    let mut other = guest.context();
    other.regs_mut().r12 = MANY;
    serve(&guest, &mut other);
    // `rip` is in the middle of the jump now.
    waits.regs_mut().rax = 77;
    serve(&guest, &mut waits);
    assert_eq!(waits.regs().rbx, 77);
}

#[test]
fn a_call_through_a_rewritten_site_can_be_made_again() {
    for code in [numbered_calls(), followed_calls()] {
        let guest = Guest::new(code);
        let mut context = guest.context();
        context.regs_mut().r12 = MANY;
        serve(&guest, &mut context);
        let mut context = guest.context();
        context.regs_mut().r12 = 1;
        assert_eq!(context.run(&guest.space), Trap::Syscall);
        let trapped = *context.regs();
        context.restart_syscall(trapped.rax);
        assert_eq!(context.run(&guest.space), Trap::Syscall);
        assert_eq!(*context.regs(), trapped);
    }
}

code!(red_zone: "2:", "mov [rsp - 8], r12", "mov [rsp - 128], r12", "mov eax, 39", "syscall",
    "cmp [rsp - 8], r12", "jne 3f", "cmp [rsp - 128], r12", "jne 3f", "dec r12", "jnz 2b", "hlt", "3:", "ud2");

#[test]
fn the_red_zone_is_left_alone() {
    let guest = Guest::new(red_zone());
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    serve(&guest, &mut context);
}

#[test]
fn the_stack_pointer_may_be_anything() {
    for rsp in [0, 1, 0xffff_ffff_ffff_ffff, 0x8000_0000_0000] {
        let guest = Guest::new(numbered_calls());
        let mut context = guest.context();
        context.regs_mut().r12 = MANY;
        context.regs_mut().rsp = rsp;
        serve(&guest, &mut context);
        assert_eq!(context.regs().rsp, rsp);
    }
}

code!(store: "mov [rsi], rax", "ud2");
code!(load: "mov rax, [rsi]", "ud2");
code!(jump: "jmp rsi");

#[test]
fn faults_tell_the_address_and_the_access() {
    let run = |code: &[u8], addr: Option<u64>| {
        let guest = Guest::new(code);
        let mut context = guest.context();
        context.regs_mut().rsi = addr.unwrap_or(guest.text);
        let trap = context.run(&guest.space);
        let regs = context.regs();
        assert!(regs.rip == guest.text || regs.rip == regs.rsi);
        (trap, guest.text)
    };
    let fault = |addr, access, present| Trap::PageFault(Fault { addr, access, present });
    assert_eq!(run(store(), Some(0)).0, fault(0, Access::Write, false));
    assert_eq!(run(load(), Some(8)).0, fault(8, Access::Read, false));
    assert_eq!(run(jump(), Some(0x1234_5000)).0, fault(0x1234_5000, Access::Execute, false));
    let (trap, text) = run(store(), None);
    // The host may not have looked at the page yet.
    let Trap::PageFault(Fault { addr, access: Access::Write, .. }) = trap else {
        panic!("{trap:?}")
    };
    assert_eq!(addr, text);
    let Trap::Exception(exception) = run(load(), Some(1 << 63)).0 else { panic!("no exception") };
    assert_eq!((exception.signal, exception.trapno), (libc::SIGSEGV, 13));
    // An address that belongs to nobody, above the boundary.
    let wild = 0x7fff_ffff_e000;
    assert_eq!(run(jump(), Some(wild)).0, fault(wild, Access::Execute, false));
}

code!(breakpoint: "int3");
code!(divide: "xor ecx, ecx", "xor edx, edx", "div ecx");
code!(int80: "mov eax, 20", "int 0x80");
code!(step: "push 0x302", "popfq", "nop", "nop");

#[test]
fn exceptions_tell_their_vector_and_signal() {
    for (code, signal, trapno) in [
        (breakpoint(), libc::SIGTRAP, 3),
        (divide(), libc::SIGFPE, 0),
        (int80(), libc::SIGSEGV, 13),
        (step(), libc::SIGTRAP, 1),
    ] {
        let guest = Guest::new(code);
        let mut context = guest.context();
        let Trap::Exception(exception) = context.run(&guest.space) else { panic!("no exception") };
        assert_eq!((exception.signal, exception.trapno), (signal, trapno));
    }
}

#[test]
fn a_context_with_the_trap_flag_executes_one_instruction() {
    let guest = Guest::new(&[0x90; 16]);
    let mut context = guest.context();
    context.regs_mut().rflags |= 1 << 8;
    for count in 1..4 {
        let trap = context.run(&guest.space);
        assert!(matches!(trap, Trap::Exception(Exception { trapno: 1, .. })), "{trap:?}");
        assert_eq!(context.regs().rip, guest.text + count);
    }
}

#[test]
fn a_rip_outside_of_guest_memory_is_a_fault() {
    let guest = Guest::new(one_call());
    for rip in [BOUNDARY, 1 << 47, u64::MAX] {
        let mut context = guest.context();
        context.regs_mut().rip = rip;
        let expected = Fault { addr: rip, access: Access::Execute, present: false };
        assert_eq!(context.run(&guest.space), Trap::PageFault(expected));
    }
}

code!(hostile_flags: "2:", "pushfq", "or qword ptr [rsp], 0x40400", "popfq", "mov eax, 39", "syscall",
    "pushfq", "pop rbx", "dec r12", "jnz 2b", "hlt");

#[test]
fn the_kernel_never_runs_with_the_direction_or_alignment_flag() {
    let guest = Guest::new(hostile_flags());
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    for _ in 0..MANY {
        assert_eq!(context.run(&guest.space), Trap::Syscall);
        let flags: u64;
        // SAFETY: reads the flags.
        unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
        assert_eq!(flags & entry::KERNEL_HOSTILE_FLAGS, 0);
        assert_eq!(context.regs().rflags & 0x40400, 0x40400);
    }
    serve(&guest, &mut context);
    assert_eq!(context.regs().rbx & 0x40400, 0x40400);
}

code!(calls_then_spins: "2:", "mov eax, 1", "syscall", "dec r12", "jns 2b", "3:", "jmp 3b");
code!(spin: "2:", "inc rbx", "jmp 2b");

#[test]
fn a_guest_that_never_calls_is_interrupted_by_the_timer() {
    let guest = Guest::new(spin());
    let mut context = guest.context();
    let mut last = 0;
    for _ in 0..3 {
        assert_eq!(context.run(&guest.space), Trap::Timer);
        assert!(context.regs().rbx > last);
        last = context.regs().rbx;
    }
}

#[test]
fn a_deadline_interrupts_a_guest_that_never_calls_sooner_than_the_tick() {
    const ROUNDS: u64 = 20;
    let guest = Guest::new(spin());
    let mut context = guest.context();
    let began = crate::time::thread_cpu();
    for _ in 0..ROUNDS {
        let deadline = crate::time::monotonic() + 1_000_000;
        preempt_at(deadline);
        // Later than what is set already: changes nothing.
        preempt_at(deadline + 60_000_000_000);
        loop {
            assert_eq!(context.run(&guest.space), Trap::Timer);
            if crate::time::monotonic() >= deadline {
                break;
            }
        }
        assert!(take_need_resched());
    }
    // A millisecond of CPU time each, some more where the signal finds the host busy; five by the tick alone.
    let used = crate::time::thread_cpu() - began;
    assert!(used < ROUNDS * 4_500_000, "{used} ns");
}

#[test]
fn a_deadline_that_has_passed_interrupts_at_once() {
    let guest = Guest::new(spin());
    let mut context = guest.context();
    let began = crate::time::thread_cpu();
    for _ in 0..20 {
        // The signal comes before the guest is entered; it comes once more then.
        preempt_at(0);
        assert_eq!(context.run(&guest.space), Trap::Timer);
        assert!(take_need_resched());
    }
    let used = crate::time::thread_cpu() - began;
    assert!(used < 50_000_000, "{used} ns");
}

#[test]
fn a_kick_before_the_run_is_reported_once() {
    let guest = Guest::new(one_call());
    let mut context = guest.context();
    context.kicker().kick();
    context.kicker().kick();
    assert_eq!(context.run(&guest.space), Trap::Interrupted);
    assert_eq!(context.regs().rip, guest.text);
    assert_eq!(context.run(&guest.space), Trap::Syscall);
}

#[test]
fn no_kick_of_another_thread_is_lost() {
    const KICKS: u64 = 1000;
    for code in [spin(), numbered_calls()] {
        let guest = Guest::new(code);
        let mut context = guest.context();
        context.regs_mut().r12 = u64::MAX;
        let kicker = context.kicker();
        let seen = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for kick in 0..KICKS {
                    kicker.kick();
                    while seen.load(Ordering::Acquire) <= kick {
                        thread::yield_now();
                    }
                }
            });
            while seen.load(Ordering::Relaxed) < KICKS {
                match context.run(&guest.space) {
                    Trap::Interrupted => {
                        seen.fetch_add(1, Ordering::Release);
                        if context.regs().rbx.is_multiple_of(3) {
                            context.suspend();
                        }
                    }
                    Trap::Syscall | Trap::Timer => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
}

#[test]
fn threads_run_one_space_at_once_while_its_sites_are_rewritten() {
    for code in [numbered_calls(), followed_calls(), returning_call()] {
        for _ in 0..10 {
            let guest = Guest::new(code);
            let sums: Vec<u64> = thread::scope(|scope| {
                let run = |n: u64| {
                    let guest = &guest;
                    move || {
                        let mut context = guest.context();
                        context.regs_mut().rsp -= n * 512;
                        context.regs_mut().r12 = 300;
                        serve(guest, &mut context);
                        context.regs().rbx
                    }
                };
                let threads = [scope.spawn(run(0)), scope.spawn(run(1)), scope.spawn(run(2))];
                threads.map(|thread| thread.join().unwrap()).to_vec()
            });
            assert!(sums.iter().all(|sum| *sum == sums[0] && *sum != 0), "{sums:?}");
        }
    }
}

#[test]
fn a_guest_interrupted_at_any_point_goes_on_unharmed() {
    let guest = Guest::new(followed_calls());
    let mut context = guest.context();
    context.regs_mut().r12 = 200_000;
    let kicker = context.kicker();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                kicker.kick();
                thread::sleep(Duration::from_micros(20));
            }
        });
        loop {
            match context.run(&guest.space) {
                Trap::Syscall => context.set_result(context.call().0 + 1),
                Trap::Exception(_) => break,
                _ => {
                    assert!((guest.text..guest.text + PAGE).contains(&context.regs().rip));
                    // As a signal handler's return does, forget how the guest was left.
                    (context.exit_rip, context.resume) = (0, 0);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let expected: u64 = (1..=200_000u64).map(|n| n + 0x101).sum();
    assert_eq!(context.regs().rbx, expected);
}

code!(thread_pointer: "2:", "mov rbx, fs:[0]", "mov eax, 39", "syscall", "cmp rbx, fs:[0]", "jne 3f", "dec r12", "jnz 2b", "hlt", "3:", "ud2");

#[test]
fn the_guest_has_a_thread_pointer_of_its_own() {
    let guest = Guest::new(thread_pointer());
    guest.space.write(guest.data + 64, &0xfeed_u64.to_le_bytes()).unwrap();
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    assert!(!context.set_fs_base(1 << 63));
    assert!(context.set_fs_base(guest.data + 64));
    serve(&guest, &mut context);
    let rbx = context.regs().rbx;
    assert_eq!((rbx, context.fs_base()), (0xfeed, guest.data + 64));
}

code!(own_thread_pointer: "2:", "wrfsbase rdi", "add rdi, 8", "mov eax, 39", "syscall", "dec r12", "jnz 2b", "hlt");

#[test]
fn a_thread_pointer_that_the_guest_sets_itself_is_kept() {
    if !worker::has_fsgsbase() {
        return;
    }
    let guest = Guest::new(own_thread_pointer());
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    serve(&guest, &mut context);
    assert_eq!(context.fs_base(), guest.data + 8 * (MANY - 1));
}

code!(vectors:
    // Load: zmm0-31 and k1-7 from the data.
    "vmovdqu64 zmm0, [rdi]", "vmovdqu64 zmm1, [rdi + 0x40]", "vmovdqu64 zmm7, [rdi + 0x80]",
    "vmovdqu64 zmm15, [rdi + 0xc0]", "vmovdqu64 zmm16, [rdi + 0x100]", "vmovdqu64 zmm17, [rdi + 0x140]",
    "vmovdqu64 zmm24, [rdi + 0x180]", "vmovdqu64 zmm31, [rdi + 0x1c0]",
    "kmovq k1, [rdi]", "kmovq k7, [rdi + 8]", "fld qword ptr [rdi + 16]",
    "2:", "mov eax, 39", "syscall", "dec r12", "jnz 2b",
    "vmovdqu64 [rsi], zmm0", "vmovdqu64 [rsi + 0x40], zmm1", "vmovdqu64 [rsi + 0x80], zmm7",
    "vmovdqu64 [rsi + 0xc0], zmm15", "vmovdqu64 [rsi + 0x100], zmm16", "vmovdqu64 [rsi + 0x140], zmm17",
    "vmovdqu64 [rsi + 0x180], zmm24", "vmovdqu64 [rsi + 0x1c0], zmm31",
    "kmovq [rsi + 0x200], k1", "kmovq [rsi + 0x208], k7", "fstp qword ptr [rsi + 0x210]",
    "hlt");

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512bw")
}

/// A context that will keep vectors made from `seed` across `calls` calls.
fn vector_context(guest: &Guest, seed: u64, calls: u64) -> UserContext {
    let from = guest.data + seed * 0x1000;
    let bytes: Vec<u8> = (0..0x200u64).map(|i| (i * 31 + seed * 7 + 1) as u8 & 0x7f).collect();
    guest.space.write(from, &bytes).unwrap();
    let mut context = guest.context();
    let regs = context.regs_mut();
    (regs.rdi, regs.rsi, regs.r12) = (from, from + 0x800, calls);
    context
}

fn check_vectors(guest: &Guest, seed: u64) {
    let from = guest.data + seed * 0x1000;
    let (mut before, mut after) = ([0; 0x200], [0; 0x218]);
    guest.space.read(from, &mut before).unwrap();
    guest.space.read(from + 0x800, &mut after).unwrap();
    assert!(before == after[..0x200], "vector registers of {seed} changed");
    assert!(before[..24] == after[0x200..], "opmasks or x87 of {seed} changed");
}

/// What kernels do: allocate, clear, copy, compare, format.
fn kernel_work() -> usize {
    let mut map = HashMap::new();
    let mut zeroed = vec![0u8; 100_000];
    zeroed[5] = 1;
    let copy = zeroed.clone();
    let mut growing = Vec::new();
    for i in 0..3000 {
        growing.push(i as u8);
    }
    map.insert(format!("{:?}", &growing[..20]), copy == zeroed);
    map.len() + growing.iter().rposition(|byte| *byte == 1).unwrap_or(0)
}

#[test]
fn vector_state_survives_calls_and_kernel_work() {
    if !has_avx512() {
        return;
    }
    let guest = Guest::new(vectors());
    for seed in 0..3 {
        let mut context = vector_context(&guest, seed, MANY * 2);
        while context.run(&guest.space) == Trap::Syscall {
            std::hint::black_box(kernel_work());
        }
        check_vectors(&guest, seed);
    }
}

code!(calls_with_vectors:
    "vmovdqu ymm0, [rdi]", "vmovdqu ymm7, [rdi + 0x20]", "vmovdqu ymm15, [rdi + 0x40]", "fld qword ptr [rdi + 16]", "mov rbp, fs:[0]",
    "2:", "mov eax, 39", "syscall", "add rbx, rax", "cmp rbp, fs:[0]", "jne 3f", "dec r12", "jnz 2b",
    "vmovdqu [rsi], ymm0", "vmovdqu [rsi + 0x20], ymm7", "vmovdqu [rsi + 0x40], ymm15", "fstp qword ptr [rsi + 0x60]",
    "hlt", "3:", "ud2");

#[test]
fn a_guest_that_moves_to_a_stub_between_calls_notices_nothing() {
    if !is_x86_feature_detected!("avx") {
        return;
    }
    let calls = MANY * 2;
    for moves_before in [calls + 1, 0, 1, MANY, calls - 1] {
        let guest = Guest::new(calls_with_vectors());
        let bytes: Vec<u8> = (0..0x60).map(|i| i * 2 + 1).collect();
        guest.space.write(guest.data, &bytes).unwrap();
        let mut context = guest.context();
        assert!(context.set_fs_base(guest.data));
        (context.regs_mut().rsi, context.regs_mut().r12) = (guest.data + 0x800, calls);
        let mut made = 0;
        loop {
            if made == moves_before {
                guest.space.isolate().unwrap();
            }
            match context.run(&guest.space) {
                Trap::Syscall => {
                    made += 1;
                    std::hint::black_box(kernel_work());
                    context.set_result(7);
                }
                Trap::Timer => {}
                Trap::Exception(exception) if exception.signal == libc::SIGSEGV => break,
                other => panic!("{other:?} after {made} calls, moved before {moves_before}"),
            }
        }
        assert_eq!(guest.space.is_isolated(), ISOLATED.get() || moves_before <= calls);
        assert_eq!((made, context.regs().rbx), (calls, 7 * calls));
        let mut after = [0; 0x68];
        guest.space.read(guest.data + 0x800, &mut after).unwrap();
        assert_eq!((&bytes[..], &bytes[16..24]), after.split_at(0x60), "{moves_before}");
    }
}

#[test]
fn contexts_that_share_a_thread_keep_their_vector_state_apart() {
    if !has_avx512() {
        return;
    }
    let guest = Guest::new(vectors());
    let plain = Guest::new(numbered_calls());
    let mut contexts: Vec<_> = (0..4).map(|seed| vector_context(&guest, seed, MANY * 2)).collect();
    let mut innocent = plain.context();
    innocent.regs_mut().r12 = u64::MAX;
    for round in 0..MANY * 2 + 1 {
        for context in &mut contexts {
            context.run(&guest.space);
            if round % 3 == 0 {
                context.suspend();
            }
        }
        innocent.run(&plain.space);
    }
    for seed in 0..4 {
        check_vectors(&guest, seed);
    }
    let mut frame = Vec::new();
    innocent.save_xstate(&mut frame);
    assert!(frame[576..frame.len() - 4].iter().all(|byte| *byte == 0), "state of others");
}

#[test]
fn a_context_moves_to_another_thread_after_it_was_suspended() {
    if !has_avx512() {
        return;
    }
    let guest = Guest::new(vectors());
    let mut context = vector_context(&guest, 0, MANY);
    for _ in 0..MANY {
        context = thread::scope(|scope| {
            let guest = &guest;
            scope
                .spawn(move || {
                    assert_eq!(context.run(&guest.space), Trap::Syscall);
                    kernel_work();
                    context.suspend();
                    context
                })
                .join()
                .unwrap()
        });
    }
    serve(&guest, &mut context);
    check_vectors(&guest, 0);
}

#[test]
fn signal_frames_carry_the_vector_state() {
    if !has_avx512() {
        return;
    }
    let guest = Guest::new(vectors());
    let mut context = vector_context(&guest, 0, 2);
    assert_eq!(context.run(&guest.space), Trap::Syscall);
    let mut frame = vec![0xee; 3];
    context.save_xstate(&mut frame);
    let frame = frame.split_off(3);
    assert_eq!(frame.len(), UserContext::xsave_size());
    assert_eq!(&frame[464..468], 0x4650_5853u32.to_le_bytes());
    assert_eq!(&frame[frame.len() - 4..], 0x4650_5845u32.to_le_bytes());
    // A handler that uses the registers otherwise, then the return from it.
    let saved = (*context.regs(), context.mxcsr);
    context.reset_xstate();
    context.regs_mut().rip = guest.text;
    context.regs_mut().rdi = guest.data + 0x3000;
    assert_eq!(context.run(&guest.space), Trap::Syscall);
    context.restore_xstate(&frame).unwrap();
    assert_eq!(context.mxcsr, saved.1);
    *context.regs_mut() = saved.0;
    serve(&guest, &mut context);
    check_vectors(&guest, 0);
}

#[test]
fn hostile_signal_frames_are_refused_or_harmless() {
    let guest = Guest::new(numbered_calls());
    let mut context = guest.context();
    context.regs_mut().r12 = u64::MAX;
    let mut frame = Vec::new();
    context.save_xstate(&mut frame);
    let poke = |at: usize, byte: u8| {
        let mut bad = frame.clone();
        bad[at] = byte;
        bad
    };
    assert_eq!(context.restore_xstate(&frame[..511]), Err(BadXstate));
    assert_eq!(context.restore_xstate(&[]), Err(BadXstate));
    assert_eq!(context.restore_xstate(&poke(27, 0xff)), Err(BadXstate), "mxcsr");
    assert_eq!(context.restore_xstate(&poke(520, 1)), Err(BadXstate), "xcomp_bv");
    // Whatever else is in it, the guest can be entered afterwards.
    let mut random = 1u64;
    for _ in 0..2000 {
        let mut bad = frame.clone();
        for _ in 0..8 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (random >> 33) as usize % bad.len();
            bad[at] = (random >> 20) as u8;
        }
        let _ = context.restore_xstate(&bad);
        let trap = context.run(&guest.space);
        assert!(matches!(trap, Trap::Syscall | Trap::Timer), "{trap:?}");
    }
}

code!(rounding: "ldmxcsr [rdi]", "2:", "mov eax, 39", "syscall", "stmxcsr [rdi + 4]", "dec r12", "jnz 2b", "hlt");

#[test]
fn rounding_mode_and_flags_of_the_guest_are_not_the_kernels() {
    let guest = Guest::new(rounding());
    let theirs = 0x7f80u32; // towards zero
    guest.space.write(guest.data, &theirs.to_le_bytes()).unwrap();
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    for _ in 0..MANY {
        assert_eq!(context.run(&guest.space), Trap::Syscall);
        assert_eq!(std::hint::black_box(1.0f64) / 3.0, 1.0 / 3.0);
    }
    serve(&guest, &mut context);
    assert_eq!(
        guest.u64_at(guest.data) >> 32,
        u64::from(theirs),
        "no flag of the kernel's division"
    );
}

#[test]
fn a_duplicate_has_the_same_registers_and_its_own_kicker() {
    let guest = Guest::new(numbered_calls());
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    for _ in 0..MANY - 1 {
        context.run(&guest.space);
    }
    let mut child = context.duplicate();
    child.kicker().kick();
    assert_eq!(child.regs(), context.regs());
    assert_eq!(context.run(&guest.space), Trap::Syscall);
    assert_eq!(child.run(&guest.space), Trap::Interrupted);
    assert_eq!(child.run(&guest.space), Trap::Syscall);
    assert_eq!(child.regs().rip, context.regs().rip);
}

/// The same tests with guests in stubs: nothing above may know the difference.
macro_rules! in_a_stub {
    ($($test:ident),+ $(,)?) => {
        mod in_a_stub {
            $(
                #[test]
                fn $test() {
                    super::ISOLATED.set(true);
                    super::$test();
                }
            )+
        }
    };
}

in_a_stub!(
    a_call_brings_all_registers_and_takes_them_back,
    a_call_through_a_rewritten_site_can_be_made_again,
    a_context_moves_to_another_thread_after_it_was_suspended,
    a_context_that_waits_in_a_call_goes_on_behind_a_site_rewritten_meanwhile,
    a_context_with_the_trap_flag_executes_one_instruction,
    a_deadline_interrupts_a_guest_that_never_calls_sooner_than_the_tick,
    a_deadline_that_has_passed_interrupts_at_once,
    a_duplicate_has_the_same_registers_and_its_own_kicker,
    a_guest_interrupted_at_any_point_goes_on_unharmed,
    a_guest_that_moves_to_a_stub_between_calls_notices_nothing,
    a_guest_that_never_calls_is_interrupted_by_the_timer,
    a_kick_before_the_run_is_reported_once,
    a_rip_outside_of_guest_memory_is_a_fault,
    a_thread_pointer_that_the_guest_sets_itself_is_kept,
    contexts_that_share_a_thread_keep_their_vector_state_apart,
    exceptions_tell_their_vector_and_signal,
    faults_tell_the_address_and_the_access,
    hostile_signal_frames_are_refused_or_harmless,
    no_kick_of_another_thread_is_lost,
    rewritten_sites_give_the_same_results_without_signals,
    rounding_mode_and_flags_of_the_guest_are_not_the_kernels,
    signal_frames_carry_the_vector_state,
    the_guest_has_a_thread_pointer_of_its_own,
    the_kernel_never_runs_with_the_direction_or_alignment_flag,
    the_red_zone_is_left_alone,
    the_stack_pointer_may_be_anything,
    threads_run_one_space_at_once_while_its_sites_are_rewritten,
    vector_state_survives_calls_and_kernel_work,
);
