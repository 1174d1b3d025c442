//! /proc/PID/mem: the memory of a process as a file.
//!
//! The one idea: it is a debugger's access, which asks no mapping for permission; who may open it is in the file's owner and mode.

use std::sync::{Arc, Weak};

use super::node::Special;
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    process::Process,
    vfs::{
        buf::{IoDst, IoSrc},
        file::File,
        seek::Seeking,
    },
};

/// How much is copied at a time.
const CHUNK: usize = 64 << 10;

/// The file of a process.
pub(super) struct Memory(pub(super) Weak<Process>);

impl Special for Memory {
    fn open(&self) -> SysResult<Arc<dyn File>> {
        let memory = self.0.upgrade().and_then(|process| process.memory());
        let memory = memory.as_ref().map(Arc::downgrade).unwrap_or_default();
        Ok(Arc::new(MemoryFile(memory)))
    }

    fn mode(&self) -> u32 {
        0o600
    }
}

/// An open one. It is of the program that ran when it was opened.
struct MemoryFile(Weak<UserMemory>);

impl File for MemoryFile {
    fn read(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let Some(memory) = self.0.upgrade() else { return Ok(0) };
        let mut chunk = vec![0; dst.remaining().min(CHUNK)];
        let mut done = 0;
        while dst.remaining() > 0 {
            let wanted = chunk.len().min(dst.remaining());
            let at = offset.checked_add(done as u64).ok_or(Errno::EIO)?;
            let read = memory.read_by_force(at, &mut chunk[..wanted]);
            done += dst.write(&chunk[..read])?;
            if read < wanted {
                break;
            }
        }
        if done == 0 && dst.remaining() > 0 { Err(Errno::EIO) } else { Ok(done) }
    }

    fn write(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let Some(memory) = self.0.upgrade() else { return Ok(0) };
        let mut chunk = vec![0; src.remaining().min(CHUNK)];
        let mut done = 0;
        while src.remaining() > 0 {
            let wanted = chunk.len().min(src.remaining());
            let got = src.read(&mut chunk[..wanted])?;
            let at = offset.checked_add(done as u64).ok_or(Errno::EIO)?;
            let written = memory.write_by_force(at, &chunk[..got]);
            done += written;
            if written < got {
                return if done == 0 { Err(Errno::EIO) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    fn seeking(&self) -> Seeking {
        Seeking::Moves
    }

    fn size(&self) -> SysResult<u64> {
        Ok(0)
    }
}
