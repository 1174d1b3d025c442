//! A driver that is answered whatever comes, as often as it comes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arbitrary::Arbitrary;
use evering::{
    channel,
    driver::{LocalDriver, SubmitError, Tagged},
};
use futures::FutureExt;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::fuzz;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
}

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    Submit {
        deadline: bool,
    },
    Poll {
        which: u8,
    },
    Drop {
        which: u8,
    },
    Turn,
    Flush,
    /// Time passes.
    Expire {
        seconds: u8,
    },
    /// Takes requests.
    Take {
        count: u8,
    },
    /// Answers one that was taken, now or long ago, with some bits of its number wrong perhaps.
    Answer {
        which: u8,
        wrong: u8,
        bit: u8,
    },
    Invent {
        id: u64,
    },
    Close,
}

#[test]
fn a_driver_takes_any_answer_for_its_own_operations_only() {
    fuzz(|bytes| {
        let (requests, mut server_in) = channel::<Message>(8).expect("a power of two");
        let (server_out, answers) = channel::<Message>(8).expect("a power of two");
        let mut server_out = Some(server_out);
        let driver = LocalDriver::<Message, Message, Arc<()>>::local(requests, answers, 6)
            .with_cancel(|id| Message { id });
        let (lent, mut now) = (Arc::new(()), Instant::now());
        let (mut operations, mut taken) = (Vec::new(), Vec::new());
        let mut steps = || -> arbitrary::Result<()> {
            while !bytes.is_empty() {
                match bytes.arbitrary()? {
                    Step::Submit { deadline } => {
                        match driver.try_submit(Message { id: 0 }, lent.clone()) {
                            Ok(operation) if deadline => {
                                operations
                                    .push(operation.with_deadline(now + Duration::from_secs(9)));
                            }
                            Ok(operation) => operations.push(operation),
                            Err(SubmitError::Busy(..)) => {
                                assert!(driver.len() >= 6 || server_in.pending() == Ok(8))
                            }
                            Err(SubmitError::Lost(..)) => {}
                        }
                    }
                    Step::Poll { which } if !operations.is_empty() => {
                        let at = usize::from(which) % operations.len();
                        if (&mut operations[at]).now_or_never().is_some() {
                            drop(operations.swap_remove(at));
                        }
                    }
                    Step::Drop { which } if !operations.is_empty() => {
                        drop(operations.swap_remove(usize::from(which) % operations.len()));
                    }
                    Step::Poll { .. } | Step::Drop { .. } => {}
                    Step::Turn => drop(driver.turn()),
                    Step::Flush => drop(driver.flush()),
                    Step::Expire { seconds } => {
                        now += Duration::from_secs(seconds.into());
                        driver.expire(now);
                    }
                    Step::Take { count } => {
                        for _ in 0..count % 9 {
                            taken.extend(server_in.recv());
                        }
                    }
                    Step::Answer { which, wrong, bit } if !taken.is_empty() => {
                        let Message { id } = taken[usize::from(which) % taken.len()];
                        let id = if wrong % 4 == 0 { id ^ 1 << (bit % 64) } else { id };
                        let _ = server_out.as_mut().map(|out| out.send(Message { id }));
                    }
                    Step::Answer { .. } => {}
                    Step::Invent { id } => {
                        let _ = server_out.as_mut().map(|out| out.send(Message { id }));
                    }
                    Step::Close => drop(server_out.take()),
                }
            }
            Ok(())
        };
        let end = steps();
        // Whoever is still waited for is lost with the server, and what it was lent comes back.
        drop(server_out);
        while driver.turn().is_ok() {}
        for operation in operations {
            assert!(operation.now_or_never().is_some(), "it ends");
        }
        assert_eq!((driver.len(), Arc::strong_count(&lent)), (0, 1), "nothing is kept");
        end
    });
}
