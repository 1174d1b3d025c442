//! Drops calls in every state that they can be in, and sees that nothing is lost.
//!
//! `drops [COUNT [SEED]]`: 64 tasks begin calls of all kinds, wait for a while or not at all, and drop most of them. In between each task sees
//! that what it has is still as it should be: that bytes arrive which nobody was reading for any more, and that no call that was dropped writes to
//! a buffer that has been used again since.

#[path = "common/random.rs"]
mod random;

use std::{cell::Cell, env, future::Future, io, pin::pin, rc::Rc, time::Duration};

use futures::{FutureExt, future::join_all};
use libos_guest::{
    Builder, arena,
    fs::{self, File},
    net::{BufferGroup, UnixStream},
    pipe, sleep, timeout, yield_now,
};
use random::Random;

const TASKS: u64 = 64;

/// What has become of the calls.
#[derive(Default)]
struct Ends {
    done: Cell<u64>,
    dropped: Cell<u64>,
}

impl Ends {
    /// Runs a call to some point, and drops it there.
    async fn cut<F: Future>(&self, random: &mut Random, call: F) -> Option<F::Output> {
        let mut call = pin!(call);
        let output = match random.below(8) {
            // Not begun, or begun and not handed over yet.
            0 => None,
            1 => call.as_mut().now_or_never(),
            // Handed over, perhaps.
            2 | 3 => {
                let mut output = call.as_mut().now_or_never();
                for _ in 0..random.below(4) {
                    if output.is_none() {
                        yield_now().await;
                        output = call.as_mut().now_or_never();
                    }
                }
                output
            }
            // On its way, or about to end.
            _ => timeout(Duration::from_micros(random.below(300)), call).await.ok(),
        };
        let count = if output.is_some() { &self.done } else { &self.dropped };
        count.set(count.get() + 1);
        output
    }
}

/// One task: as many calls as there are left.
async fn disturb(
    mut random: Random,
    left: &Cell<u64>,
    ends: &Ends,
    group: &BufferGroup,
) -> io::Result<()> {
    let (idle, _idle) = UnixStream::pair()?;
    let (here, there) = UnixStream::pair()?;
    let (reader, writer) = pipe()?;
    let (mut written, mut read) = (0_u64, 0_u64);
    while let Some(fewer) = left.get().checked_sub(1) {
        left.set(fewer);
        match random.below(9) {
            0 => drop(ends.cut(&mut random, idle.read(vec![0; 100])).await),
            1 => drop(ends.cut(&mut random, idle.read_picked(group)).await),
            2 => {
                let call = async { idle.read(arena(1000).await?).await.0 };
                drop(ends.cut(&mut random, call).await);
            }
            3 => drop(ends.cut(&mut random, File::open("/etc/passwd")).await),
            4 => drop(ends.cut(&mut random, fs::metadata("/etc/passwd")).await),
            5 => drop(ends.cut(&mut random, sleep(Duration::from_micros(50))).await),
            6 => {
                // Numbers come in order and whole, though the reader before was dropped, and may have taken one with it.
                drop(ends.cut(&mut random, reader.read(vec![0; 8])).await);
                written += 1;
                writer.write_all(written.to_ne_bytes().to_vec()).await.0?;
                let next = timeout(Duration::from_millis(2), reader.read(vec![0; 8])).await;
                if let Ok((result, buffer)) = next {
                    result?;
                    let number = buffer.try_into().map(u64::from_ne_bytes).unwrap_or(0);
                    assert!(read < number && number <= written, "{number} came after {read}");
                    read = number;
                }
            }
            7 => {
                let call = async {
                    there.read_picked(group).await.map(|bytes| bytes.map(|bytes| bytes.len()))
                };
                drop(ends.cut(&mut random, call).await);
                here.write_all("x").await.0?;
                // Whoever reads, it does not stay.
                drop(timeout(Duration::from_millis(2), there.read(vec![0; 1000])).await);
            }
            _ => {
                // A buffer that was lent, and was dropped with its call, is used again by nobody before the call is over.
                drop(ends.cut(&mut random, idle.read(arena(512).await?)).await);
                let mut mine = arena(512).await?;
                let mark = random.below(256) as u8;
                mine.as_mut_slice().fill(mark);
                yield_now().await;
                assert!(mine.as_slice().iter().all(|&byte| byte == mark), "somebody wrote here");
            }
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut words = env::args().skip(1).map(|word| word.parse().map_err(io::Error::other));
    let (count, seed) = (words.next().unwrap_or(Ok(100_000))?, words.next().unwrap_or(Ok(1))?);
    let open = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let ends = Rc::new(Ends::default());
    // Few enough places and bytes that tasks have to wait for them.
    let mut runtime = Builder::new().operations(128).arena(64 << 10).build()?;
    let before = open()?;
    runtime.block_on(async {
        let (left, group) = (Cell::new(count), BufferGroup::new(8, 512)?);
        let random = |task| Random(((seed + 1) * 0x9E37_79B9_7F4A_7C15) ^ (task + 1));
        let tasks = (0..TASKS).map(|task| disturb(random(task), &left, &ends, &group));
        join_all(tasks).await.into_iter().collect::<io::Result<()>>()?;
        // Until the last cancelled ones are over.
        for _ in 0..200 {
            if open()? == before {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(io::Error::other(format!("{} descriptors are left over", open()? - before)))
    })?;
    drop(runtime);
    assert_eq!(ends.done.get() + ends.dropped.get(), count, "each call has an end");
    eprintln!("{} ended, {} were dropped", ends.done.get(), ends.dropped.get());
    println!("{count} calls, nothing lost");
    Ok(())
}
