//! VMARs: what is mapped where.

use std::sync::Arc;

use hal::aspace::Prot;
use kernel_objects::{
    Clock, Error, Handle, Iob, MapArgs, MappingFlags, Placement, Result, Rights, Vmar, Vmo,
    clock::MAPPED_SIZE,
    task::{BlockedReason, ExceptionReport, PolicyCondition},
    vmar::VmarOp,
};

use super::{argument::Out, no_options};
use crate::zircon::{
    Thread,
    abi::{Void, ZxHandle, ZxVaddr, ZxVmOption, constants::*},
};

bitflags::bitflags! {
    /// `ZX_VM_*` without the alignment.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct VmOptions: u32 {
        const PERM_READ = ZX_VM_PERM_READ;
        const PERM_WRITE = ZX_VM_PERM_WRITE;
        const PERM_EXECUTE = ZX_VM_PERM_EXECUTE;
        const COMPACT = ZX_VM_COMPACT;
        const SPECIFIC = ZX_VM_SPECIFIC;
        const SPECIFIC_OVERWRITE = ZX_VM_SPECIFIC_OVERWRITE;
        const CAN_MAP_SPECIFIC = ZX_VM_CAN_MAP_SPECIFIC;
        const CAN_MAP_READ = ZX_VM_CAN_MAP_READ;
        const CAN_MAP_WRITE = ZX_VM_CAN_MAP_WRITE;
        const CAN_MAP_EXECUTE = ZX_VM_CAN_MAP_EXECUTE;
        const MAP_RANGE = ZX_VM_MAP_RANGE;
        const REQUIRE_NON_RESIZABLE = ZX_VM_REQUIRE_NON_RESIZABLE;
        const ALLOW_FAULTS = ZX_VM_ALLOW_FAULTS;
        const OFFSET_IS_UPPER_LIMIT = ZX_VM_OFFSET_IS_UPPER_LIMIT;
        const PERM_READ_IF_XOM_UNSUPPORTED = ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED;

        const PERMS = Self::PERM_READ.bits() | Self::PERM_WRITE.bits() | Self::PERM_EXECUTE.bits();
        const PLACES = Self::SPECIFIC.bits() | Self::SPECIFIC_OVERWRITE.bits()
            | Self::OFFSET_IS_UPPER_LIMIT.bits();
        const ALLOCATE = Self::PLACES.bits() | Self::COMPACT.bits() | Self::CAN_MAP_SPECIFIC.bits()
            | Self::CAN_MAP_READ.bits() | Self::CAN_MAP_WRITE.bits() | Self::CAN_MAP_EXECUTE.bits();
        const MAP = Self::PLACES.bits() | Self::PERMS.bits() | Self::MAP_RANGE.bits()
            | Self::REQUIRE_NON_RESIZABLE.bits() | Self::ALLOW_FAULTS.bits()
            | Self::PERM_READ_IF_XOM_UNSUPPORTED.bits();
    }
}

impl VmOptions {
    /// The options that are among `allowed`, and the alignment in bytes, 0 for none.
    fn parse(raw: ZxVmOption, allowed: Self) -> Result<(Self, u64)> {
        let options =
            Self::from_bits(raw.0 & ((1 << ZX_VM_ALIGN_BASE) - 1)).ok_or(Error::InvalidArgs)?;
        let align = raw.0 >> ZX_VM_ALIGN_BASE;
        if !allowed.contains(options) || (align != 0 && !(10..=32).contains(&align)) {
            return Err(Error::InvalidArgs);
        }
        Ok((options, if align == 0 { 0 } else { 1 << align }))
    }

