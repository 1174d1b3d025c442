//! Pinned memory tokens: pages that a device may touch until its driver says otherwise.
//!
//! A [`Pmt`] is made by [`Bti::pin`] and ended by [`Pmt::unpin`], which takes the device's access away and then lets the pages go.
//! One that goes otherwise, by its last handle or its last reference, leaves its pages to the quarantine of its BTI.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::bti::Bti;
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    vmo::Pin,
};

/// Pages that stay, and the device's address of the first.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) address: u64,
    #[expect(dead_code, reason = "kept for what its existence does")]
    pub(super) pin: Pin,
}

/// Memory pinned for a device (`zx_bti_pin`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::{Vmo, VmoOptions, resource::ResourceSpace};
/// use kernel_objects::dma::{Bti, Iommu, IommuDescriptor, PinOptions};
///
/// let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
/// let iommu = Iommu::create(&machine.root(), &memory, IommuDescriptor::Dummy).unwrap();
/// let bti = Bti::create(&iommu, 0, 1).unwrap();
/// let vmo = Vmo::create(&memory, 0x1000, VmoOptions::default()).unwrap();
/// let pmt = bti.pin(PinOptions::READ, &vmo, 0, 0x1000, &mut [0]).unwrap();
/// drop(pmt); // its driver died
/// assert_eq!(bti.info().quarantine_count, 1);
/// bti.release_quarantine(); // the next one has reset the device
/// assert_eq!(bti.info().pmo_count, 0);
/// ```
pub struct Pmt {
    base: KObjectBase,
    bti: Arc<Bti>,
    /// `None` once it is unpinned or its pages are in quarantine.
    hold: Mutex<Option<Hold>>,
}

impl Pmt {
    pub(super) fn new(bti: &Arc<Bti>, hold: Hold) -> Arc<Pmt> {
        let hold = Mutex::new(Some(hold));
        Arc::new(Pmt { base: KObjectBase::new(), bti: bti.clone(), hold })
    }

    /// Takes the access of the device away and unpins the pages (`zx_pmt_unpin`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if that was done before, or the pages are in quarantine.
    pub fn unpin(&self) -> Result {
        let hold = self.hold.lock().take().ok_or(Error::BadState)?;
        self.bti.release(hold);
        Ok(())
    }

    fn quarantine(&self) {
        let hold = self.hold.lock().take();
        if let Some(hold) = hold {
            self.bti.quarantine(hold);
        }
    }
}

impl KernelObject for Pmt {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Pmt
    }

    fn related_koid(&self) -> Koid {
        self.bti.koid()
    }

    fn on_zero_handles(&self) {
        self.quarantine();
    }
}

impl Drop for Pmt {
    fn drop(&mut self) {
        self.quarantine();
    }
}

impl fmt::Debug for Pmt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pmt")
            .field("base", &self.base)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}
