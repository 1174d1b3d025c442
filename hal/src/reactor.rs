//! Host descriptors as interrupt sources.
//!
//! One thread, started at first use, runs a tokio runtime that does nothing but wait for the host's descriptors in
//! one `epoll`. The rest of the kernel sees futures ([`Readiness`]) and callbacks ([`Watch`]); a wake-up from here is one
//! from outside for a CPU, through its inbox. Descriptors that the host refuses to poll (regular
//! files, directories) are always ready, as poll(2) says.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::{
    io::{Interest, Ready as TokioReady, unix::AsyncFd},
    runtime::{Builder, Handle},
    task::AbortHandle,
};

/// What a descriptor can be ready for, or is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ready {
    /// A read would not wait: data, the end, or an error.
    pub readable: bool,
    /// A write would not wait: space, or an error.
    pub writable: bool,
    /// The other side is gone.
    pub hangup: bool,
    /// There is an error to fetch; a pipe without readers.
    pub error: bool,
}

impl Ready {
    /// Ready for reading.
    pub const READABLE: Self =
        Self { readable: true, writable: false, hangup: false, error: false };
    /// Ready for writing.
    pub const WRITABLE: Self =
        Self { readable: false, writable: true, hangup: false, error: false };

    /// What the descriptor is ready for now, by poll(2): one host call, which does not wait.
    pub fn now(fd: BorrowedFd<'_>) -> Self {
        let mut poll =
            libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd, and a timeout of 0.
        if unsafe { libc::poll(&raw mut poll, 1, 0) } < 0 {
            // Interrupted: whoever asks will ask again. Not ready is always a correct answer.
            return Self::default();
        }
        let has = |bits| poll.revents & bits != 0;
        Self {
            readable: has(libc::POLLIN | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL),
            writable: has(libc::POLLOUT | libc::POLLERR | libc::POLLNVAL),
            hangup: has(libc::POLLHUP),
            error: has(libc::POLLERR | libc::POLLNVAL),
        }
    }
}

static REACTOR: OnceLock<Result<Handle, String>> = OnceLock::new();

/// Waits until all have been told of what the host had for them when this was called: some ten microseconds. Not for callbacks, and not under locks that
/// those take.
pub fn catch_up() {
    let Some(Ok(handle)) = REACTOR.get() else { return };
    if Handle::try_current().is_ok() {
        // On the thread that would have to answer.
        return;
    }
    let (told, has_told) = mpsc::channel();
    handle.spawn(async move {
        // A task that yields goes on after a look at the descriptors, and after those whom that has woken.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        // Who waits for it is there.
        let _ = told.send(());
    });
    let _ = has_told.recv();
}

/// The reactor's runtime; started at the first call.
fn reactor() -> io::Result<&'static Handle> {
    let start = || -> io::Result<Handle> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handle = runtime.handle().clone();
        let (started, has_started) = mpsc::channel();
        // libc clears the new thread's memory with registers that may be a guest's.
        crate::context::release_registers();
        thread::Builder::new().name("reactor".into()).spawn(move || {
            // The receiver waits for this, so it is there.
            let _ = started.send(());
            runtime.block_on(std::future::pending::<()>());
        })?;
        has_started.recv().map_err(io::Error::other)?;
        Ok(handle)
    };
    REACTOR
        .get_or_init(|| start().map_err(|error| format!("no reactor: {error}")))
        .as_ref()
        .map_err(|error| io::Error::other(error.as_str()))
}

enum Source {
    Polled(AsyncFd<OwnedFd>),
    /// The host does not poll it: always ready.
    Always(OwnedFd),
}

impl Source {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let _runtime = reactor()?.enter();
        let interest = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and `AsyncFd` keeps it until it
        // has deregistered.
        match unsafe { AsyncFd::register_with_interest(fd, interest) } {
            Ok(polled) => Ok(Self::Polled(polled)),
            Err(error) => match error.into_parts() {
                (fd, error) if error.raw_os_error() == Some(libc::EPERM) => Ok(Self::Always(fd)),
                (_, error) => Err(error),
            },
        }
    }
}

/// A host descriptor whose readiness can be awaited, by any number of tasks at once.
///
/// It owns the descriptor; dropped, it leaves the reactor first. The descriptor need not be non-blocking.
pub struct Readiness(Source);

impl Readiness {
    /// Registers the descriptor. Errors are the host's.
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Source::new(fd.into()).map(Self)
    }

    /// Waits until a read would not wait. Another reader may be faster: try, and on `EAGAIN` wait again.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE, |ready| ready.readable).await
    }

    /// Waits until a write of something would not wait.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE, |ready| ready.writable).await
    }

    async fn ready(&self, interest: Interest, is_it: impl Fn(Ready) -> bool) -> io::Result<()> {
        let Source::Polled(polled) = &self.0 else { return Ok(()) };
        loop {
            let mut guard = polled.ready(interest).await?;
            // The host told of an edge, long ago maybe: the level is what counts. What comes after this look
            // survives the clearing, since that only clears what the guard has seen.
            if is_it(Ready::now(polled.get_ref().as_fd())) {
                return Ok(());
            }
            guard.clear_ready();
        }
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Source::Polled(polled) => polled.get_ref().as_fd(),
            Source::Always(fd) => fd.as_fd(),
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.as_fd()).finish()
    }
}

