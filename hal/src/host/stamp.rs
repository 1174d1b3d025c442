//! File times in virtual time.
//!
//! The one idea: the host's kernel stamps what is changed with its own clock, which is behind then; so each change is followed by the stamp
//! that the guests' clock has. Times of attribute changes cannot be set, and what is written through mappings is not noticed.

use std::os::fd::RawFd;

use super::{HostNode, Timestamp};
use crate::time;

/// The time that a change made now is to have, if it is not the host's.
fn now() -> Option<Timestamp> {
    if !time::is_virtual() {
        return None;
    }
    let (sec, nsec) = time::Clock::Realtime.now_split();
    Some(Timestamp { sec: i64::try_from(sec).unwrap_or(i64::MAX), nsec: nsec as u32 })
}

/// What the descriptor is of has been changed.
#[inline]
pub(super) fn modified(fd: RawFd) {
    if let Some(now) = now() {
        let path = format!("/proc/self/fd/{fd}\0");
        let mtime = libc::timespec { tv_sec: now.sec, tv_nsec: i64::from(now.nsec) };
        let times = [libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT }, mtime];
        // SAFETY: the path is a C string, and two timespecs are what is read. A file of somebody else's keeps the host's time.
        unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr().cast(), times.as_ptr(), 0) };
    }
}

/// The file has just been made.
pub(super) fn made(node: &HostNode) {
    if let Some(now) = now() {
        // It is ours, so it can only be gone.
        let _ = node.set_times(Some(now), Some(now));
    }
}
