//! The memory of a process: what mmap(2) and its family change and what system calls copy from and to.
//!
//! The one idea: a Linux address space is a VMAR. Anonymous memory is a VMO of its own, a private file mapping is a copy-on-write child of the file's page
//! cache, a shared one is the page cache itself; the calls of Linux are verbs of the VMAR, and this module translates.

mod forced;
mod fork;
mod heap;
mod locked;
mod map;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hal::{
    aspace::{Access, AddressSpace, AspaceError, Fault, ReadStop},
    host::HostFile,
    pmem::PhysicalMemory,
};
use kernel_objects::{
    Vmar,
    vmo::{CopyError, Vmo},
};
use parking_lot::{Mutex, RwLock};

pub use self::{
    locked::Presence,
    map::{Backing, MapRequest, Placement},
};
use crate::{
    config::Isolation,
    errno::{Errno, SysResult},
    event::aio::Contexts,
    loader::STACK_GUARD,
    signal::restorer::Restorer,
    vfs::{GuestMemory, OpenFile},
};

/// To look up how much of a memory is resident takes its time, for the host goes through all the pages: up to so many nanoseconds
/// whenever somebody asks ...
const COSTLY: u64 = 2_000_000;
/// ... and what takes longer not again for so many times as long.
const PATIENCE: u64 = 30;

/// How much of a memory was resident, when that was found, and how long that took.
#[derive(Clone, Copy, Default)]
struct Resident {
    bytes: u64,
    found: u64,
    cost: u64,
}

/// How often one access may fault at one place although each fault was resolved.
const RETRIES: usize = 64;

/// Why a fault of the guest could not be resolved; decides the signal and its `si_code`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultCause {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    Unmapped,
    /// The mapping forbids the access: SIGSEGV, `SEGV_ACCERR`.
    Protection,
    /// The page is beyond the end of its file: SIGBUS, `BUS_ADRERR`.
    BeyondEnd,
    /// No memory was left for the page: the guest is killed as by the OOM killer.
    OutOfMemory,
}

/// What the program's start left in memory, for /proc.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The path of the program.
    pub executable: Vec<u8>,
    /// Where the argument strings are.
    pub arguments: std::ops::Range<u64>,
    /// Where the environment strings are.
    pub environment: std::ops::Range<u64>,
    /// The auxiliary vector's bytes.
    pub auxv: Vec<u8>,
    /// The stack's first mapping.
    pub stack: std::ops::Range<u64>,
}

/// The memory of a process.
pub struct UserMemory {
    // Before what is mapped there: so it goes as a whole.
    space: Arc<AddressSpace>,
    vmar: Arc<Vmar>,
    heap: Mutex<heap::Heap>,
    image: RwLock<Image>,
    resident: Mutex<Resident>,
    /// The program, which nobody writes to while it runs.
    program: Mutex<Option<Arc<OpenFile>>>,
    restorer: Restorer,
    locks_new: locked::LocksNew,
    clashed: AtomicBool,
    aio: Contexts,
}

/// An empty address space where `isolation` says.
///
/// # Errors
///
/// [`AspaceError::NoWindow`] or [`AspaceError::NoStub`] when no more fit there.
pub fn address_space(
    physical: &Arc<PhysicalMemory>,
    isolation: Isolation,
) -> Result<Arc<AddressSpace>, AspaceError> {
    match isolation {
        Isolation::Always => AddressSpace::new_isolated(physical, None),
        Isolation::Never => AddressSpace::new(physical),
        Isolation::Auto => {
            AddressSpace::new(physical).or_else(|_| AddressSpace::new_isolated(physical, None))
        }
    }
}

