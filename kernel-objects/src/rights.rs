//! What the holder of a handle may do with the object behind it.

use bitflags::bitflags;

use crate::{
    error::{Error, Result},
    object::ObjectType,
};

bitflags! {
    /// The rights of a handle: `zx_rights_t` (`zircon/rights.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Rights: u32 {
        /// Make another handle to the object.
        const DUPLICATE = 1 << 0;
        /// Send the handle through a channel.
        const TRANSFER = 1 << 1;
        /// Read from the object.
        const READ = 1 << 2;
        /// Write to the object.
        const WRITE = 1 << 3;
        /// Map it executable.
        const EXECUTE = 1 << 4;
        /// Map it.
        const MAP = 1 << 5;
        /// Read properties.
        const GET_PROPERTY = 1 << 6;
        /// Change properties.
        const SET_PROPERTY = 1 << 7;
        /// List children and get handles to them.
        const ENUMERATE = 1 << 8;
        /// Kill a task, destroy a region.
        const DESTROY = 1 << 9;
        /// Change policies.
        const SET_POLICY = 1 << 10;
        /// Read policies.
        const GET_POLICY = 1 << 11;
        /// Set and clear the object's signals.
        const SIGNAL = 1 << 12;
        /// Set and clear the peer's signals.
        const SIGNAL_PEER = 1 << 13;
        /// Wait for the object's signals.
        const WAIT = 1 << 14;
        /// Ask what the object is.
        const INSPECT = 1 << 15;
        /// Manage a job.
        const MANAGE_JOB = 1 << 16;
        /// Manage a process.
        const MANAGE_PROCESS = 1 << 17;
        /// Manage a thread.
        const MANAGE_THREAD = 1 << 18;
        /// Apply a scheduling profile.
        const APPLY_PROFILE = 1 << 19;
        /// Say which ends of a socket may write.
        const MANAGE_SOCKET = 1 << 20;
        /// Change the size of a VMO.
        const RESIZE = 1 << 21;
        /// As an argument only: the rights that the handle has already.
        const SAME_RIGHTS = 1 << 31;

        /// What most handles have.
        const BASIC = Self::TRANSFER.bits() | Self::DUPLICATE.bits() | Self::WAIT.bits()
            | Self::INSPECT.bits();
        /// Read and write.
        const IO = Self::READ.bits() | Self::WRITE.bits();
        /// Get and set properties.
        const PROPERTY = Self::GET_PROPERTY.bits() | Self::SET_PROPERTY.bits();
        /// Get and set policies.
        const POLICY = Self::GET_POLICY.bits() | Self::SET_POLICY.bits();
    }
}

impl Rights {
    /// The rights that a new handle to an object of this type has (`ZX_DEFAULT_*_RIGHTS`).
    pub const fn default_for(object: ObjectType) -> Rights {
        use ObjectType as T;
        let basic = Rights::BASIC;
        let no_wait = basic.difference(Rights::WAIT);
        let tasks = Rights::IO.union(Rights::PROPERTY).union(Rights::DESTROY).union(Rights::SIGNAL);
        let both = Rights::SIGNAL.union(Rights::SIGNAL_PEER);
        match object {
            T::Channel => basic.difference(Rights::DUPLICATE).union(Rights::IO).union(both),
            T::Event => basic.union(Rights::SIGNAL),
            T::EventPair => basic.union(both),
            T::Fifo => basic.union(Rights::IO).union(both),
            T::Socket => basic
                .union(Rights::IO)
                .union(Rights::PROPERTY)
                .union(both)
                .union(Rights::MANAGE_SOCKET),
            T::Stream => basic.union(Rights::PROPERTY).union(Rights::SIGNAL),
            T::Port => no_wait.union(Rights::IO),
            T::Timer => basic.union(Rights::WRITE).union(Rights::SIGNAL),
            T::Counter => basic.union(Rights::IO).union(Rights::SIGNAL),
            T::Clock => basic.union(Rights::IO),
            T::Iob => {
                basic.union(Rights::IO).union(Rights::PROPERTY).union(Rights::MAP).union(both)
            }
            T::IobSharedRegion => basic.union(Rights::PROPERTY).union(Rights::SIGNAL),
            T::DebugLog => basic.union(Rights::WRITE).union(Rights::SIGNAL),
            T::Interrupt => basic.union(Rights::IO).union(Rights::SIGNAL),
            T::PciDevice => basic.union(Rights::IO),
            T::Msi => basic,
            T::Job => basic
                .union(tasks)
                .union(Rights::POLICY)
                .union(Rights::ENUMERATE)
                .union(Rights::MANAGE_JOB)
                .union(Rights::MANAGE_PROCESS)
                .union(Rights::MANAGE_THREAD),
            T::Process => basic
                .union(tasks)
                .union(Rights::ENUMERATE)
                .union(Rights::MANAGE_PROCESS)
                .union(Rights::MANAGE_THREAD),
            T::Thread => basic.union(tasks).union(Rights::MANAGE_THREAD),
            T::Vmo => basic
                .union(Rights::IO)
                .union(Rights::PROPERTY)
                .union(Rights::MAP)
                .union(Rights::SIGNAL),
            T::Vmar | T::Iommu => no_wait,
            T::Bti => no_wait.union(Rights::IO).union(Rights::MAP),
            T::Profile => no_wait.union(Rights::APPLY_PROFILE),
            T::Pmt => Rights::INSPECT,
            T::SuspendToken => Rights::TRANSFER.union(Rights::INSPECT),
            T::Pager => Rights::INSPECT.union(Rights::PROPERTY).union(Rights::TRANSFER),
            T::Exception => Rights::TRANSFER.union(Rights::PROPERTY).union(Rights::INSPECT),
            T::Resource => Rights::TRANSFER
                .union(Rights::DUPLICATE)
                .union(Rights::WRITE)
                .union(Rights::INSPECT),
            T::Guest => Rights::TRANSFER
                .union(Rights::DUPLICATE)
                .union(Rights::WRITE)
                .union(Rights::INSPECT)
                .union(Rights::MANAGE_PROCESS),
            T::Vcpu => basic.union(Rights::IO).union(Rights::EXECUTE).union(Rights::SIGNAL),
        }
    }