/// Calls back whenever a descriptor becomes ready for more than before (edges, as `EPOLLET` has them), until dropped.
///
/// Whoever then finds it not ready after all just waits for the next call; who looks *after* having asked to be told
/// misses nothing.
#[derive(Debug)]
pub struct Watch(Option<AbortHandle>);

impl Watch {
    /// Watches the descriptor, which it owns; give it a duplicate. The callback runs on the reactor's thread and must not block.
    /// It is called once soon after this, if anything is ready; never for what the host does not poll.
    pub fn new(
        fd: impl Into<OwnedFd>,
        on_ready: impl Fn(Ready) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let Source::Polled(polled) = Source::new(fd.into())? else { return Ok(Self(None)) };
        let task = reactor()?.spawn(async move {
            let (mut reads, mut writes) = (true, true);
            // In a direction that is closed nothing changes any more, and tokio would not let go of it.
            while let Some(interest) = interest(reads, writes)
                && let Ok(mut guard) = polled.ready(interest).await
            {
                let ready = guard.ready();
                guard.clear_ready();
                on_ready(from_tokio(ready));
                reads &= !ready.is_read_closed();
                writes &= !ready.is_write_closed();
            }
        });
        Ok(Self(Some(task.abort_handle())))
    }

    /// Whether it calls back at all: the host does not poll files, for which nobody has to wait.
    pub fn is_polled(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it calls back no more, since the descriptor was hung up in both directions when it looked last: so is a socket that is not connected.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(AbortHandle::is_finished)
    }
}

fn interest(reads: bool, writes: bool) -> Option<Interest> {
    match (reads, writes) {
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (false, false) => None,
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn from_tokio(ready: TokioReady) -> Ready {
    Ready {
        readable: ready.is_readable(),
        writable: ready.is_writable(),
        hangup: ready.is_read_closed(),
        error: ready.is_error(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write, pipe},
        sync::{Arc, mpsc},
        time::Duration,
    };

    use futures::future::join;

    use super::*;
    use crate::{
        cpu::{Config, Cpus, block_on},
        time::timeout,
    };

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(10);

    #[test]
    fn a_pipe_is_readable_while_it_has_data() {
        let (mut pipe_end, mut writer) = pipe().unwrap();
        let reader = Readiness::new(pipe_end.try_clone().unwrap()).unwrap();
        assert!(block_on(timeout(SOON, reader.readable())).is_err());
        writer.write_all(b"ab").unwrap();
        let mut byte = [0];
        for _ in 0..2 {
            // Level-triggered: half read is still readable.
            block_on(timeout(LATE, reader.readable())).unwrap().unwrap();
            pipe_end.read_exact(&mut byte).unwrap();
        }
        assert!(block_on(timeout(SOON, reader.readable())).is_err());
        drop(writer);
        block_on(timeout(LATE, reader.readable())).unwrap().unwrap();
    }

    #[test]
    fn several_tasks_wait_for_one_descriptor() {
        let cpus = Cpus::start(Config { cpus: 1, ..Config::default() }).unwrap();
        let (reader, mut writer) = pipe().unwrap();
        let reader = Arc::new(Readiness::new(reader).unwrap());
        let wait = || {
            let reader = reader.clone();
            cpus.spawn(async move { reader.readable().await.unwrap() })
        };
        let (a, b) = (wait(), wait());
        thread::sleep(SOON);
        writer.write_all(b"x").unwrap();
        block_on(timeout(LATE, join(a, b))).unwrap();
    }

    #[test]
    fn what_the_host_does_not_poll_is_always_ready() {
        for path in ["/etc/passwd", "/"] {
            let file = Readiness::new(File::open(path).unwrap()).unwrap();
            block_on(join(file.readable(), file.writable())).0.unwrap();
            assert!(!Watch::new(File::open(path).unwrap(), |_| ()).unwrap().is_polled());
        }
    }

    #[test]
    fn a_watch_calls_at_every_edge_and_not_after_its_drop() {
        let (reader, mut writer) = pipe().unwrap();
        let (sender, receiver) = mpsc::channel();
        let other = reader.try_clone().unwrap();
        let watch = Watch::new(other, move |ready| sender.send(ready).unwrap()).unwrap();
        for _ in 0..3 {
            writer.write_all(b"x").unwrap();
            assert!(receiver.recv_timeout(LATE).unwrap().readable);
        }
        assert!(receiver.recv_timeout(SOON).is_err());
        drop(watch);
        writer.write_all(b"x").unwrap();
        // The callback is dropped, and the sender with it.
        while receiver.recv_timeout(LATE).is_ok() {}
        drop(reader);
    }

    #[test]
    fn a_watch_goes_on_in_the_direction_that_is_open() {
        use std::{net::Shutdown, os::unix::net::UnixStream};

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (sender, receiver) = mpsc::channel();
        let watch = Watch::new(ours.try_clone().unwrap(), move |ready| {
            // Who has gone does not count.
            let _ = sender.send(ready);
        });
        let watch = watch.unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        while (&ours).write(&[0; 4096]).is_ok() {}
        // It was told of both, and of nothing again and again.
        let calls = std::iter::from_fn(|| receiver.recv_timeout(SOON).ok()).take(100).count();
        assert!((1..100).contains(&calls), "{calls}");
        while receiver.try_recv().is_ok() {}
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut [0; 4096]).is_ok() {}
        assert!(receiver.recv_timeout(LATE).unwrap().writable);
        assert!(!watch.is_over());
        drop(theirs);
        while !watch.is_over() {
            receiver.recv_timeout(LATE).ok();
        }
    }
}