impl UserMemory {
    /// Empty memory, for a program to be loaded into. `ENOMEM` when no more address spaces fit.
    pub fn new(physical: &Arc<PhysicalMemory>, isolation: Isolation) -> SysResult<Arc<Self>> {
        let space = address_space(physical, isolation).map_err(|_| Errno::ENOMEM)?;
        let vmar = Vmar::create_root(&space).map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new(Self {
            vmar,
            space,
            heap: Mutex::default(),
            image: RwLock::default(),
            resident: Mutex::default(),
            program: Mutex::default(),
            restorer: Restorer::default(),
            locks_new: locked::LocksNew::default(),
            clashed: AtomicBool::new(false),
            aio: Contexts::default(),
        }))
    }

    /// Its process may do other things from now on than the one that forked it: they share nothing that is not memory any more.
    pub fn leave_family(&self) {
        self.space.leave_family();
    }

    /// Whether a program could not be loaded because its addresses are another guest's, or none that guests have in the kernel's own process.
    pub fn has_clashed(&self) -> bool {
        self.clashed.load(Ordering::Relaxed)
    }

    /// Takes `range` for a program that must be there; `ENOMEM`.
    pub fn claim(&self, range: Range<u64>) -> SysResult<()> {
        self.space.claim(range).map_err(|error| {
            let elsewhere = matches!(error, AspaceError::Taken | AspaceError::OutOfRange);
            self.clashed.fetch_or(elsewhere, Ordering::Relaxed);
            Errno::ENOMEM
        })
    }
    /// What the guest runs in.
    pub fn address_space(&self) -> &AddressSpace {
        &self.space
    }

    /// What is known of how its handlers return.
    pub fn restorer(&self) -> &Restorer {
        &self.restorer
    }

    /// The contexts of asynchronous I/O whose rings are mapped here.
    pub fn aio(&self) -> &Contexts {
        &self.aio
    }

    /// The region that all mappings are in.
    pub fn vmar(&self) -> &Arc<Vmar> {
        &self.vmar
    }

    /// What /proc tells of the program.
    pub fn image(&self) -> Image {
        self.image.read().clone()
    }

    /// The program's file, once one is loaded.
    pub fn program(&self) -> Option<Arc<OpenFile>> {
        self.program.lock().clone()
    }

    /// Stores what the loader knows: the image, its file, and where the heap begins.
    pub fn set_image(&self, image: Image, program: Arc<OpenFile>, heap_start: u64) {
        *self.image.write() = image;
        *self.program.lock() = Some(program);
        self.heap.lock().start_at(heap_start);
    }

    /// Resolves a fault of the guest, so that the access can be made again. May wait for a disk.
    pub fn fault(&self, fault: &Fault) -> Result<(), FaultCause> {
        let resolved = self.vmar.fault(fault.addr, fault.access);
        resolved.map_err(|error| self.cause(fault, error))
    }

    /// [`fault`](Self::fault) if that need not wait for a disk; `None` if it must.
    pub fn try_fault(&self, fault: &Fault) -> Option<Result<(), FaultCause>> {
        match self.vmar.try_fault(fault.addr, fault.access) {
            Err(kernel_objects::Error::ShouldWait) => None,
            resolved => Some(resolved.map_err(|error| self.cause(fault, error))),
        }
    }

    fn cause(&self, fault: &Fault, error: kernel_objects::Error) -> FaultCause {
        match error {
            kernel_objects::Error::NotFound => FaultCause::Unmapped,
            // A page that could not be read is as one that is not there.
            kernel_objects::Error::OutOfRange | kernel_objects::Error::Io => FaultCause::BeyondEnd,
            kernel_objects::Error::NoMemory => FaultCause::OutOfMemory,
            // On Linux the gap below the stack is a rule about placing mappings and no mapping.
            _ if self.in_stack_guard(fault.addr) => FaultCause::Unmapped,
            _ => FaultCause::Protection,
        }
    }

    fn in_stack_guard(&self, addr: u64) -> bool {
        let stack = self.image().stack;
        addr < stack.start && stack.start - addr <= STACK_GUARD
    }

    /// Makes `access` again as long as its faults can be resolved; `EFAULT`. Another thread may take away what was just resolved, but not for ever.
    pub fn with_faults<T>(
        &self,
        access: impl FnMut(&AddressSpace) -> Result<T, Fault>,
    ) -> SysResult<T> {
        self.with_faults_by(|fault| self.fault(fault), access)
    }

    /// [`with_faults`](Self::with_faults), resolved by `resolve`.
    pub fn with_faults_by<T>(
        &self,
        mut resolve: impl FnMut(&Fault) -> Result<(), FaultCause>,
        mut access: impl FnMut(&AddressSpace) -> Result<T, Fault>,
    ) -> SysResult<T> {
        let (mut last, mut retries) = (None, 0);
        loop {
            let fault = match access(&self.space) {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            retries = if last == Some(fault) { retries + 1 } else { 0 };
            if retries > RETRIES || resolve(&fault).is_err() {
                return Err(Errno::EFAULT);
            }
            last = Some(fault);
        }
    }

    /// Copies guest bytes at `va` into `buf`; `EFAULT`.
    pub fn read_bytes(&self, va: u64, buf: &mut [u8]) -> SysResult<()> {
        self.vmar.read(va, buf).map_err(|_| Errno::EFAULT)
    }

    /// Copies `buf` to the guest at `va`; `EFAULT`.
    pub fn write_bytes(&self, va: u64, buf: &[u8]) -> SysResult<()> {
        self.vmar.write(va, buf).map_err(|_| Errno::EFAULT)
    }

    /// Copies a string of less than `max` bytes in, without its NUL; `None` when there is no NUL in them, `EFAULT`.
    pub fn read_string(&self, va: u64, max: usize) -> SysResult<Option<Vec<u8>>> {
        let bytes = self.with_faults(|space| space.read_cstr(va, max))?;
        Ok((bytes.len() < max).then_some(bytes))
    }

    /// Copies the first `max` bytes of a string in, fewer when it ends before; `EFAULT`.
    pub fn read_string_prefix(&self, va: u64, max: usize) -> SysResult<Vec<u8>> {
        self.with_faults(|space| space.read_cstr(va, max))
    }

    /// How much of it is in physical memory; of a large one that may be what it was a short time ago.
    pub fn resident_bytes(&self) -> u64 {
        self.resident_within(COSTLY)
    }

    /// The same for who asks often, and need not know of the last few milliseconds.
    pub fn resident_lately(&self) -> u64 {
        self.resident_within(0)
    }

    /// How much is resident, looked up anew if that took no longer than `cheap` the last time, or if that is long ago.
    fn resident_within(&self, cheap: u64) -> u64 {
        let now = hal::time::monotonic();
        let mut resident = self.resident.lock();
        let Resident { bytes, found, cost } = *resident;
        if cost > cheap && now.saturating_sub(found) < cost.saturating_mul(PATIENCE) {
            return bytes;
        }
        let ranges = self.vmar.resident(self.vmar.range());
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let found = hal::time::monotonic();
        *resident = Resident { bytes, found, cost: found.saturating_sub(now) };
        bytes
    }

    /// Checks that `access` to the byte at `va` would succeed, resolving its fault.
    pub fn check(&self, va: u64, access: Access) -> SysResult<()> {
        self.with_faults(|space| space.translate(va, access).map(drop))
    }
}

