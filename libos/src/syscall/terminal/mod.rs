//! Terminals, where it matters who calls: opening them, reading and writing in the background, ioctl_tty(2), vhangup(2).
//!
//! The one idea: what a terminal does is [`crate::tty`]'s; here is what has to be known of the caller before.

mod control;
mod transfer;

use std::sync::Arc;

use linux_raw_sys::general as raw;

pub(super) use self::{
    control::{control, control_at_once},
    transfer::{check_write, read},
};
use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    tty::{Node, Slave, table},
    vfs::{Capabilities, File, LookupFlags, OpenFile, ops},
};

/// Makes an open terminal of a node that was found; other files stay as they are. Without `O_NOCTTY` among `flags` it may
/// become the caller's controlling terminal.
pub(super) fn complete_open(
    thread: &Thread,
    file: Arc<OpenFile>,
    flags: u32,
) -> SysResult<Arc<OpenFile>> {
    let Some(Node { device, terminals }) = file.downcast::<Node>() else { return Ok(file) };
    let (device, process) = (*device, &thread.process);
    let terminals = terminals.as_ref().unwrap_or(&process.kernel.terminals);
    let privileged = is_administrator(thread);
    let slave = match device {
        table::PTMX => {
            let cred = Arc::clone(&thread.fs.read().cred);
            let master = terminals.open_pty(cred.fsuid, cred.fsgid)?;
            return Ok(reopened(master, &file, flags));
        }
        table::TTY => process.terminal().ok_or(Errno::ENXIO)?.open(privileged)?,
        device => terminals.open(device, privileged)?,
    };
    if flags & raw::O_NOCTTY == 0 && device != table::CONSOLE {
        slave.terminal().opened_by(process, file.readable());
    }
    Ok(reopened(slave, &file, flags))
}

fn reopened(terminal: Arc<dyn File>, node: &OpenFile, flags: u32) -> Arc<OpenFile> {
    OpenFile::from_file(terminal, node.path().cloned(), flags)
}

/// Opens `slave` as if by its name, if that still leads there.
fn by_name(thread: &Thread, slave: Arc<Slave>, number: u32, flags: u32) -> Arc<OpenFile> {
    let device = slave.terminal().device();
    let name = format!("/dev/pts/{number}").into_bytes();
    let place = ops::resolve(&thread.fs.read(), None, &name, LookupFlags::empty()).ok();
    let leads_there = |place: &crate::vfs::Path| {
        place.inode().metadata().is_ok_and(|metadata| metadata.rdev == device)
    };
    OpenFile::from_file(slave, place.filter(leads_there), flags)
}

fn is_administrator(thread: &Thread) -> bool {
    thread.fs.read().cred.has(Capabilities::SYS_ADMIN)
}

/// vhangup(2)
pub(crate) fn vhangup(thread: &Thread) -> SysResult<()> {
    if !thread.fs.read().cred.has(Capabilities::SYS_TTY_CONFIG) {
        return Err(Errno::EPERM);
    }
    if let Some(terminal) = thread.process.terminal() {
        terminal.hang_up();
    }
    Ok(())
}
