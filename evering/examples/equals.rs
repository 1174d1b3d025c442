//! Peers as equals: both ask and both answer, over the same two queues.
//!
//! The one rule is not to wait for room: who finds the queue full goes on receiving, or both could wait for each other.
//!
//!     cargo run --release -p evering --example equals

use std::{collections::VecDeque, error::Error, thread};

use evering::{
    RecvError, SendError,
    peer::{self, Peer},
    region::Options,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A question or an answer. Any value can come from a peer: what it means is checked when it is used.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    kind: u32,
    /// The asker's own number of the question.
    question: u32,
    number: u64,
}

const QUESTION: u32 = 1;
const ANSWER: u32 = 2;

const QUESTIONS: u32 = 10_000;

/// How many questions may be open at a time.
const OPEN: usize = 64;

/// Asks for the doubles of its numbers, and doubles those of the other side. Returns the sum of the answers.
fn talk(peer: Peer<Message, Message>, first: u64) -> Result<u64, String> {
    let Peer { mut sender, mut receiver, link, .. } = peer;
    let (mut waiter, ringer) = (link.waiter(), link.ringer());
    let mut outbox = VecDeque::new();
    let (mut asked, mut answered, mut served, mut sum) = (0, 0, 0, 0);
    while answered < QUESTIONS || served < QUESTIONS || !outbox.is_empty() {
        while asked < QUESTIONS && ((asked - answered) as usize) < OPEN {
            let number = first + u64::from(asked);
            outbox.push_back(Message { kind: QUESTION, question: asked, number });
            asked += 1;
        }
        while let Some(&message) = outbox.front() {
            match sender.send(message) {
                Ok(()) => outbox.pop_front(),
                Err(SendError::Full(_)) => break,
                Err(error) => return Err(error.to_string()),
            };
        }
        ringer.ring();
        // There is always something to wait for: an answer, a question, or both; and taking it makes room there.
        let news = waiter.wait(None, || match receiver.recv() {
            Err(RecvError::Empty) if !outbox.is_empty() && !sender.is_full() => Some(None),
            Err(RecvError::Empty) => None,
            other => Some(Some(other)),
        });
        match news.flatten() {
            Some(Ok(Message { kind: QUESTION, question, number })) => {
                served += 1;
                outbox.push_back(Message {
                    kind: ANSWER,
                    question,
                    number: number.wrapping_mul(2),
                });
            }
            Some(Ok(Message { kind: ANSWER, question, number })) if question < asked => {
                answered += 1;
                sum += number;
            }
            Some(Ok(_)) => return Err("the peer talks nonsense".into()),
            // The other side has all its answers and all our questions, and may go before we do.
            Some(Err(RecvError::Closed)) if answered == QUESTIONS && served == QUESTIONS => break,
            Some(Err(error)) => return Err(error.to_string()),
            None => {}
        }
    }
    Ok(sum)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (ours, theirs) = peer::pair::<Message, Message>(&Options::new().capacity(32).arena(0))?;
    let other = thread::spawn(|| talk(theirs, 1_000_000));
    let sum = talk(ours, 0)?;
    let theirs = other.join().map_err(|_| "the other side has panicked")??;
    println!("the answers add up to {sum} here and {theirs} there");
    let expected = |first: u64| (0..u64::from(QUESTIONS)).map(|n| 2 * (first + n)).sum::<u64>();
    assert_eq!((sum, theirs), (expected(0), expected(1_000_000)));
    Ok(())
}