impl GuestMemory for UserMemory {
    fn read(&self, va: u64, buf: &mut [u8]) -> SysResult<()> {
        self.read_bytes(va, buf)
    }

    fn write(&self, va: u64, buf: &[u8]) -> SysResult<()> {
        self.write_bytes(va, buf)
    }

    fn fill_zero(&self, va: u64, len: usize) -> SysResult<()> {
        self.vmar.zero(va, len as u64).map_err(|_| Errno::EFAULT)
    }

    fn copy_from_vmo(&self, va: u64, vmo: &Vmo, offset: u64, len: usize) -> SysResult<()> {
        self.vmar.copy_from_vmo(va, vmo, offset, len as u64).map_err(copy_errno)
    }

    fn read_host_file(
        &self,
        va: u64,
        file: &HostFile,
        offset: u64,
        len: usize,
    ) -> (usize, SysResult<()>) {
        let (done, stop) = self.vmar.read_file(va, len as u64, file, offset);
        let result = match stop {
            ReadStop::Full | ReadStop::Short => Ok(()),
            ReadStop::Fault(_) => Err(Errno::EFAULT),
            ReadStop::Host(error) => Err(Errno::from_raw(error.errno())),
        };
        (done as usize, result)
    }

    fn copy_to_vmo(&self, va: u64, vmo: &Vmo, offset: u64, len: usize) -> SysResult<()> {
        self.vmar.copy_to_vmo(va, vmo, offset, len as u64).map_err(copy_errno)
    }
}

/// What a copy that stopped is to the system call.
fn copy_errno(error: CopyError) -> Errno {
    match error {
        CopyError::Guest(_) => Errno::EFAULT,
        CopyError::Vmo(kernel_objects::Error::NoMemory) => Errno::ENOMEM,
        CopyError::Vmo(_) => Errno::EIO,
    }
}
