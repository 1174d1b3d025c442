//! The runtime on this host, with each backend that it has: the same programs do the same.

use std::{
    cell::Cell,
    future::Future,
    io::{self, Read, Write},
    net::Shutdown,
    pin::Pin,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use futures::{
    channel::{mpsc, oneshot},
    future::{FutureExt, join_all},
    stream::StreamExt,
};
use libos_guest::{
    Builder, Either, Kind, Runtime, arena,
    fs::{self, File, FileType, OpenOptions},
    net::{BufferGroup, TcpListener, TcpStream, UnixListener, UnixStream},
    pipe, race, select, sleep, spawn, time, timeout, yield_now,
};

/// Long enough for anything that happens at all.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(5);

type Test<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// Runs a test with each backend that is there, as `builder` says.
fn each_as(builder: &Builder, test: impl Fn() -> Test<'static>) {
    for kind in [Kind::IoUring, Kind::Epoll] {
        let mut runtime = match builder.clone().backend(kind).build() {
            Ok(runtime) => runtime,
            Err(_) if kind == Kind::IoUring => continue, // not every host has it
            Err(error) => panic!("{kind}: {error}"),
        };
        let result = runtime.block_on(timeout(LONG, test()));
        let result = result.unwrap_or_else(|error| panic!("{kind}: {error}"));
        result.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

fn each(test: impl Fn() -> Test<'static>) {
    each_as(&Builder::new(), test);
}

#[test]
fn files_are_made_written_read_and_described() {
    each(|| {
        Box::pin(async {
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("a");
            let file = File::create(&path).await?;
            let (result, buffer) = file.write_all("hello ".to_owned()).await;
            result?;
            assert_eq!(buffer, "hello ");
            file.write_all(b"world".to_vec()).await.0?;
            file.write_at("J", 0).await.0?;
            file.sync_data().await?;
            file.sync_all().await?;
            assert_eq!(file.metadata().await?.len(), 11);
            file.close().await?;
            assert_eq!(fs::read(&path).await?, b"Jello world");

            let file = File::open(&path).await?;
            let (result, buffer) = file.read(Vec::with_capacity(5)).await;
            assert_eq!((result?, &*buffer), (5, &b"Jello"[..]));
            let (result, buffer) = file.read(buffer).await;
            assert_eq!((result?, &*buffer), (5, &b" worl"[..]));
            let (result, buffer) = file.read_at(arena(100).await?, 6).await;
            assert_eq!((result?, buffer.as_slice()), (5, &b"world"[..]));
            let (result, buffer) = file.read_at(buffer, 11).await;
            assert_eq!((result?, buffer.as_slice()), (0, &b""[..]));
            let error = file.write("x").await.0.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc_ebadf()));

            let again = OpenOptions::new().write(true).create_new(true).open(&path).await;
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            let append = OpenOptions::new().append(true).open(&path).await?;
            append.write_all("!").await.0?;
            assert_eq!(fs::metadata(&path).await?.len(), 12);
            let missing = fs::metadata(directory.path().join("b")).await;
            assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(File::open("a\0b").await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            Ok(())
        })
    });
}

fn libc_ebadf() -> i32 {
    9
}

#[test]
fn directories_are_listed() {
    each(|| {
        Box::pin(async {
            let directory = tempfile::tempdir()?;
            std::fs::create_dir(directory.path().join("sub"))?;
            std::os::unix::fs::symlink("sub", directory.path().join("link"))?;
            let many = 2000;
            for index in 0..many {
                std::fs::write(directory.path().join(format!("a-file-of-number-{index}")), "")?;
            }
            let mut entries = fs::read_dir(directory.path()).await?;
            let mut files = 0;
            while let Some(entry) = entries.next().await? {
                let kind = fs::symlink_metadata(entry.path()).await?.file_type();
                assert_eq!(entry.file_type(), kind);
                match kind {
                    FileType::Directory => assert_eq!(entry.file_name(), "sub"),
                    FileType::Symlink => assert_eq!(entry.file_name(), "link"),
                    _ => files += 1,
                }
            }
            assert_eq!(files, many);
            Ok(())
        })
    });
}

#[test]
fn a_reader_waits_for_the_writer_of_a_pipe() {
    each(|| {
        Box::pin(async {
            let (reader, writer) = pipe()?;
            let read = spawn(async move {
                let mut all = Vec::new();
                let mut buffer = Vec::with_capacity(64 << 10);
                loop {
                    let (result, same) = reader.read(buffer).await;
                    buffer = same;
                    match result {
                        Ok(0) => return all,
                        Ok(_) => all.extend_from_slice(&buffer),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            sleep(SHORT).await;
            assert!(!read.is_finished());
            // More than a pipe holds.
            let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
            let (result, bytes) = writer.write_all(bytes).await;
            result?;
            writer.close().await?;
            assert!(read.await == bytes);
            Ok(())
        })
    });
}

#[test]
fn connections_of_both_families_carry_bytes_both_ways() {
    async fn serve(from: TcpOrUnix) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(1000);
        loop {
            let (result, filled) = from.read(buffer).await;
            if result? == 0 {
                return Ok(());
            }
            let (result, same) = from.write_all(filled).await;
            result?;
            buffer = same;
        }
    }

    async fn ask(to: TcpOrUnix, index: u8) -> io::Result<()> {
        for _ in 0..20 {
            to.write_all(vec![index; 500]).await.0?;
            let mut got = 0;
            while got < 500 {
                let (result, buffer) = to.read(Vec::with_capacity(500)).await;
                got += result?;
                assert!(!buffer.is_empty() && buffer.iter().all(|&byte| byte == index));
            }
        }
        to.shutdown(Shutdown::Write).await?;
        assert_eq!(to.read(Vec::with_capacity(1)).await.0?, 0);
        Ok(())
    }

    enum TcpOrUnix {
        Tcp(TcpStream),
        Unix(UnixStream),
    }

    impl TcpOrUnix {
        async fn read(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
            match self {
                Self::Tcp(stream) => stream.read(buffer).await,
                Self::Unix(stream) => stream.read(buffer).await,
            }
        }
        async fn write_all(&self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
            match self {
                Self::Tcp(stream) => stream.write_all(buffer).await,
                Self::Unix(stream) => stream.write_all(buffer).await,
            }
        }
        async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            match self {
                Self::Tcp(stream) => stream.shutdown(how).await,
                Self::Unix(stream) => stream.shutdown(how).await,
            }
        }
    }

    each(|| {
        Box::pin(async {
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("socket");
            let unix = UnixListener::bind(&path)?;
            let tcp = TcpListener::bind("127.0.0.1:0")?;
            let address = tcp.local_addr()?;
            spawn(async move {
                loop {
                    let next = TcpOrUnix::Unix(unix.accept().await.unwrap());
                    spawn(async { serve(next).await.unwrap() });
                }
            });
            spawn(async move {
                loop {
                    let next = TcpOrUnix::Tcp(tcp.accept().await.unwrap());
                    spawn(async { serve(next).await.unwrap() });
                }
            });
            let clients = (0..40_u8).map(|index| {
                let path = path.clone();
                async move {
                    let stream = if index % 2 == 0 {
                        let stream = TcpStream::connect(address).await?;
                        stream.set_nodelay(true)?;
                        assert_eq!(stream.peer_addr()?, address);
                        TcpOrUnix::Tcp(stream)
                    } else {
                        TcpOrUnix::Unix(UnixStream::connect(&path).await?)
                    };
                    ask(stream, index).await
                }
            });
            join_all(clients).await.into_iter().collect::<io::Result<()>>()?;
            drop(directory);
            assert_eq!(
                UnixStream::connect(path).await.unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
            Ok(())
        })
    });
}

#[test]
fn time_passes_and_the_first_wins() {
    each(|| {
        Box::pin(async {
            let begin = Instant::now();
            let sleeps = (0..5).map(|index| sleep(SHORT * index));
            join_all(sleeps).await;
            assert!(begin.elapsed() >= SHORT * 4);
            let never = std::future::pending::<()>();
            assert_eq!(timeout(SHORT, never).await, Err(time::Elapsed));
            assert_eq!(timeout(LONG, async { 3 }).await, Ok(3));
            assert_eq!(race(sleep(LONG), sleep(SHORT)).await, Either::Right(()));
            assert!(sleep(Duration::MAX).now_or_never().is_none());
            let first = select! {
                () = sleep(LONG) => 1,
                number = async { 2 } => number,
                () = std::future::pending() => 3,
            };
            assert_eq!(first, 2);
            // Two tasks that yield take turns.
            let turns = Rc::new(Cell::new(0));
            let other = spawn({
                let turns = Rc::clone(&turns);
                async move {
                    while turns.get() < 10 {
                        if turns.get() % 2 == 0 {
                            turns.set(turns.get() + 1);
                        }
                        yield_now().await;
                    }
                }
            });
            while turns.get() < 10 {
                if turns.get() % 2 == 1 {
                    turns.set(turns.get() + 1);
                }
                yield_now().await;
            }
            other.await;
            Ok(())
        })
    });
}

#[test]
fn a_dropped_read_takes_nothing() {
    each(|| {
        Box::pin(async {
            let (here, there) = UnixStream::pair()?;
            for round in 0..50_u8 {
                let read = timeout(Duration::from_micros(200), here.read(vec![0; 10])).await;
                assert!(read.is_err());
                if round % 2 == 0 {
                    sleep(Duration::from_millis(1)).await; // it has been cancelled by now
                    there.write_all(vec![round]).await.0?;
                    let (result, buffer) = here.read(vec![0; 10]).await;
                    assert_eq!((result?, buffer), (1, vec![round]));
                }
            }
            Ok(())
        })
    });
}

#[test]
fn many_idle_streams_share_few_buffers() {
    each(|| {
        Box::pin(async {
            let group = BufferGroup::new(4, 256)?;
            let (mut ours, mut tasks) = (Vec::new(), Vec::new());
            for index in 0..100_u8 {
                let (here, there) = UnixStream::pair()?;
                ours.push(here);
                let group = group.clone();
                tasks.push(spawn(async move {
                    let mut sum = 0;
                    while let Some(bytes) = there.read_picked(&group).await? {
                        assert!(bytes.iter().all(|&byte| byte == index));
                        sum += bytes.len();
                        // Some are kept for a while, so that the others have to wait.
                        if sum % 200 == 0 {
                            sleep(Duration::from_micros(100)).await;
                        }
                    }
                    io::Result::Ok(sum)
                }));
            }
            for _ in 0..10 {
                for (index, stream) in ours.iter().enumerate() {
                    stream.write_all(vec![index as u8; 100]).await.0?;
                }
            }
            // One that is dropped while it waits has no buffer.
            let (here, there) = UnixStream::pair()?;
            assert!(timeout(SHORT, there.read_picked(&group)).await.is_err());
            drop((here, ours));
            for task in tasks {
                assert_eq!(task.await?, 1000);
            }
            Ok(())
        })
    });
}

#[test]
fn those_beyond_the_limit_wait() {
    each_as(&Builder::new().operations(8).arena(4096), || {
        Box::pin(async {
            let pipes = (0..50).map(|_| pipe()).collect::<io::Result<Vec<_>>>()?;
            let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
            let writes = spawn(async move {
                for writer in &writers {
                    // Not through the ring, which the readers fill.
                    let mut writer: io::PipeWriter =
                        std::os::fd::AsFd::as_fd(writer).try_clone_to_owned()?.into();
                    writer.write_all(b"x")?;
                    yield_now().await;
                }
                io::Result::Ok(writers)
            });
            let reads = readers.iter().map(|reader| async {
                // The arena has room for four of them.
                let (result, buffer) = reader.read(arena(1000).await?).await;
                assert_eq!((result?, buffer.as_slice()), (1, &b"x"[..]));
                io::Result::Ok(())
            });
            join_all(reads).await.into_iter().collect::<io::Result<()>>()?;
            drop(writes.await?);
            Ok(())
        })
    });
}

#[test]
fn other_threads_wake_tasks() {
    each(|| {
        Box::pin(async {
            for round in 0..200 {
                let (sender, receiver) = oneshot::channel();
                let thread = thread::spawn(move || {
                    if round % 4 == 0 {
                        thread::sleep(Duration::from_micros(300));
                    }
                    sender.send(round).unwrap();
                });
                // In turn the main future and a task.
                let received = if round % 2 == 0 { receiver.await } else { spawn(receiver).await };
                assert_eq!(received, Ok(round));
                thread.join().unwrap();
            }
            Ok(())
        })
    });
}

#[test]
fn threads_have_a_runtime_each_and_talk() {
    let (sender, receiver) = mpsc::unbounded::<usize>();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let sums = Builder::new().threads(3).run(|index| {
        let sender = sender.clone();
        let receiver = (index == 0).then(|| receiver.lock().unwrap().take()).flatten();
        async move {
            match receiver {
                Some(receiver) => {
                    drop(sender);
                    receiver.take(200).fold(0, |sum, n| async move { sum + n }).await
                }
                None => {
                    for n in 0..100 {
                        sleep(Duration::from_micros(10)).await;
                        sender.unbounded_send(n).unwrap();
                    }
                    0
                }
            }
        }
    });
    assert_eq!(sums.unwrap(), [9900, 0, 0]);
}

#[test]
fn a_runtime_ends_with_calls_on_their_way() {
    struct Gone(Rc<Cell<bool>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    for kind in [Kind::IoUring, Kind::Epoll] {
        let Ok(mut runtime) = Builder::new().backend(kind).build() else { continue };
        let gone = Rc::new(Cell::new(false));
        let begin = Instant::now();
        let mut peer = runtime.block_on(async {
            let (reader, writer) = pipe().unwrap();
            let guard = Gone(Rc::clone(&gone));
            spawn(async move {
                let _guard = guard;
                reader.read(vec![0; 10]).await.0.unwrap();
            });
            spawn(std::future::pending::<()>());
            sleep(SHORT).await;
            let writer = std::os::fd::AsFd::as_fd(&writer).try_clone_to_owned().unwrap();
            io::PipeWriter::from(writer)
        });
        assert!(!gone.get());
        drop(runtime);
        assert!(gone.get());
        assert!(begin.elapsed() < Duration::from_millis(800), "{kind}: it was cancelled");
        // Nobody reads any more.
        assert_eq!(peer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_runtime_goes_on_where_it_was() {
    let mut runtime = Runtime::new().unwrap();
    let (task, mut peer) = runtime.block_on(async {
        let (reader, writer) = pipe().unwrap();
        let task = spawn(async move { reader.read(Vec::with_capacity(10)).await });
        yield_now().await;
        let writer = std::os::fd::AsFd::as_fd(&writer).try_clone_to_owned().unwrap();
        (task, io::PipeWriter::from(writer))
    });
    peer.write_all(b"later").unwrap();
    let (result, buffer) = runtime.block_on(task);
    assert_eq!((result.unwrap(), buffer), (5, b"later".to_vec()));
    let cancelled = runtime.block_on(async {
        let task = spawn(std::future::pending::<()>());
        yield_now().await;
        task.cancel().await
    });
    assert_eq!(cancelled, None);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    for operations in [0, 2, 5, 1 << 15] {
        let built = Builder::new().operations(operations).build();
        assert_eq!(built.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    let elsewhere = Builder::new().backend(Kind::Ring).build();
    assert_eq!(elsewhere.unwrap_err().kind(), io::ErrorKind::Unsupported);
    let mut runtime = Builder::new().arena(4096).build().unwrap();
    let too_large = runtime.block_on(arena(1 << 20));
    assert_eq!(too_large.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let mut buffer = runtime.block_on(arena(16)).unwrap();
    buffer.as_mut_slice().copy_from_slice(&[7; 16]);
    buffer.set_len(3);
    assert_eq!(buffer.as_slice(), [7; 3]);
    // It outlives its runtime.
    drop(runtime);
    assert_eq!(buffer.as_slice().bytes().count(), 3);
}
