//! What `--init` does: how long the machine runs, and what signals do to it.
//!
//! The one idea: the program is one service among others. Its end is not the machine's, which goes on while anything else runs and then says how the program
//! ended; and a SIGTERM, from the host or to process 1, ends all of it, the program first, as `docker stop` has it. tini and docker's `--init` end the
//! machine with the program; busybox's init never ends. Here a shell script may start daemons and leave.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::{Either, select};
use kernel_objects::WaitQueue;

use crate::{
    process::{ExitStatus, Process},
    signal::{SigInfo, SigSet, Signal},
};

/// How long processes have to end by themselves once all were told to.
const GRACE: Duration = Duration::from_secs(5);

/// Signals that mean an end to whoever gets them.
const ENDING: SigSet =
    SigSet::of(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM]);

/// Looks after a program and what it leaves.
pub(crate) struct Supervisor {
    init: Arc<Process>,
    program: Arc<Process>,
    /// The program was told to end.
    asked: AtomicBool,
    /// All were told to.
    ending: AtomicBool,
    changed: WaitQueue,
}

impl Supervisor {
    /// One for `program`, a child of `init`.
    pub(crate) fn new(init: Arc<Process>, program: Arc<Process>) -> Self {
        let (asked, ending) = Default::default();
        Self { init, program, asked, ending, changed: WaitQueue::new() }
    }

    /// A signal of the host, or one to process 1; `forward` passes it on to the program.
    pub(crate) fn signal(&self, signal: Signal, forward: impl FnOnce()) {
        let again = signal == Signal::SIGTERM && self.asked.swap(true, Ordering::Relaxed);
        if again || ENDING.contains(signal) && self.program.has_ended() {
            self.end_all();
        } else {
            forward();
        }
    }

    /// Tells all processes to end.
    fn end_all(&self) {
        self.ending.store(true, Ordering::Relaxed);
        for process in self.init.kernel.pids.processes() {
            if !process.is_init() {
                for signal in [Signal::SIGTERM, Signal::SIGCONT] {
                    // A standard signal needs no room in the queue.
                    let _ = process.send_signal(signal, SigInfo::kernel(signal));
                }
            }
        }
        self.changed.notify_all();
    }

    /// Waits until nothing runs any more, or everything has had time enough to end; how the program has. `ended` waits for the program, and `sent`
    /// is called for each signal to process 1.
    pub(crate) async fn run(
        &self,
        ended: impl Future<Output = ExitStatus>,
        sent: impl Fn(Signal),
    ) -> ExitStatus {
        let over = async {
            let status = ended.await;
            if self.asked.load(Ordering::Relaxed) {
                self.end_all();
            }
            self.init.all_gone().await;
            status
        };
        let late = async {
            let is_ending = || self.ending.load(Ordering::Relaxed).then_some(());
            self.changed.wait_until(is_ending).await;
            hal::time::sleep(GRACE).await;
        };
        let signals = async {
            loop {
                sent(self.init.next_signal().await);
            }
        };
        match select(pin!(over), select(pin!(late), pin!(signals))).await {
            Either::Left((status, _)) => status,
            Either::Right(_) => self.program.exit_status().unwrap_or(ExitStatus::KILLED),
        }
    }
}