    /// The rights that a copy of a handle with `self` gets when `requested` is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `requested` has rights that `self` has not, or an unknown bit.
    pub fn reduce(self, requested: Rights) -> Result<Rights> {
        match requested {
            Rights::SAME_RIGHTS => Ok(self),
            _ if self.contains(requested) => Ok(requested),
            _ => Err(Error::InvalidArgs),
        }
    }

    /// Checks that all of `needed` are here.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if one is not.
    pub fn require(self, needed: Rights) -> Result {
        if self.contains(needed) { Ok(()) } else { Err(Error::AccessDenied) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_zircons() {
        use ObjectType as T;
        for (object, rights) in [
            (T::Process, 0x6_d3cf),
            (T::Thread, 0x4_d2cf),
            (T::Vmo, 0xd0ef),
            (T::Channel, 0xf00e),
            (T::Event, 0xd003),
            (T::Port, 0x800f),
            (T::Interrupt, 0xd00f),
            (T::PciDevice, 0xc00f),
            (T::DebugLog, 0xd00b),
            (T::Socket, 0x10_f0cf),
            (T::Resource, 0x800b),
            (T::EventPair, 0xf003),
            (T::Job, 0x7_dfcf),
            (T::Vmar, 0x8003),
            (T::Fifo, 0xf00f),
            (T::Guest, 0x2_800b),
            (T::Vcpu, 0xd01f),
            (T::Timer, 0xd00b),
            (T::Iommu, 0x8003),
            (T::Bti, 0x802f),
            (T::Profile, 0x8_8003),
            (T::Pmt, 0x8000),
            (T::SuspendToken, 0x8002),
            (T::Pager, 0x80c2),
            (T::Exception, 0x80c2),
            (T::Clock, 0xc00f),
            (T::Stream, 0xd0c3),
            (T::Msi, 0xc003),
            (T::Counter, 0xd00f),
            (T::Iob, 0xf0ef),
            (T::IobSharedRegion, 0xd0c3),
        ] {
            let default = Rights::default_for(object).bits();
            assert_eq!(default, rights, "{object:?}: {default:#x}");
        }
    }

    #[test]
    fn bits_are_zircons() {
        let bits = [
            Rights::DUPLICATE,
            Rights::TRANSFER,
            Rights::READ,
            Rights::WRITE,
            Rights::EXECUTE,
            Rights::MAP,
            Rights::GET_PROPERTY,
            Rights::SET_PROPERTY,
            Rights::ENUMERATE,
            Rights::DESTROY,
            Rights::SET_POLICY,
            Rights::GET_POLICY,
            Rights::SIGNAL,
            Rights::SIGNAL_PEER,
            Rights::WAIT,
            Rights::INSPECT,
            Rights::MANAGE_JOB,
            Rights::MANAGE_PROCESS,
            Rights::MANAGE_THREAD,
            Rights::APPLY_PROFILE,
            Rights::MANAGE_SOCKET,
            Rights::RESIZE,
        ];
        assert!(bits.iter().enumerate().all(|(n, right)| right.bits() == 1 << n));
        assert_eq!(Rights::SAME_RIGHTS.bits(), 1 << 31);
        let sets = [Rights::BASIC, Rights::IO, Rights::PROPERTY, Rights::POLICY];
        assert_eq!(sets.map(|set| set.bits()), [0xc003, 0xc, 0xc0, 0xc00]);
    }

    #[test]
    fn rights_can_be_kept_or_reduced_but_not_widened() {
        let rights = Rights::READ | Rights::DUPLICATE;
        assert_eq!(rights.reduce(Rights::SAME_RIGHTS), Ok(rights));
        assert_eq!(rights.reduce(Rights::READ), Ok(Rights::READ));
        assert_eq!(rights.reduce(Rights::empty()), Ok(Rights::empty()));
        assert_eq!(rights.reduce(Rights::WRITE), Err(Error::InvalidArgs));
        assert_eq!(rights.reduce(Rights::READ | Rights::SAME_RIGHTS), Err(Error::InvalidArgs));
        assert_eq!(rights.reduce(Rights::from_bits_retain(1 << 25)), Err(Error::InvalidArgs));
    }

    #[test]
    fn require_wants_all() {
        assert_eq!(Rights::IO.require(Rights::READ), Ok(()));
        assert_eq!(Rights::READ.require(Rights::IO), Err(Error::AccessDenied));
    }
}
