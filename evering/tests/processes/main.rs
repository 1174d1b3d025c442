//! What two processes do to each other. Each test forks its peers off this process, which therefore has one
//! thread when it does (beside the crate's own, which holds no lock then), and runs one test at a time.

mod hostile;
mod kill;
#[path = "../common/random.rs"]
mod random;
mod sizes;

use std::{os::unix::net::UnixStream, process, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trial = |name, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    let trials = vec![
        trial("a_message_of_every_size_crosses_at_different_addresses", sizes::round_trips),
        trial("a_hostile_peer_causes_errors_only", hostile::errors_only),
        trial("a_killed_peer_is_noticed_and_nothing_leaks", kill::nothing_leaks),
        trial("a_region_is_used_again_after_a_death", kill::a_region_has_many_lives),
        trial("a_reservation_dies_with_its_sender", kill::a_reservation_dies_with_its_sender),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// A process that was forked off; killed when it is dropped.
struct Child(Pid);

impl Child {
    /// Runs `run` in a process of its own, with the other end of the socket.
    fn new(run: impl FnOnce(UnixStream)) -> (Self, UnixStream) {
        let (here, there) = UnixStream::pair().expect("descriptors are left");
        // It would be a test that hangs otherwise.
        here.set_read_timeout(Some(Duration::from_secs(10))).expect("it is not zero");
        // SAFETY: no other thread of this process holds a lock that the child needs: see above.
        match unsafe { fork() }.expect("processes are left") {
            ForkResult::Parent { child } => (Child(child), here),
            ForkResult::Child => {
                drop(here);
                // Whatever it unwinds to is this test's main function, so it stops here.
                let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(there)));
                // SAFETY: it ends the process at once, without the parent's handlers at exit.
                unsafe { libc::_exit(i32::from(end.is_err())) }
            }
        }
    }

    fn kill(&self) {
        kill(self.0, Signal::SIGKILL).expect("it is our child");
    }

    /// Waits for its end; whether that was a good one.
    fn wait(self) -> bool {
        let status = waitpid(self.0, None).expect("it is our child");
        std::mem::forget(self);
        status == WaitStatus::Exited(status.pid().expect("it has ended"), 0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        waitpid(self.0, None).expect("it is our child");
    }
}

/// How many descriptors, mappings and threads this process has, once the thread that notices deaths has let go of the last.
fn possessions() -> [usize; 3] {
    std::thread::sleep(Duration::from_millis(200));
    let count = |path: &str| std::fs::read_dir(path).expect("proc is mounted").count();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("proc is mounted");
    // The allocator's are its own business.
    let regions = maps.lines().filter(|line| line.contains("memfd:evering")).count();
    [count("/proc/self/fd"), regions, count(&format!("/proc/{}/task", process::id()))]
}
