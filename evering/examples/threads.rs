//! Two threads: one asks, one answers, and a hundred operations are under way at a time.
//!
//!     cargo run --release -p evering --example threads

use std::{error::Error, thread};

use evering::{
    RecvError,
    driver::{LocalDriver, Server, Tagged},
    peer::{self, Peer},
    region::{Keeper, Options},
};
use futures::future::try_join_all;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What is asked and answered. It fits in an entry, so no buffer is needed.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    number: u64,
}

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

/// Squares numbers until nobody asks any more.
fn serve(peer: Peer<Message, Message>) {
    let mut waiter = peer.link.waiter();
    let mut server = Server::new(peer.receiver, peer.sender).with_ringer(peer.link.ringer());
    let mut square = |request: Message| {
        Some(Message { number: request.number.wrapping_mul(request.number), ..request })
    };
    // Looks for requests, spins a while if there are none, and then sleeps until the other side rings.
    while waiter.wait(None, || match server.serve(&mut square) {
        Ok(0) => None,
        Ok(count) => Some(Ok(count)),
        Err(end) => Some(Err(end)),
    }) != Some(Err(RecvError::Closed))
    {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let (client, server) = peer::pair::<Message, Message>(&Options::new().arena(0))?;
    let server = thread::spawn(|| serve(server));

    let mut waiter = client.link.waiter();
    let driver =
        LocalDriver::<_, _, (), Keeper, Keeper>::local(client.sender, client.receiver, 100)
            .with_ringer(client.link.ringer())
            .batching();
    let tasks = (0..100).map(|task| {
        let driver = &driver;
        async move {
            let mut sum = 0;
            for number in (task..100_000).step_by(100) {
                // Waits for a place if too many are under way, and then for the answer.
                let operation = driver.submit(Message { id: 0, number }, ()).await;
                let (answer, ()) = operation
                    .map_err(|_| RecvError::Closed)?
                    .await
                    .map_err(|_| RecvError::Closed)?;
                sum += answer.number;
            }
            Ok::<u64, RecvError>(sum)
        }
    });
    // Any executor will do that calls `turn` now and then; this one is for a thread that has nothing else to do.
    let sums = driver.block_on(&mut waiter, try_join_all(tasks))?;
    let sum: u64 = sums.into_iter().sum();
    println!("the squares of all numbers below 100000 add up to {sum}");
    assert_eq!(sum, (0..100_000).map(|n| n * n).sum());

    drop(driver);
    server.join().map_err(|_| "the server has panicked")?;
    Ok(())
}