    /// What may be done with the memory, of which reading is part where anything is.
    fn prot(self) -> Result<Prot> {
        let mut prot = Prot::empty();
        prot.set(Prot::READ, self.contains(Self::PERM_READ));
        prot.set(Prot::WRITE, self.contains(Self::PERM_WRITE));
        prot.set(Prot::EXEC, self.contains(Self::PERM_EXECUTE));
        if self.contains(Self::PERM_READ_IF_XOM_UNSUPPORTED) && self.contains(Self::PERM_EXECUTE) {
            prot |= Prot::READ;
        }
        // There is no memory that can be written or executed and not read.
        if !prot.is_empty() && !prot.contains(Prot::READ) {
            return Err(Error::InvalidArgs);
        }
        Ok(prot)
    }

    fn place(self, vmar: &Vmar, offset: u64) -> Result<Placement> {
        let base = vmar.range().start;
        let at = base.checked_add(offset).ok_or(Error::InvalidArgs)?;
        match self & Self::PLACES {
            none if none.is_empty() && offset != 0 => Err(Error::InvalidArgs),
            none if none.is_empty() => Ok(Placement::TopDown),
            Self::OFFSET_IS_UPPER_LIMIT => Ok(Placement::Between(base, at)),
            Self::SPECIFIC => Ok(Placement::Exact(at)),
            both if both.contains(Self::OFFSET_IS_UPPER_LIMIT) => Err(Error::InvalidArgs),
            _ => Ok(Placement::Replace(at)),
        }
    }
}

/// The rights that a handle must have for memory to be mapped so.
fn rights_for(prot: Prot) -> Rights {
    let mut rights = Rights::empty();
    rights.set(Rights::READ, prot.contains(Prot::READ));
    rights.set(Rights::WRITE, prot.contains(Prot::WRITE));
    rights.set(Rights::EXECUTE, prot.contains(Prot::EXEC));
    rights
}

/// What may be done with memory that is mapped through handles with these rights.
fn prot_for(rights: Rights) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, rights.contains(Rights::READ));
    prot.set(Prot::WRITE, rights.contains(Rights::WRITE));
    prot.set(Prot::EXEC, rights.contains(Rights::EXECUTE));
    prot
}

fn check_wx(thread: &Thread, prot: Prot) -> Result {
    match prot.contains(Prot::WRITE | Prot::EXEC) {
        true => thread.policy(PolicyCondition::VmarWx),
        false => Ok(()),
    }
}

/// zx_vmar_allocate
pub(super) fn allocate(
    thread: &Thread,
    parent_vmar: ZxHandle,
    options: ZxVmOption,
    offset: usize,
    size: usize,
    child_vmar: Out<ZxHandle>,
    child_addr: Out<ZxVaddr>,
) -> Result {
    let (options, align) = VmOptions::parse(options, VmOptions::ALLOCATE)?;
    let mut needed = Rights::empty();
    needed.set(Rights::READ, options.contains(VmOptions::CAN_MAP_READ));
    needed.set(Rights::WRITE, options.contains(VmOptions::CAN_MAP_WRITE));
    needed.set(Rights::EXECUTE, options.contains(VmOptions::CAN_MAP_EXECUTE));
    let parent = thread.get::<Vmar>(parent_vmar, needed)?;
    if options.contains(VmOptions::SPECIFIC_OVERWRITE) {
        return Err(Error::InvalidArgs);
    }
    // One that is to be compact gets what all get: the mappings in it lie side by side.
    let specific = options.contains(VmOptions::CAN_MAP_SPECIFIC);
    let place = options.place(&parent, offset as u64)?;
    let child = parent.allocate_with(place, size as u64, align, specific)?;
    let base = child.range().start;
    let rights = Rights::default_for(kernel_objects::ObjectType::Vmar) | needed;
    child_addr.0.write(thread.vmar(), &ZxVaddr(base))?;
    thread.give([(Handle::with_rights(child, rights), child_vmar)])
}

