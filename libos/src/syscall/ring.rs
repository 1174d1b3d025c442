//! The calls of this kernel's own rings; what they are says [`libos_guest::abi`].
//!
//! The one idea: to enter a ring without waiting is a call like any other that ends at once, and costs no future.

use libos_guest::abi::Setup;

use crate::{
    errno::{Errno, SysResult},
    process::{Current, Thread},
    ring::Evering,
    syscall::{
        argument::{Fd, Flags, UserPtr},
        poll,
    },
    timer::Timespec,
    vfs::OpenFile,
};

/// `ring_setup`
pub(crate) fn ring_setup(thread: &Thread, setup: UserPtr<Setup>) -> SysResult<Fd> {
    let mut wanted = setup.read(&thread.memory)?;
    let ring = Evering::create(thread, &mut wanted)?;
    setup.write(&thread.memory, &wanted)?;
    poll::open(thread, ring, linux_raw_sys::general::O_CLOEXEC)
}

fn ring(file: &OpenFile) -> SysResult<&Evering> {
    file.downcast::<Evering>().ok_or(Errno::EOPNOTSUPP)
}

/// `ring_enter`, unless it has to wait
pub(crate) fn ring_enter_at_once(
    thread: &Thread,
    fd: Fd,
    wanted: u32,
    flags: Flags,
    _: UserPtr<Timespec>,
) -> Option<SysResult> {
    if flags.0 != 0 {
        return Some(Err(Errno::EINVAL));
    }
    // A reference of its own: what is in the ring may close the descriptor.
    match thread.files.get(fd).and_then(|file| ring(&file)?.enter(thread)) {
        Ok(there) if there < wanted as usize => None,
        result => Some(result),
    }
}

/// `ring_enter`
pub(crate) async fn ring_enter(
    thread: &Thread,
    fd: Fd,
    wanted: u32,
    _: Flags,
    timeout: UserPtr<Timespec>,
) -> SysResult {
    let timeout = poll::read_timeout(thread, timeout)?;
    let until = timeout.map(|timeout| hal::time::monotonic().saturating_add(timeout));
    let file = thread.files.get(fd)?;
    ring(&file)?.wait(thread, wanted as usize, until).await
}

/// `ring_park`
pub(crate) async fn ring_park(
    current: &mut Current,
    fd: Fd,
    wanted: u32,
    timeout: UserPtr<Timespec>,
) -> SysResult {
    if let Some(result) = ring_enter_at_once(current.thread(), fd, wanted, Flags(0), timeout) {
        return result;
    }
    current.context.discard_xstate();
    ring_enter(current.thread(), fd, wanted, Flags(0), timeout).await
}
