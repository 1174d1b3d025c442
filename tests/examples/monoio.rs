//! A program of monoio with its io_uring driver: a conversation over a Unix socket, timers, and what is cancelled.
//! It prints the same natively and inside.

use std::{error::Error, time::Duration};

use monoio::{
    IoUringDriver, RuntimeBuilder,
    io::{AsyncReadRent, AsyncWriteRentExt, CancelableAsyncReadRent, Canceller},
    net::{ListenerOpts, UnixListener, UnixStream},
    time,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new().enable_timer().build()?;
    runtime.block_on(async {
        conversation().await?;
        timers().await;
        cancelled().await
    })
}

async fn conversation() -> Result<()> {
    let options = ListenerOpts::default().reuse_port(false);
    let listener = UnixListener::bind_with_config("socket", &options)?;
    let server = monoio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut total = 0;
        loop {
            let (read, buffer) = stream.read(vec![0; 8192]).await;
            match read? {
                0 => return std::io::Result::Ok(total),
                count => {
                    total += count;
                    let (written, _) = stream.write_all(buffer[..count].to_vec()).await;
                    written?;
                }
            }
        }
    });
    let mut stream = UnixStream::connect("socket").await?;
    let mut heard = 0;
    for round in 0..50 {
        let (written, sent) = stream.write_all(vec![round; 100]).await;
        written?;
        let (read, buffer) = stream.read(vec![0; 8192]).await;
        heard += usize::from(buffer[..read?] == sent[..]);
    }
    drop(stream);
    println!("heard: {heard}, served: {}", server.await?);
    Ok(())
}

async fn timers() {
    let start = std::time::Instant::now();
    let sleeps = (0..3).map(|number| {
        monoio::spawn(async move {
            time::sleep(Duration::from_millis(10 * (3 - number))).await;
            number
        })
    });
    for sleep in sleeps.collect::<Vec<_>>() {
        println!("slept: {}", sleep.await);
    }
    println!("long enough: {}", start.elapsed() >= Duration::from_millis(30));
    let late = time::timeout(Duration::from_millis(10), time::sleep(Duration::from_secs(60)));
    println!("late: {}", late.await.is_err());
}

async fn cancelled() -> Result<()> {
    let (mut one, _other) = UnixStream::pair()?;
    let canceller = Canceller::new();
    let handle = canceller.handle();
    let canceling = monoio::spawn(async move {
        time::sleep(Duration::from_millis(10)).await;
        canceller.cancel();
    });
    let (read, _) = one.cancelable_read(vec![0; 8], handle).await;
    println!("cancelled: {:?}", read.map_err(|error| error.raw_os_error()));
    canceling.await;
    Ok(())
}
