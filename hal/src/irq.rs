//! Interrupt lines, as streams of events.
//!
//! A [`Line`] is what a device raises and a driver awaits. As on hardware, events coalesce: a stream item says how many were raised
//! since the last, and while the line is disabled they are latched. Host descriptors ([`Line::from_fd`]) and
//! host signals ([`HostSignals`]) are devices too. zCore's `irq_enable` is [`Line::enable`], its `irq_handle` the next item of the stream.

use std::{
    ffi::c_int,
    fmt,
    future::Future,
    io,
    os::fd::{AsRawFd, OwnedFd},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::Stream;
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;

use crate::{
    raw_call::syscall4,
    reactor::{Ready, Watch},
    sync::Call,
};

/// An interrupt line. Clones are the same line: one for the device, one for the driver.
#[derive(Clone)]
pub struct Line(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    name: String,
    /// The host descriptor that raises it.
    watch: OnceLock<Watch>,
}

struct State {
    pending: u64,
    enabled: bool,
    /// The device has not taken its request back.
    asserted: bool,
    waker: Option<Waker>,
}

impl Line {
    /// A line that [`Line::raise`] raises; enabled. The name is for messages.
    pub fn new(name: impl Into<String>) -> Self {
        Line(Arc::new(Shared {
            state: Mutex::new(State { pending: 0, enabled: true, asserted: false, waker: None }),
            name: name.into(),
            watch: OnceLock::new(),
        }))
    }

    /// A line that is raised whenever the host descriptor becomes readable; see [`Watch`] for edges.
    pub fn from_fd(name: impl Into<String>, fd: OwnedFd) -> io::Result<Self> {
        let line = Line::new(name);
        // Weak: the line owns the watch.
        let weak = Arc::downgrade(&line.0);
        let watch = Watch::new(fd, move |ready: Ready| {
            if let Some(shared) = weak.upgrade().filter(|_| ready.readable) {
                Line(shared).raise();
            }
        })?;
        // Set once, here.
        let _ = line.0.watch.set(watch);
        Ok(line)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Raises it: one more event.
    pub fn raise(&self) {
        let mut state = self.0.state.lock();
        state.pending = state.pending.saturating_add(1);
        let waker = if state.enabled { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Raises it and leaves it so, for those who look at its level, until [`Line::deassert`].
    pub fn assert(&self) {
        self.0.state.lock().asserted = true;
        self.raise();
    }

    /// Takes the request back; an event that waits to be handled stays.
    pub fn deassert(&self) {
        self.0.state.lock().asserted = false;
    }

    /// Whether it has been asserted and not been deasserted.
    pub fn is_asserted(&self) -> bool {
        self.0.state.lock().asserted
    }

    /// Lets events through, those latched meanwhile too.
    pub fn enable(&self) {
        let mut state = self.0.state.lock();
        state.enabled = true;
        let waker = if state.pending > 0 { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Latches events from now on.
    pub fn disable(&self) {
        self.0.state.lock().enabled = false;
    }

    /// Whether events are let through.
    pub fn is_enabled(&self) -> bool {
        self.0.state.lock().enabled
    }

    /// How many events wait to be handled.
    pub fn pending(&self) -> u64 {
        self.0.state.lock().pending
    }

    /// Waits for events; gives how many there were, at least 1. One driver at a time: of several, the one that waited last
    /// is woken.
    pub async fn handle(&self) -> u64 {
        std::future::poll_fn(|cx| self.poll_handle(cx)).await
    }

    fn poll_handle(&self, cx: &mut Context<'_>) -> Poll<u64> {
        let mut state = self.0.state.lock();
        if state.enabled && state.pending > 0 {
            return Poll::Ready(std::mem::take(&mut state.pending));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// Never ends.
impl Stream for Line {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        self.poll_handle(cx).map(Some)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("Line")
            .field("name", &self.0.name)
            .field("pending", &state.pending)
            .field("enabled", &state.enabled)
            .finish()
    }
}

/// Signals that the host sent, one bit each, not yet handed on.
static CAUGHT: AtomicU64 = AtomicU64::new(0);
/// The eventfd that the handler writes to; -1 before there is one. Never closed.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// Signals of the host to this process (a Ctrl-C at the terminal, a `kill`, a changed window), as a stream of their numbers.
///
/// Of several of the same number before a look one is left, as with standard signals anywhere.
#[derive(Debug)]
pub struct HostSignals {
    wanted: u64,
}

/// Who waits for a signal of the host.
static WAITERS: Mutex<Vec<Waker>> = Mutex::new(Vec::new());

impl HostSignals {
    /// Catches these signals (1 to 64) from now on, for good; those that the process ignores stay ignored, as under
    /// nohup(1). Two streams of the same signal would share its events.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a signal that cannot be caught.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let mut wanted = 0;
        for &signal in signals {
            let bit = u32::try_from(signal).ok().and_then(|n| 1u64.checked_shl(n.checked_sub(1)?));
            let bit = bit.ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
            // SAFETY: all zeroes is a sigaction; the host reads and writes one each; the handler has the signature of one
            // without SA_SIGINFO and only makes raw calls.
            let result = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let mut old: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(signal, std::ptr::null(), &raw mut old) == 0
                    && old.sa_sigaction == libc::SIG_IGN
                {
                    continue;
                }
                action.sa_sigaction = note_signal as extern "C" fn(c_int) as usize;
                action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
                libc::sigfillset(&raw mut action.sa_mask);
                libc::sigaction(signal, &raw const action, std::ptr::null_mut())
            };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            wanted |= bit;
        }
        Ok(HostSignals { wanted })
    }

    /// Waits for the next; gives its number.
    pub async fn next_signal(&self) -> i32 {
        std::future::poll_fn(|cx| self.poll_signal(cx)).await
    }

    fn poll_signal(&self, cx: &mut Context<'_>) -> Poll<i32> {
        if let Some(signal) = self.take() {
            return Poll::Ready(signal);
        }
        if let Err(error) = start_bell() {
            log::error!("signals of the host are not noticed: {error}");
        }
        let mut waiters = WAITERS.lock();
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        drop(waiters);
        // A signal before the registration may have woken nobody.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Polls `future` on the calling thread until it is done and calls `on_signal` for each signal meanwhile. Needs no
    /// reactor, so it is the cheap way for a main thread that has nothing else to do. One thread at a time gets
    /// signals so; another in this call gets none.
    pub(crate) fn block_on<F: Future>(
        &self,
        future: F,
        mut on_signal: impl FnMut(i32),
    ) -> F::Output {
        static BUSY: Mutex<()> = Mutex::new(());
        let Some(_alone) = BUSY.try_lock() else { return crate::cpu::block_on(future) };
        let waker = Waker::from(Arc::new(CallBack));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            // Before the looks: what comes after them sets it again, and then the sleep below does not begin.
            LOOK.answer();
            while let Some(signal) = self.take() {
                on_signal(signal);
            }
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            LOOK.wait();
        }
    }

    fn take(&self) -> Option<i32> {
        let caught = CAUGHT.load(Ordering::SeqCst) & self.wanted;
        let first = (caught != 0).then(|| caught.trailing_zeros())?;
        CAUGHT.fetch_and(!(1 << first), Ordering::SeqCst);
        Some(first as i32 + 1)
    }
}

/// For the thread in [`HostSignals::block_on`].
static LOOK: Call = Call::new();

struct CallBack;

impl Wake for CallBack {
    fn wake(self: Arc<Self>) {
        LOOK.call();
    }
}

/// Makes the eventfd that the handler writes to, once.
fn start_bell() -> io::Result<()> {
    static WATCH: Mutex<Option<Watch>> = Mutex::new(None);
    let mut watch = WATCH.lock();
    if watch.is_none() {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let bell = OwnedFd::from(bell);
        let number = bell.as_raw_fd();
        *watch = Some(Watch::new(bell, |_| {
            let waiters = std::mem::take(&mut *WAITERS.lock());
            waiters.into_iter().for_each(Waker::wake);
        })?);
        BELL.store(number, Ordering::SeqCst);
    }
    Ok(())
}

/// Never ends.
impl Stream for HostSignals {
    type Item = i32;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<i32>> {
        self.poll_signal(cx).map(Some)
    }
}

/// May interrupt a guest with its thread-local variables live: raw calls only.
extern "C" fn note_signal(signal: c_int) {
    CAUGHT.fetch_or(1 << (signal - 1), Ordering::SeqCst);
    LOOK.call();
    let bell = BELL.load(Ordering::SeqCst);
    if bell < 0 {
        return;
    }
    let one: u64 = 1;
    // SAFETY: write reads 8 bytes of a live integer. Each write is an edge, which is all that is needed of it; when
    // the counter is full, at 2^64 - 2, the call fails and the edges have long been seen.
    unsafe { syscall4(libc::SYS_write, bell as usize, &raw const one as usize, 8, 0) };
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Write, pipe},
        time::Duration,
    };

    use futures::StreamExt;

    use super::*;
    use crate::{
        cpu::block_on,
        time::{sleep, timeout},
    };

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(10);

    #[test]
    fn events_coalesce() {
        let mut line = Line::new("test");
        (0..3).for_each(|_| line.raise());
        assert_eq!(block_on(line.next()), Some(3));
        assert!(block_on(timeout(SOON, line.handle())).is_err());
    }

    #[test]
    fn a_level_lasts_until_it_is_taken_back() {
        let line = Line::new("test");
        assert!(!line.is_asserted());
        line.assert();
        assert_eq!(block_on(line.handle()), 1);
        assert!(line.is_asserted() && line.pending() == 0);
        line.raise();
        line.deassert();
        assert!(!line.is_asserted() && line.pending() == 1);
    }

    #[test]
    fn a_disabled_line_latches() {
        let line = Line::new("test");
        line.disable();
        line.raise();
        assert!(block_on(timeout(SOON, line.handle())).is_err());
        assert_eq!((line.pending(), line.is_enabled()), (1, false));
        let device = line.clone();
        let enabler = std::thread::spawn(move || {
            std::thread::sleep(SOON);
            device.enable();
        });
        assert_eq!(block_on(timeout(LATE, line.handle())), Ok(1));
        enabler.join().unwrap();
    }

    #[test]
    fn a_host_descriptor_raises_its_line() {
        let (reader, mut writer) = pipe().unwrap();
        let line = Line::from_fd("pipe", reader.into()).unwrap();
        assert!(block_on(timeout(SOON, line.handle())).is_err());
        for _ in 0..2 {
            writer.write_all(b"x").unwrap();
            assert!(block_on(timeout(LATE, line.handle())).is_ok());
        }
    }

    #[test]
    fn host_signals_become_events() {
        let mut signals = HostSignals::catch(&[libc::SIGWINCH, libc::SIGURG]).unwrap();
        assert!(HostSignals::catch(&[libc::SIGKILL]).is_err());
        assert!(HostSignals::catch(&[0]).is_err() && HostSignals::catch(&[1000]).is_err());
        for signal in [libc::SIGWINCH, libc::SIGURG, libc::SIGWINCH] {
            // SAFETY: touches no memory.
            unsafe { libc::kill(libc::getpid(), signal) };
            assert_eq!(block_on(timeout(LATE, signals.next())), Ok(Some(signal)));
        }
        assert!(block_on(timeout(SOON, signals.next())).is_err());

        let mut seen = Vec::new();
        let sender = std::thread::spawn(|| {
            for signal in [libc::SIGURG, libc::SIGWINCH] {
                std::thread::sleep(SOON);
                // SAFETY: touches no memory.
                unsafe { libc::kill(libc::getpid(), signal) };
            }
        });
        signals.block_on(sleep(5 * SOON), |signal| seen.push(signal));
        sender.join().unwrap();
        signals.block_on(std::future::ready(()), |signal| seen.push(signal));
        assert_eq!(seen, [libc::SIGURG, libc::SIGWINCH]);
    }
}
