//! The Zircon personality: `zx_*` system calls over the objects of [`kernel_objects`].
//!
//! The one idea: the objects are the personality. A Zircon process *is* a process of kernel-objects with its handles, its futexes and its
//! root VMAR, a thread one of its threads; what is here looks at registers and pointers, finds the object behind a handle, and calls
//! the verb of the same name. Linux's programs and Zircon's live in one kernel, in one job tree.
//!
//! Read [`process`] first (how a thread runs and what handlers get), then [`syscall`] (what the calls are, and how to add one), then
//! [`vdso`] and [`sdk`], which are made from the same table.

pub mod abi;
mod boot;
mod console;
mod loader;
mod memory;
mod performance;
mod pressure;
pub mod process;
mod restricted;
pub mod sdk;
mod stall;
pub mod syscall;
pub mod vdso;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hal::pmem::PhysicalMemory;
use kernel_objects::{
    KernelObject, Result, Vmo, VmoOptions, debuglog::KernelLog, msi::MsiController,
    resource::ResourceSpace,
};

pub use self::{
    boot::run,
    memory::Memory,
    process::{Caller, Thread},
};
use self::{console::Console, performance::Performance, pressure::Pressure};
use crate::{kernel::Kernel, loader::elf::Image};

/// What all Zircon processes of a kernel share, beside the kernel itself.
pub struct Machine {
    /// Memory, processors, the root job, files to load programs from.
    pub kernel: Arc<Kernel>,
    /// The debug log.
    pub log: Arc<KernelLog>,
    /// What resources are about.
    pub resources: Arc<ResourceSpace>,
    /// The vDSO.
    pub vdso: Arc<Vmo>,
    /// What is where in it.
    vdso_image: Image,
    /// The serial line.
    pub(crate) console: Console,
    /// How scarce memory is.
    pub(crate) pressure: Pressure,
    /// How fast the processors are said to be.
    pub(crate) performance: Performance,
    /// Whether it was switched off.
    off: AtomicBool,
}

impl Machine {
    /// Makes the parts that only Zircon needs.
    ///
    /// # Errors
    ///
    /// [`kernel_objects::Error::NoMemory`].
    pub fn new(kernel: Arc<Kernel>) -> Result<Arc<Self>> {
        let log = KernelLog::new();
        let resources = ResourceSpace::new();
        // The first vector that is no exception of the processor, and as many as one allocation may have.
        resources
            .set_msi_controller(MsiController::new(32..64))
            .ok_or(kernel_objects::Error::BadState)?;
        let image = vdso::image(&vdso::Machine {
            cpus: u32::try_from(kernel.cpus.count()).unwrap_or(u32::MAX),
            ticks_per_second: ticks_per_second(),
            physmem: kernel.memory_size().0,
        });
        let vdso_image = loader::vdso_image(&image)?;
        let options = VmoOptions::default();
        let vdso = Vmo::create(&kernel.memory, image.len() as u64, options)?;
        vdso.write(0, &image)?;
        vdso.set_name("vdso/stable");
        let console = Console::new(&log, &resources)?;
        let performance = Performance::new(kernel.cpus.count());
        Ok(Arc::new(Self {
            kernel,
            log,
            resources,
            vdso,
            vdso_image,
            console,
            pressure: Pressure::default(),
            performance,
            off: AtomicBool::new(false),
        }))
    }

    /// Switches it off: every process is killed.
    pub(crate) fn shut_down(&self) {
        self.off.store(true, Ordering::Relaxed);
        self.kernel.job.kill();
    }

    /// Whether it was switched off.
    pub(crate) fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// The physical memory that VMOs are made of.
    pub fn memory(&self) -> &Arc<PhysicalMemory> {
        &self.kernel.memory
    }
}

/// How fast the time-stamp counter runs.
fn ticks_per_second() -> u64 {
    const SAMPLE: u64 = 1 << 32;
    let nanos = hal::time::cycles_to_nanos(SAMPLE).max(1);
    let ticks = u128::from(SAMPLE) * u128::from(hal::time::NANOS_PER_SEC) / u128::from(nanos);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}
