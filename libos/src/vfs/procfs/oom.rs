//! The files of /proc that tell how gladly a process would be killed when memory is short.
//!
//! The one idea: nobody is chosen here, since who gets no page is killed itself; what is written is kept, inherited and told, as service managers expect.

use std::sync::Arc;

use super::{node::What, process::Subject};
use crate::{
    errno::{Errno, SysResult},
    process::{OomAdjustment, Thread},
    vfs::Capabilities,
};

/// How much of a thousandth of an `oom_score_adj` one of `oom_adj` is: 17 are 1000.
const OLD_SCALE: i16 = 17;
/// The largest value of `oom_adj`, which stands for all there is.
const OLD_MAX: i16 = 15;

/// A file with a number of a process's, which may be written.
fn file(
    subject: &Subject,
    show: impl Fn(i16) -> i16 + Send + Sync + 'static,
    parse: impl Fn(i16) -> Option<i16> + Send + Sync + 'static,
) -> What {
    let (subject, again) = (subject.clone(), subject.clone());
    let text = move || {
        let now = subject.process()?.attributes.lock().oom.now;
        Ok(format!("{}\n", show(now)).into_bytes())
    };
    let sink = move |text: &[u8]| {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        set(&*again.thread()?, number.and_then(&parse).ok_or(Errno::EINVAL)?)
    };
    What::File(Arc::new(text), Some(Arc::new(sink)))
}

fn set(thread: &Thread, value: i16) -> SysResult<()> {
    let privileged = thread.fs.read().cred.has(Capabilities::SYS_RESOURCE);
    let mut attributes = thread.process.attributes.lock();
    if value < attributes.oom.least && !privileged {
        return Err(Errno::EACCES);
    }
    let least = if privileged { value } else { attributes.oom.least };
    attributes.oom = OomAdjustment { now: value, least };
    Ok(())
}

/// oom_score_adj: -1000 is never, 1000 first.
pub(super) fn adjustment(subject: &Subject) -> What {
    file(subject, |now| now, |value| (-1000..=1000).contains(&value).then_some(value))
}

/// oom_adj, as it was before: -17 is never, 15 first.
pub(super) fn old_adjustment(subject: &Subject) -> What {
    let show = |now| match now {
        1000 => OLD_MAX,
        now => (i32::from(now) * i32::from(OLD_SCALE) / 1000) as i16,
    };
    let parse = |value| match value {
        OLD_MAX => Some(1000),
        -17..OLD_MAX => Some((i32::from(value) * 1000 / i32::from(OLD_SCALE)) as i16),
        _ => None,
    };
    file(subject, show, parse)
}

/// oom_score: two thirds of the adjustment and of the thousandths of all memory that the process has.
pub(super) fn score(thread: &Thread) -> String {
    let adjustment = thread.process.attributes.lock().oom.now;
    if adjustment == -1000 {
        return "0\n".to_owned();
    }
    let (total, _) = hal::host::system::memory();
    let part = thread.memory.resident_bytes().saturating_mul(1000) / total.max(1);
    let points = 1000 + i64::from(adjustment) + part.cast_signed();
    format!("{}\n", points.max(0) * 2 / 3)
}