/// Fails if a mapping up to `end` in the VMO could fault, and that is not allowed.
fn check_faults(vmo: &Vmo, options: VmOptions, end: u64) -> Result {
    let resizable = vmo.options().resizable;
    if resizable && options.contains(VmOptions::REQUIRE_NON_RESIZABLE) {
        return Err(Error::NotSupported);
    }
    match options.contains(VmOptions::ALLOW_FAULTS) {
        true => Ok(()),
        false if resizable || vmo.is_discardable() || vmo.is_pager_backed() => {
            Err(Error::NotSupported)
        }
        false if end > vmo.size() => Err(Error::BufferTooSmall),
        false => Ok(()),
    }
}

/// zx_vmar_map
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn map(
    thread: &Thread,
    handle: ZxHandle,
    options: ZxVmOption,
    vmar_offset: usize,
    vmo: ZxHandle,
    vmo_offset: u64,
    len: usize,
    mapped_addr: Out<ZxVaddr>,
) -> Result {
    let place = Place::parse(thread, handle, options, vmar_offset as u64)?;
    let (vmo, rights) = thread.get_with_rights::<Vmo>(vmo, Rights::MAP)?;
    let mapped = Mapped { vmo, offset: vmo_offset, allowed: prot_for(rights) };
    place.map(thread, mapped, len as u64, mapped_addr)
}

/// zx_vmar_map_iob
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn map_iob(
    thread: &Thread,
    handle: ZxHandle,
    options: ZxVmOption,
    vmar_offset: usize,
    ep: ZxHandle,
    region_index: u32,
    region_offset: u64,
    region_len: usize,
    addr: Out<ZxVaddr>,
) -> Result {
    let place = Place::parse(thread, handle, options, vmar_offset as u64)?;
    let (iob, rights) = thread.get_with_rights::<Iob>(ep, Rights::MAP)?;
    let (vmo, prot) = iob.view(usize::try_from(region_index).map_err(|_| Error::OutOfRange)?)?;
    let mapped = Mapped { vmo, offset: region_offset, allowed: prot & prot_for(rights) };
    place.map(thread, mapped, region_len as u64, addr)
}

/// zx_vmar_map_clock
pub(super) fn map_clock(
    thread: &Thread,
    handle: ZxHandle,
    options: ZxVmOption,
    vmar_offset: u64,
    clock: ZxHandle,
    len: u64,
    mapped_addr: Out<ZxVaddr>,
) -> Result {
    let forbidden = ZX_VM_PERM_WRITE | ZX_VM_PERM_EXECUTE | ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED;
    if options.0 & forbidden != 0 {
        return Err(Error::InvalidArgs);
    }
    let place = Place::parse(thread, handle, options, vmar_offset)?;
    let clock = thread.get::<Clock>(clock, Rights::READ | Rights::MAP)?;
    let vmo = clock.mapped().ok_or(Error::InvalidArgs)?.clone();
    if len != MAPPED_SIZE {
        return Err(Error::InvalidArgs);
    }
    place.map(thread, Mapped { vmo, offset: 0, allowed: Prot::READ }, len, mapped_addr)
}

/// What a call says of where something is to be mapped.
struct Place {
    vmar: Arc<Vmar>,
    /// What the VMAR's handle allows.
    allowed: Prot,
    options: VmOptions,
    align: u64,
    prot: Prot,
    offset: u64,
}

/// What is to be mapped.
struct Mapped {
    vmo: Arc<Vmo>,
    offset: u64,
    /// What its handle allows.
    allowed: Prot,
}

impl Place {
    fn parse(thread: &Thread, handle: ZxHandle, options: ZxVmOption, offset: u64) -> Result<Self> {
        let (options, align) = VmOptions::parse(options, VmOptions::MAP)?;
        let prot = options.prot()?;
        let (vmar, rights) = thread.get_with_rights::<Vmar>(handle, Rights::empty())?;
        Ok(Self { vmar, allowed: prot_for(rights), options, align, prot, offset })
    }

