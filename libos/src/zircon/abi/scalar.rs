//! The scalar types of `<zircon/types.h>`: numbers that C has a name for.

use std::fmt;

use kernel_objects::{HandleValue, Rights, Signals, Vmar, deadline};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{CType, plain};
use crate::abi::argument::Argument;

macro_rules! scalars {
    ($($(#[doc = $doc:literal])+ $name:ident($ty:ty as $c:literal) = $c_name:literal, $format:literal;)*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(transparent)]
            pub struct $name(pub $ty);

            impl CType for $name {
                fn declare(name: &str) -> String { plain($c_name, name) }
            }

            impl Argument for $name {
                // The ABI defines the truncation: a 32-bit argument is the register's low half.
                fn from_register(value: u64) -> Self { Self(value as $ty) }

                fn show(&self, _: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
                    write!(out, $format, self.0)
                }
            }
        )*

        /// Each type's C type and name.
        pub const TYPEDEFS: &[(&str, &str)] = &[$(($c, $c_name)),*];
    };
}

scalars! {
    /// Names a handle in one process.
    ZxHandle(u32 as "uint32_t") = "zx_handle_t", "{:#x}";
    /// 0, or a negative error.
    ZxStatus(i32 as "int32_t") = "zx_status_t", "{}";
    /// A set of [`Rights`].
    ZxRights(u32 as "uint32_t") = "zx_rights_t", "{:#x}";
    /// A set of [`Signals`].
    ZxSignals(u32 as "uint32_t") = "zx_signals_t", "{:#x}";
    /// Nanoseconds of a clock; a point in time.
    ZxTime(i64 as "int64_t") = "zx_time_t", "{}";
    /// Nanoseconds.
    ZxDuration(i64 as "int64_t") = "zx_duration_t", "{}";
    /// Cycles of the time-stamp counter.
    ZxTicks(i64 as "int64_t") = "zx_ticks_t", "{}";
    /// A clock.
    ZxClock(u32 as "uint32_t") = "zx_clock_t", "{}";
    /// An object's identity.
    ZxKoid(u64 as "uint64_t") = "zx_koid_t", "{}";
    /// An object's type.
    ZxObjType(u32 as "uint32_t") = "zx_obj_type_t", "{}";
    /// What can be done with an object: `ZX_OBJ_PROP_*`.
    ZxObjProps(u32 as "uint32_t") = "zx_obj_props_t", "{:#x}";
    /// What is done with a handle that is written: `ZX_HANDLE_OP_*`.
    ZxHandleOp(u32 as "uint32_t") = "zx_handle_op_t", "{}";
    /// An address in a process.
    ZxVaddr(u64 as "uintptr_t") = "zx_vaddr_t", "{:#x}";
    /// A physical address.
    ZxPaddr(u64 as "uintptr_t") = "zx_paddr_t", "{:#x}";
    /// A position in a VMO.
    ZxOff(u64 as "uint64_t") = "zx_off_t", "{}";
    /// How memory is mapped: `ZX_VM_*`.
    ZxVmOption(u32 as "uint32_t") = "zx_vm_option_t", "{:#x}";
    /// What tells answers apart.
    ZxTxid(u32 as "uint32_t") = "zx_txid_t", "{}";
    /// What a stream's position is counted from: `ZX_STREAM_SEEK_ORIGIN_*`.
    ZxSeekOrigin(u32 as "uint32_t") = "zx_stream_seek_origin_t", "{}";
    /// What a thread is doing: `ZX_THREAD_STATE_*`.
    ZxThreadState(u32 as "uint32_t") = "zx_thread_state_t", "{:#x}";
}

macro_rules! c_only {
    ($($(#[doc = $doc:literal])+ $name:ident($ty:ty) = $c:literal;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(transparent)]
        pub struct $name(pub $ty);

        impl CType for $name {
            fn declare(name: &str) -> String { plain($c, name) }
        }
    )*};
}

// Types of fields that have no name of their own in C.
c_only! {
    /// A truth value; the kernel writes 0 or 1.
    CBool(u8) = "bool";
    /// A character of a name.
    CChar(u8) = "char";
    /// What a futex is.
    ZxFutex(i32) = "zx_futex_t";
    /// What is behind an untyped pointer.
    Void(u8) = "void";
    /// A pointer to bytes that the kernel reads.
    ConstBytes(u64) = "const void*";
    /// A pointer to bytes that the kernel writes.
    MutBytes(u64) = "void*";
    /// A pointer to handles that the kernel reads.
    ConstHandles(u64) = "const zx_handle_t*";
    /// A pointer to handles that the kernel writes.
    MutHandles(u64) = "zx_handle_t*";
    /// A pointer to dispositions.
    MutDispositions(u64) = "zx_handle_disposition_t*";
    /// A pointer to the handles of a message and what they are.
    MutHandleInfos(u64) = "zx_handle_info_t*";
}

impl ZxHandle {
    /// The value as the handle table has it.
    pub fn value(self) -> HandleValue {
        HandleValue(self.0)
    }
}

impl From<HandleValue> for ZxHandle {
    fn from(value: HandleValue) -> Self {
        Self(value.0)
    }
}

impl ZxRights {
    /// The set, with bits that have no name.
    pub fn rights(self) -> Rights {
        Rights::from_bits_retain(self.0)
    }
}

impl ZxSignals {
    /// The set.
    pub fn signals(self) -> Signals {
        Signals::from_bits_retain(self.0)
    }
}

impl From<Signals> for ZxSignals {
    fn from(signals: Signals) -> Self {
        Self(signals.bits())
    }
}

impl ZxTime {
    /// Never: `ZX_TIME_INFINITE`.
    pub const INFINITE: Self = Self(i64::MAX);

    /// As a deadline of kernel objects, which know no times before the start of the clock.
    pub fn deadline(self) -> deadline::Deadline {
        if self == Self::INFINITE { deadline::INFINITE } else { self.0.max(0).unsigned_abs() }
    }

    /// A time of the kernel; what does not fit is never.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

impl CBool {
    /// 0 or 1.
    pub fn new(value: bool) -> Self {
        Self(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_clock_began_is_its_beginning_and_the_last_one_never() {
        assert_eq!(ZxTime(i64::MIN).deadline(), 0);
        assert_eq!(ZxTime(5).deadline(), 5);
        assert_eq!(ZxTime::INFINITE.deadline(), deadline::INFINITE);
        assert_eq!(ZxTime::from_nanos(u64::MAX), ZxTime::INFINITE);
    }
}
