//! Programs as the [loader] sees them: files of a process's view of the file system, and the memory that they are loaded into.
//!
//! The one idea: execve(2) loads on its CPU, as nearly all programs that are executed are in memory already; only where a disk
//! would have to be waited for it gives up with `EAGAIN` and begins again elsewhere. That it began is nobody's concern: new memory is
//! thrown away, and who watches a program learns that it was opened when the loader is through.

use std::{cell::RefCell, ops::Range, sync::Arc};

use hal::aspace::{Fault, Prot};

use super::ByDescriptor;
use crate::{
    errno::{Errno, SysResult},
    loader::{
        self, LoadError, OpenError, ProgramFile,
        image::{Purpose, Target},
    },
    memory::{Backing, FaultCause, MapRequest, Placement, UserMemory},
    vfs::{Access, FileType, FsContext, IoDst, LookupFlags, OpenFile, Path, ops},
};

/// What to do where a disk must be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OnCold {
    /// To fail with `EAGAIN`.
    GiveUp,
    /// To wait.
    Wait,
}

impl OnCold {
    /// Whether `error` is that of giving up.
    pub(super) fn gives_up(self, error: &LoadError) -> bool {
        self == Self::GiveUp && error.errno() == Errno::EAGAIN
    }
}

/// The file of a program.
pub struct Program {
    /// It, open.
    pub(crate) file: Arc<OpenFile>,
    on_cold: OnCold,
}

impl Program {
    fn open(fs: &FsContext, place: Path, on_cold: OnCold) -> Result<Self, OpenError> {
        let metadata = place.inode().metadata().map_err(OpenError::Path)?;
        match metadata.kind {
            FileType::Regular => {}
            FileType::Directory => return Err(OpenError::Directory),
            _ => return Err(OpenError::NotRegular),
        }
        let nobody_may = metadata.mode & 0o111 == 0;
        if nobody_may
            || place.mount().executable().is_err()
            || ops::check(&fs.cred, &place, Access::EXEC).is_err()
        {
            return Err(OpenError::NotExecutable);
        }
        let file = OpenFile::for_running(place).map_err(OpenError::Path)?;
        Ok(Self { file, on_cold })
    }
}

impl ProgramFile for Program {
    fn len(&self) -> SysResult<u64> {
        self.file.metadata().map(|metadata| metadata.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> SysResult<usize> {
        let mut dst = IoDst::kernel(buf);
        if self.on_cold == OnCold::GiveUp {
            dst = dst.without_waiting();
        }
        self.file.read_at(offset, &mut dst)
    }
}

/// For the first program, whose opening nobody can watch.
impl loader::Files for FsContext {
    type File = Program;

    fn open(&self, path: &[u8]) -> Result<Program, OpenError> {
        let place = ops::resolve(self, None, path, LookupFlags::FOLLOW).map_err(OpenError::Path)?;
        Program::open(self, place, OnCold::Wait)
    }
}

/// The files that executing one program takes.
pub(super) struct Programs<'a> {
    fs: &'a FsContext,
    /// The path and the place of a program that was found already; interpreters are found by their paths.
    found: Option<(&'a [u8], &'a ByDescriptor)>,
    on_cold: OnCold,
    opened: RefCell<Vec<Arc<OpenFile>>>,
}

impl<'a> Programs<'a> {
    pub(super) fn new(
        fs: &'a FsContext,
        found: Option<(&'a [u8], &'a ByDescriptor)>,
        on_cold: OnCold,
    ) -> Self {
        Self { fs, found, on_cold, opened: RefCell::default() }
    }

    /// Tells who watches them that they were opened.
    pub(super) fn announce(self) {
        self.opened.into_inner().iter().for_each(|file| file.announce());
    }

    fn find(&self, path: &[u8]) -> Result<Program, OpenError> {
        let Some((_, found)) = self.found.filter(|(known, _)| *known == path) else {
            let place = ops::resolve(self.fs, None, path, LookupFlags::FOLLOW);
            return Program::open(self.fs, place.map_err(OpenError::Path)?, self.on_cold);
        };
        let program = Program::open(self.fs, found.place.clone(), self.on_cold)?;
        if !found.reachable {
            let mut head = [0; 2];
            match program.read_at(0, &mut head) {
                // The interpreter could not open the script.
                Ok(_) if &head == b"#!" => return Err(OpenError::Path(Errno::ENOENT)),
                Err(Errno::EAGAIN) => return Err(OpenError::Path(Errno::EAGAIN)),
                _ => {}
            }
        }
        Ok(program)
    }
}

impl loader::Files for Programs<'_> {
    type File = Program;

    fn open(&self, path: &[u8]) -> Result<Program, OpenError> {
        let program = self.find(path)?;
        self.opened.borrow_mut().push(Arc::clone(&program.file));
        Ok(program)
    }
}

impl Target for UserMemory {
    type File = Program;

    fn window(&self) -> Range<u64> {
        self.address_space().window()
    }

    fn claim(&self, range: Range<u64>) -> SysResult<()> {
        UserMemory::claim(self, range)
    }

    fn find_free(&self, len: u64, align: u64) -> SysResult<u64> {
        UserMemory::find_free(self, len, align)
    }

    fn map_file(
        &self,
        pages: Range<u64>,
        file: &Self::File,
        offset: u64,
        prot: Prot,
    ) -> SysResult<()> {
        let backing = Backing::File { file: Arc::clone(&file.file), offset };
        self.map_fixed(pages, prot, backing, true)
    }

    fn map_zero(&self, pages: Range<u64>, prot: Prot, purpose: Purpose) -> SysResult<()> {
        self.map_fixed(pages, prot, Backing::Anonymous, purpose != Purpose::StackGuard)
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> SysResult<()> {
        self.write_bytes(addr, bytes)
    }

    fn zero(&self, range: Range<u64>, file: &Self::File) -> SysResult<()> {
        let mut cold = false;
        let resolve = |fault: &Fault| match file.on_cold {
            OnCold::Wait => self.fault(fault),
            OnCold::GiveUp => self.try_fault(fault).unwrap_or_else(|| {
                cold = true;
                Err(FaultCause::BeyondEnd)
            }),
        };
        let zeroed =
            self.with_faults_by(resolve, |space| space.zero(range.start, range.end - range.start));
        zeroed.map_err(|error| if cold { Errno::EAGAIN } else { error })
    }
}

impl UserMemory {
    fn map_fixed(
        &self,
        pages: Range<u64>,
        prot: Prot,
        backing: Backing,
        reserve: bool,
    ) -> SysResult<()> {
        let request = MapRequest {
            placement: Placement::Replace(pages.start),
            len: pages.end - pages.start,
            prot,
            shared: false,
            backing,
            populate: false,
            reserve,
            locked: false,
        };
        self.map(&request).map(drop)
    }
}