    fn map(self, thread: &Thread, mapped: Mapped, len: u64, out: Out<ZxVaddr>) -> Result {
        let Self { vmar, options, prot, .. } = self;
        let Mapped { vmo, offset: vmo_offset, .. } = mapped;
        let allowed = self.allowed & mapped.allowed;
        if !allowed.contains(prot) {
            return Err(Error::AccessDenied);
        }
        check_wx(thread, prot)?;
        if options.contains(VmOptions::SPECIFIC_OVERWRITE | VmOptions::MAP_RANGE) {
            return Err(Error::InvalidArgs);
        }
        let end = vmo_offset.checked_add(len).ok_or(Error::OutOfRange)?;
        check_faults(&vmo, options, end)?;
        let addr = vmar.map(MapArgs {
            placement: options.place(&vmar, self.offset)?,
            len,
            align: self.align,
            vmo,
            vmo_offset,
            perms: prot,
            max_perms: allowed,
            flags: MappingFlags::empty(),
            populate: options.contains(VmOptions::MAP_RANGE),
            tag: 0,
        })?;
        out.0.write(thread.vmar(), &ZxVaddr(addr)).inspect_err(|_| {
            // Nobody knows of the mapping, but another thread may have found it.
            let _ = vmar.unmap(addr, len);
        })
    }
}

/// zx_vmar_unmap
pub(super) fn unmap(thread: &Thread, handle: ZxHandle, addr: ZxVaddr, len: usize) -> Result {
    thread.get::<Vmar>(handle, Rights::empty())?.unmap(addr.0, len as u64)
}

/// zx_vmar_unmap_handle_close_thread_exit
///
/// Once memory is unmapped, the thread's stack perhaps, it never comes back: if the handle can not be closed it takes a trap.
pub(super) async fn unmap_handle_close_thread_exit(
    thread: &Thread,
    vmar_handle: ZxHandle,
    addr: ZxVaddr,
    size: usize,
    close_handle: ZxHandle,
) -> Result {
    unmap(thread, vmar_handle, addr, size)?;
    if close_handle.0 != ZX_HANDLE_INVALID && thread.handles().close(close_handle.value()).is_err()
    {
        // Once it has waited, others see its registers.
        hal::cpu::yield_now().await;
        thread.object.raise(ExceptionReport::undefined_instruction()).await;
    }
    thread.object.exit();
    Ok(())
}

/// zx_vmar_op_range
pub(super) async fn op_range(
    thread: &Thread,
    handle: ZxHandle,
    op: u32,
    address: ZxVaddr,
    size: usize,
    buffer: Out<Void>,
    buffer_size: usize,
) -> Result {
    let op = VmarOp::from_raw(op)?;
    if !buffer.0.is_null() || buffer_size != 0 {
        return Err(Error::InvalidArgs);
    }
    let rights = match op {
        VmarOp::Commit | VmarOp::Decommit | VmarOp::Zero => Rights::WRITE,
        VmarOp::Prefetch => Rights::READ,
        VmarOp::MapRange | VmarOp::DontNeed | VmarOp::AlwaysNeed => Rights::empty(),
    };
    let vmar = thread.get::<Vmar>(handle, rights)?;
    thread.blocked(BlockedReason::Pager, vmar.op_range(op, address.0, size as u64)).await
}

/// zx_vmar_protect
pub(super) fn protect(
    thread: &Thread,
    handle: ZxHandle,
    options: ZxVmOption,
    addr: ZxVaddr,
    len: usize,
) -> Result {
    let allowed = VmOptions::PERMS | VmOptions::PERM_READ_IF_XOM_UNSUPPORTED;
    let (options, align) = VmOptions::parse(options, allowed)?;
    no_options(align as u32)?;
    let prot = options.prot()?;
    let vmar = thread.get::<Vmar>(handle, rights_for(prot))?;
    check_wx(thread, prot)?;
    vmar.protect(addr.0, len as u64, prot)
}

/// zx_vmar_destroy
pub(super) fn destroy(thread: &Thread, handle: ZxHandle) -> Result {
    thread.get::<Vmar>(handle, Rights::empty())?.destroy()
}
