//! Text that a debugger holds.

use super::*;

/// The trap flag.
const TRAP_FLAG: u64 = 1 << 8;

/// Runs the guest's calls once; how many of them came by signals.
fn round(guest: &Guest) -> u64 {
    let mut context = guest.context();
    context.regs_mut().r12 = MANY;
    serve(guest, &mut context)
}

/// Goes through three of the guest's calls instruction by instruction; how many it has made.
fn step(guest: &Guest) -> u64 {
    let mut context = guest.context();
    context.regs_mut().r12 = 3;
    let mut calls = 0;
    loop {
        context.regs_mut().rflags |= TRAP_FLAG;
        match context.run(&guest.space) {
            Trap::Exception(exception) if exception.signal == libc::SIGTRAP => {
                assert!((guest.text..guest.text + PAGE).contains(&context.regs().rip));
            }
            Trap::Syscall => {
                calls += 1;
                context.regs_mut().rax += 1;
                context.leave_site();
            }
            Trap::Timer | Trap::Interrupted => {}
            _ => return calls,
        }
    }
}

fn hold() {
    for code in [numbered_calls(), followed_calls(), returning_call()] {
        let guest = Guest::new(code);
        round(&guest);
        assert_eq!(round(&guest), 0, "it is rewritten");
        guest.space.hold_text();
        guest.space.hold_text();
        assert_eq!(round(&guest), MANY);
        assert_eq!(step(&guest), 3);
        guest.space.release_text();
        assert_eq!(round(&guest), MANY, "somebody holds it still");
        guest.space.release_text();
        assert!(round(&guest) < MANY);
        assert_eq!(round(&guest), 0);
    }
}

#[test]
fn held_text_is_the_guests_own_and_can_be_stepped_through() {
    hold();
}

#[test]
fn held_text_of_an_isolated_guest_is_its_own_too() {
    ISOLATED.set(true);
    hold();
}
