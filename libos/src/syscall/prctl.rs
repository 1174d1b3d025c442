//! What a program says of itself and asks of itself: prctl(2), personality(2).
//!
//! The one idea: each option is a value of the thread's or the process's attributes, with Linux's checks; what would change what the kernel
//! does, and does not, is `EINVAL` as on a Linux built without it.

use std::sync::atomic::Ordering;

use linux_raw_sys::prctl as options;

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::UserPtr,
    vfs::Capabilities,
};

/// Bytes of a thread's name with its NUL: `TASK_COMM_LEN`.
const NAME_BYTES: usize = 16;

/// The highest signal.
const SIGNAL_MAX: u64 = 64;

/// The capability numbered `number`, if there is one of that number.
fn capability(number: u64) -> SysResult<Capabilities> {
    let bit = u32::try_from(number).ok().and_then(|shift| 1_u64.checked_shl(shift));
    let bit = Capabilities::from_bits_retain(bit.unwrap_or(0));
    if !bit.is_empty() && Capabilities::FULL.contains(bit) { Ok(bit) } else { Err(Errno::EINVAL) }
}

/// `EINVAL` unless all arguments that have no meaning are 0.
fn unused(arguments: &[u64]) -> SysResult<()> {
    if arguments.iter().all(|&argument| argument == 0) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// 0 or 1; `EINVAL`.
fn switch(value: u64) -> SysResult<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

/// prctl(2)
pub(crate) fn prctl(
    thread: &Thread,
    option: u32,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> SysResult<u64> {
    let memory = &thread.memory;
    let own = || thread.attributes.lock();
    let shared = || thread.process.attributes.lock();
    let tell = |value: i32| UserPtr::<i32>::new(second).write(memory, &value);
    match option {
        options::PR_SET_NAME => {
            let mut name = [0; NAME_BYTES];
            // The string may end before the mapping does; what can be read up to its NUL counts.
            let text = memory.read_string_prefix(second, NAME_BYTES - 1)?;
            name[..text.len()].copy_from_slice(&text);
            thread.set_name(&name);
        }
        options::PR_GET_NAME => {
            let mut name = [0; NAME_BYTES];
            let text = thread.name();
            name[..text.len()].copy_from_slice(&text);
            memory.write_bytes(second, &name)?;
        }
        options::PR_SET_PDEATHSIG => {
            if second > SIGNAL_MAX {
                return Err(Errno::EINVAL);
            }
            own().parent_death_signal = second as u32;
        }
        options::PR_GET_PDEATHSIG => {
            let signal = own().parent_death_signal;
            tell(signal as i32)?;
        }
        options::PR_GET_DUMPABLE => return Ok(u64::from(shared().dumpable)),
        options::PR_SET_DUMPABLE => shared().dumpable = switch(second)?,
        options::PR_SET_CHILD_SUBREAPER => shared().subreaper = second != 0,
        options::PR_GET_CHILD_SUBREAPER => {
            let subreaper = shared().subreaper;
            tell(i32::from(subreaper))?;
        }
        options::PR_SET_NO_NEW_PRIVS => {
            unused(&[third, fourth, fifth])?;
            if second != 1 {
                return Err(Errno::EINVAL);
            }
            own().no_new_privs = true;
        }
        options::PR_GET_NO_NEW_PRIVS => {
            unused(&[second, third, fourth, fifth])?;
            return Ok(u64::from(own().no_new_privs));
        }
        options::PR_GET_KEEPCAPS => {
            return Ok(u64::from(thread.process.ids.lock().keep_capabilities));
        }
        options::PR_SET_KEEPCAPS => {
            thread.process.ids.lock().keep_capabilities = switch(second)?;
        }
        options::PR_CAPBSET_READ => {
            let wanted = capability(second)?;
            return Ok(u64::from(own().bounding.contains(wanted)));
        }
        options::PR_CAPBSET_DROP => {
            if !thread.fs.read().cred.has_own(Capabilities::SETPCAP) {
                return Err(Errno::EPERM);
            }
            let dropped = capability(second)?;
            own().bounding.remove(dropped);
        }
        options::PR_CAP_AMBIENT if second == u64::from(options::PR_CAP_AMBIENT_CLEAR_ALL) => {
            unused(&[third, fourth, fifth])?;
            thread.process.ids.lock().ambient = Capabilities::empty();
        }
        options::PR_CAP_AMBIENT => {
            let wanted = capability(third)?;
            unused(&[fourth, fifth])?;
            let mut ids = thread.process.ids.lock();
            match u32::try_from(second) {
                Ok(options::PR_CAP_AMBIENT_IS_SET) => {
                    return Ok(u64::from(ids.ambient.contains(wanted)));
                }
                Ok(options::PR_CAP_AMBIENT_LOWER) => ids.ambient.remove(wanted),
                Ok(options::PR_CAP_AMBIENT_RAISE) => {
                    if !(ids.permitted & ids.inheritable).contains(wanted) {
                        return Err(Errno::EPERM);
                    }
                    ids.ambient.insert(wanted);
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        // None of the rules that the bits switch off is in force, none is locked.
        options::PR_GET_SECUREBITS | options::PR_GET_SECCOMP => {}
        options::PR_GET_TIMERSLACK => return Ok(own().timer_slack),
        options::PR_SET_TIMERSLACK => {
            let mut own = own();
            own.timer_slack = if second == 0 { own.default_timer_slack } else { second };
        }
        options::PR_SET_THP_DISABLE => {
            unused(&[third, fourth, fifth])?;
            shared().huge_pages_disabled = second != 0;
        }
        options::PR_GET_THP_DISABLE => {
            unused(&[second, third, fourth, fifth])?;
            return Ok(u64::from(shared().huge_pages_disabled));
        }
        options::PR_GET_TIMING => return Ok(u64::from(options::PR_TIMING_STATISTICAL)),
        options::PR_SET_TIMING if second == u64::from(options::PR_TIMING_STATISTICAL) => {}
        options::PR_GET_TSC => tell(options::PR_TSC_ENABLE as i32)?,
        options::PR_SET_TSC if second == u64::from(options::PR_TSC_ENABLE) => {}
        options::PR_MCE_KILL_GET => {
            unused(&[second, third, fourth, fifth])?;
            return Ok(u64::from(options::PR_MCE_KILL_DEFAULT));
        }
        // There are no counters to switch.
        options::PR_TASK_PERF_EVENTS_DISABLE | options::PR_TASK_PERF_EVENTS_ENABLE => {}
        options::PR_GET_TID_ADDRESS => {
            let word = thread.clear_child_tid.load(Ordering::Relaxed);
            UserPtr::<u64>::new(second).write(memory, &word)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// personality(2): the one before; all bits set only asks.
pub(crate) fn personality(thread: &Thread, persona: u32) -> SysResult<u32> {
    let mut attributes = thread.attributes.lock();
    let before = attributes.personality;
    if persona != u32::MAX {
        attributes.personality = persona;
    }
    Ok(before)
}
