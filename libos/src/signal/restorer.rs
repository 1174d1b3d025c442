//! Which restorers may be rewritten: the code after a handler, which calls rt_sigreturn(2).
//!
//! An unwinder that comes to a restorer has to know that a signal frame follows. It either reads so in the program's unwind tables,
//! or it compares the bytes of the code with those that every restorer has, and then they must not change. So a site that calls
//! rt_sigreturn is rewritten only if the tables of its file speak of it: glibc's do.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, Pointer, UnwindSection};
use kernel_objects::Vmo;
use object::{
    LittleEndian as LE, elf,
    read::elf::{FileHeader, ProgramHeader},
};

use crate::memory::UserMemory;

/// Returns by a handler after which it pays to look.
const ENOUGH: u32 = 3;
/// Bytes at the start of a file that have all its headers, nearly always.
const HEADERS: usize = 4096;
/// The most bytes of tables that are read.
const TABLES_MAX: u64 = 16 << 20;
/// Bytes of `mov rax, 15` before the call.
const LOAD: u64 = 7;

/// How often handlers of a program have returned.
#[derive(Debug, Default)]
pub struct Restorer {
    returns: AtomicU32,
}

impl Restorer {
    /// A handler has returned by the call at `site`. After a few times its file is looked at, off the CPUs.
    pub(super) fn returned(&self, memory: &Arc<UserMemory>, site: u64) {
        // No more than that is ever needed.
        if self.returns.load(Ordering::Relaxed) >= ENOUGH
            || self.returns.fetch_add(1, Ordering::Relaxed) + 1 != ENOUGH
        {
            return;
        }
        let memory = Arc::clone(memory);
        // Nobody waits for it.
        drop(hal::cpu::spawn_blocking(move || {
            if is_described(&memory, site).is_some() {
                memory.address_space().allow_sigreturn_rewrite(site);
            }
        }));
    }
}

/// Whether the tables of the file that is mapped at `site` say that a signal frame follows there.
fn is_described(memory: &UserMemory, site: u64) -> Option<()> {
    let mapping = memory.vmar().find(site)?;
    let in_vmo = mapping.vmo_offset + (site - mapping.range.start);
    let (file, base) = match mapping.vmo.behind() {
        Some((file, base)) => (file, base),
        None => (&mapping.vmo, 0),
    };
    let read = |offset: u64, len: u64| read(file, offset, len);
    tables_describe(&read, (base + in_vmo).checked_sub(LOAD)?)
}

fn read(file: &Vmo, offset: u64, len: u64) -> Option<Vec<u8>> {
    let len = len.min(file.size().checked_sub(offset)?);
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read(offset, &mut bytes).ok()?;
    Some(bytes)
}

/// Whether the unwind tables of the ELF file that `read` reads say that a signal frame follows at file offset `at`. `read` gives as
/// much of a range as there is.
fn tables_describe(read: &dyn Fn(u64, u64) -> Option<Vec<u8>>, at: u64) -> Option<()> {
    let head = read(0, HEADERS as u64)?;
    let header = elf::FileHeader64::<LE>::parse(&*head).ok()?;
    let segments = header.program_headers(LE, &*head).ok()?;
    let load = |address: u64, by_offset: bool| {
        segments.iter().find(|segment| {
            let start = if by_offset { segment.p_offset(LE) } else { segment.p_vaddr(LE) };
            let inside = address.checked_sub(start).is_some_and(|off| off < segment.p_filesz(LE));
            segment.p_type(LE) == elf::PT_LOAD && inside
        })
    };
    let text = load(at, true)?;
    let address = text.p_vaddr(LE).wrapping_add(at - text.p_offset(LE));

    let index = segments.iter().find(|segment| segment.p_type(LE) == elf::PT_GNU_EH_FRAME)?;
    let bytes = read(index.p_offset(LE), index.p_filesz(LE).min(TABLES_MAX))?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(index.p_vaddr(LE));
    let index = EhFrameHdr::new(&bytes, LittleEndian).parse(&bases, 8).ok()?;
    let Pointer::Direct(start) = index.eh_frame_ptr() else { return None };
    // An unwinder looks for the address before the one that the handler returns to, for that of a call.
    let caller = address.checked_sub(1)?;
    let Pointer::Direct(entry) = index.table()?.lookup(caller, &bases).ok()? else { return None };

    let data = load(start, false)?;
    let within = start - data.p_vaddr(LE);
    let len = data.p_filesz(LE).saturating_sub(within).min(TABLES_MAX);
    let bytes = read(data.p_offset(LE).checked_add(within)?, len)?;
    let frames = EhFrame::new(&bytes, LittleEndian);
    let bases = bases.set_eh_frame(start);
    let entry = usize::try_from(entry.checked_sub(start)?).ok()?;
    let entry = frames.fde_from_offset(&bases, entry.into(), EhFrame::cie_from_offset).ok()?;
    let covers = entry.contains(caller) && entry.contains(address);
    (covers && entry.is_signal_trampoline()).then_some(())
}

#[cfg(test)]
mod tests {
    use ::tests::guests::{self, Build};
    use proptest::prelude::*;

    use super::*;

    const RESTORER: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];

    fn describes(file: &[u8], at: u64) -> bool {
        let read = |offset: u64, len: u64| {
            let rest = file.get(usize::try_from(offset).ok()?..)?;
            Some(rest.get(..len as usize).unwrap_or(rest).to_vec())
        };
        tables_describe(&read, at).is_some()
    }

    fn restorer(file: &[u8]) -> u64 {
        file.windows(RESTORER.len()).position(|bytes| bytes == RESTORER).unwrap() as u64
    }

    fn library() -> Vec<u8> {
        std::fs::read("/lib/x86_64-linux-gnu/libc.so.6").unwrap()
    }

    #[test]
    fn the_tables_of_glibc_describe_its_restorer_and_no_other_code() {
        let file = library();
        let at = restorer(&file);
        assert!(describes(&file, at));
        for other in [at - 64, at + 64, at + 4096, 0, u64::MAX] {
            assert!(!describes(&file, other), "{other:#x}");
        }
    }

    #[test]
    fn a_library_without_tables_keeps_its_restorer() {
        let program = guests::build("hello.c", Build::MuslStatic, &["-s"]).unwrap();
        let file = std::fs::read(program).unwrap();
        if let Some(at) = file.windows(RESTORER.len()).position(|bytes| bytes == RESTORER) {
            assert!(!describes(&file, at as u64));
        }
    }

    proptest! {
        #[test]
        fn broken_tables_describe_nothing_or_something_but_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut file = library();
            let at = restorer(&file);
            // Where the headers and the tables are.
            for (index, byte) in changes {
                let place = index.index(1024);
                file[place] = byte;
            }
            describes(&file, at);
            file.truncate(cut.index(file.len()));
            describes(&file, at);
        }
    }
}
