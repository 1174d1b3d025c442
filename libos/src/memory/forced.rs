//! A debugger's access to memory: past what the mappings allow.
//!
//! The one idea: a mapping's permissions are the program's, and its VMO has the bytes whatever they are. What is written into a
//! private mapping is the process's own, as after any write of its own; into a shared one nobody writes who may not.

use std::sync::Arc;

use hal::{aspace::Prot, pmem::PAGE_SIZE};
use kernel_objects::vmar::MappingFlags;

use super::UserMemory;
use crate::process::trace::TextHold;

const PAGE: u64 = PAGE_SIZE as u64;

/// Calls `part` for the pieces of `len` bytes at `va` that are in one page, with the offset of each, until one fails. How many bytes were done.
fn pages(va: u64, len: usize, mut part: impl FnMut(u64, usize, usize) -> Option<()>) -> usize {
    let mut done = 0;
    while done < len {
        let Some(at) = va.checked_add(done as u64) else { break };
        let piece = ((PAGE - at % PAGE) as usize).min(len - done);
        if part(at, done, piece).is_none() {
            break;
        }
        done += piece;
    }
    done
}

impl UserMemory {
    /// Copies bytes at `va` into `buf`, readable or not. How many there were.
    pub(crate) fn read_by_force(&self, va: u64, buf: &mut [u8]) -> usize {
        pages(va, buf.len(), |at, done, len| {
            let buf = buf.get_mut(done..done + len)?;
            if self.vmar.read(at, buf).is_ok() {
                return Some(());
            }
            let mapping = self.vmar.find(at)?;
            let offset = mapping.vmo_offset + (at - mapping.range.start);
            mapping.vmo.read(offset, buf).ok()
        })
    }

    /// Copies `buf` to `va`, writable or not. How many bytes could be.
    pub(crate) fn write_by_force(self: &Arc<Self>, va: u64, buf: &[u8]) -> usize {
        pages(va, buf.len(), |at, done, len| {
            let buf = buf.get(done..done + len)?;
            let mapping = self.vmar.find(at)?;
            if mapping.perms.contains(Prot::WRITE) {
                return self.vmar.write(at, buf).ok();
            }
            if !mapping.flags.contains(MappingFlags::PRIVATE) {
                return None;
            }
            // What executes is to be what was written.
            let _hold = TextHold::new(self);
            let offset = mapping.vmo_offset + (at - mapping.range.start);
            mapping.vmo.write(offset, buf).ok()
        })
    }
}
