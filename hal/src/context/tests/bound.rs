//! Where the host runs the thread of a guest that is isolated.

use super::*;
use crate::{
    cpu::{Config, Cpus},
    host,
    stub::affinity::Allowed,
};

fn allowed(context: &UserContext) -> Allowed {
    context.seat.as_ref().unwrap().seat.allowed()
}

#[test]
fn a_guest_is_bound_to_its_workers_cpu_while_no_other_is_idle_and_it_makes_calls() {
    ISOLATED.set(true);
    let guest = Guest::new(calls_then_spins());
    let count = host::system::online_cpus();
    let cpus = Cpus::start(Config { cpus: count, ..Config::default() }).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    for cpu in 1..count {
        let done = done.clone();
        let busy = async move {
            while !done.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        };
        cpus.spawn_on(cpu, busy).detach();
    }
    let task = cpus.spawn_on(0, async move {
        let mut context = guest.context();
        context.regs_mut().r12 = u64::MAX >> 1;
        assert_eq!(context.run(&guest.space), Trap::Syscall);
        assert_eq!(allowed(&context), Allowed::All);
        // Many, since the host may have kept it from its CPU meanwhile.
        let is_bound = (0..10_000).any(|_| {
            assert_eq!(context.run(&guest.space), Trap::Syscall);
            matches!(allowed(&context), Allowed::Only(_))
        });
        assert!(is_bound);
        context.regs_mut().r12 = 0;
        let kicker = context.kicker();
        let later = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            kicker.kick();
        });
        assert_eq!(context.run(&guest.space), Trap::Interrupted);
        assert_eq!(allowed(&context), Allowed::All, "it has run for long without a call");
        later.join().unwrap();
    });
    cpus.block_on(task);
    done.store(true, Ordering::Relaxed);
    cpus.shutdown();
}
