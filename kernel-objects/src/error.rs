//! Every way in which an operation on a kernel object can fail.
//!
//! There is one [`Error`] enum with Zircon's names and numeric values, so that a failure crosses the
//! system-call boundary without a translation table. A method's documentation says which of these it
//! returns and when; the text here is what the value means everywhere.

use thiserror::Error as ThisError;

/// What a kernel-object operation returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $variant:ident = $value:literal, $name:literal, $text:literal;)+) => {
        /// An error of a kernel object: a `zx_status_t` other than `ZX_OK`.
        ///
        /// The discriminants are Zircon's values (`zircon/errors.h`); all are negative.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ThisError)]
        #[repr(i32)]
        pub enum Error {
            $($(#[doc = $doc])+ #[error($text)] $variant = $value,)+
        }

        impl Error {
            /// Every error, in the order of the header they come from.
            pub const ALL: &[Error] = &[$(Error::$variant),+];

            /// The constant's name in C, such as `ZX_ERR_BAD_HANDLE`.
            pub const fn name(self) -> &'static str {
                match self { $(Error::$variant => $name,)+ }
            }

            /// The error that has this status, or `None` for `ZX_OK`, positive and unknown values.
            pub const fn from_status(status: i32) -> Option<Error> {
                match status { $($value => Some(Error::$variant),)+ _ => None }
            }
        }
    };
}

errors! {
    /// The system encountered an otherwise unspecified error.
    Internal = -1, "ZX_ERR_INTERNAL", "internal error";
    /// The operation is not implemented, supported or enabled.
    NotSupported = -2, "ZX_ERR_NOT_SUPPORTED", "not supported";
    /// Some resource other than memory could not be allocated.
    NoResources = -3, "ZX_ERR_NO_RESOURCES", "out of resources";
    /// Memory for the operation could not be allocated.
    NoMemory = -4, "ZX_ERR_NO_MEMORY", "out of memory";
    /// The call was interrupted and should be made again; never leaves the vDSO.
    InternalIntrRetry = -6, "ZX_ERR_INTERNAL_INTR_RETRY", "interrupted, to be retried";
    /// An argument is invalid, for example a null pointer where none is permitted.
    InvalidArgs = -10, "ZX_ERR_INVALID_ARGS", "invalid argument";
    /// A handle value does not refer to a handle.
    BadHandle = -11, "ZX_ERR_BAD_HANDLE", "bad handle";
    /// The object is of the wrong type for the operation.
    WrongType = -12, "ZX_ERR_WRONG_TYPE", "wrong type of object";
    /// The system-call number is invalid.
    BadSyscall = -13, "ZX_ERR_BAD_SYSCALL", "bad system call";
    /// An argument is outside the valid range.
    OutOfRange = -14, "ZX_ERR_OUT_OF_RANGE", "out of range";
    /// The caller's buffer is too small.
    BufferTooSmall = -15, "ZX_ERR_BUFFER_TOO_SMALL", "buffer too small";
    /// The object's current state does not allow the operation.
    BadState = -20, "ZX_ERR_BAD_STATE", "bad state";
    /// The time limit passed before the operation completed.
    TimedOut = -21, "ZX_ERR_TIMED_OUT", "timed out";
    /// The operation cannot be performed now but may succeed after waiting (readable, writable).
    ShouldWait = -22, "ZX_ERR_SHOULD_WAIT", "should wait";
    /// The operation in progress, a wait for instance, was cancelled.
    Canceled = -23, "ZX_ERR_CANCELED", "cancelled";
    /// The other end of the object was closed.
    PeerClosed = -24, "ZX_ERR_PEER_CLOSED", "peer closed";
    /// The requested entity was not found.
    NotFound = -25, "ZX_ERR_NOT_FOUND", "not found";
    /// An object with that identifier exists already.
    AlreadyExists = -26, "ZX_ERR_ALREADY_EXISTS", "already exists";
    /// The entity is owned or controlled by another; it may be released later.
    AlreadyBound = -27, "ZX_ERR_ALREADY_BOUND", "already bound";
    /// The object cannot perform the operation now, and nothing tells when it will.
    Unavailable = -28, "ZX_ERR_UNAVAILABLE", "unavailable";
    /// The caller lacks the right or the permission.
    AccessDenied = -30, "ZX_ERR_ACCESS_DENIED", "access denied";
    /// An otherwise unspecified failure of input or output.
    Io = -40, "ZX_ERR_IO", "input/output error";
    /// The device rejected the operation.
    IoRefused = -41, "ZX_ERR_IO_REFUSED", "refused by the device";
    /// The data failed an integrity check.
    IoDataIntegrity = -42, "ZX_ERR_IO_DATA_INTEGRITY", "data failed an integrity check";
    /// The data is unavailable and may be lost for good.
    IoDataLoss = -43, "ZX_ERR_IO_DATA_LOSS", "data lost";
    /// The device is gone.
    IoNotPresent = -44, "ZX_ERR_IO_NOT_PRESENT", "device not present";
    /// The device sent more data than expected.
    IoOverrun = -45, "ZX_ERR_IO_OVERRUN", "overrun";
    /// The operation did not complete within the required time frame.
    IoMissedDeadline = -46, "ZX_ERR_IO_MISSED_DEADLINE", "missed deadline";
    /// The data of the operation is invalid or out of range.
    IoInvalid = -47, "ZX_ERR_IO_INVALID", "invalid data";
    /// A path name is too long.
    BadPath = -50, "ZX_ERR_BAD_PATH", "bad path";
    /// The object is no directory.
    NotDir = -51, "ZX_ERR_NOT_DIR", "not a directory";
    /// The object is no regular file.
    NotFile = -52, "ZX_ERR_NOT_FILE", "not a file";
    /// A file would exceed its file system's size limit.
    FileBig = -53, "ZX_ERR_FILE_BIG", "file too big";
    /// The file system or device is full.
    NoSpace = -54, "ZX_ERR_NO_SPACE", "no space left";
    /// The directory is not empty.
    NotEmpty = -55, "ZX_ERR_NOT_EMPTY", "not empty";
    /// Flow control: do not call again.
    Stop = -60, "ZX_ERR_STOP", "stop";
    /// Flow control: advance to the next item.
    Next = -61, "ZX_ERR_NEXT", "next";
    /// Flow control: an asynchronous worker took the item over.
    Async = -62, "ZX_ERR_ASYNC", "continues asynchronously";
    /// The protocol is not supported.
    ProtocolNotSupported = -70, "ZX_ERR_PROTOCOL_NOT_SUPPORTED", "protocol not supported";
    /// The host is unreachable.
    AddressUnreachable = -71, "ZX_ERR_ADDRESS_UNREACHABLE", "address unreachable";
    /// The address is used by someone else.
    AddressInUse = -72, "ZX_ERR_ADDRESS_IN_USE", "address in use";
    /// The socket is not connected.
    NotConnected = -73, "ZX_ERR_NOT_CONNECTED", "not connected";
    /// The peer rejected the connection.
    ConnectionRefused = -74, "ZX_ERR_CONNECTION_REFUSED", "connection refused";
    /// The connection was reset.
    ConnectionReset = -75, "ZX_ERR_CONNECTION_RESET", "connection reset";
    /// The connection was aborted.
    ConnectionAborted = -76, "ZX_ERR_CONNECTION_ABORTED", "connection aborted";
    /// A task was killed during the operation; never leaves the vDSO.
    InternalIntrKilled = -502, "ZX_ERR_INTERNAL_INTR_KILLED", "killed during the operation";
}

impl Error {
    /// The `zx_status_t` of this error.
    pub const fn status(self) -> i32 {
        self as i32
    }
}

/// The `zx_status_t` of a result: 0 (`ZX_OK`) or the error's.
pub fn status_of<T>(result: &Result<T>) -> i32 {
    result.as_ref().err().map_or(0, |e| e.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_zircons() {
        let values = [
            -1, -2, -3, -4, -6, -10, -11, -12, -13, -14, -15, -20, -21, -22, -23, -24, -25, -26,
            -27, -28, -30, -40, -41, -42, -43, -44, -45, -46, -47, -50, -51, -52, -53, -54, -55,
            -60, -61, -62, -70, -71, -72, -73, -74, -75, -76, -502,
        ];
        assert!(Error::ALL.iter().map(|error| error.status()).eq(values));
        assert_eq!(Error::PeerClosed.status(), -24);
        assert_eq!(Error::AccessDenied.status(), -30);
        assert_eq!(Error::BadHandle.to_string(), "bad handle");
    }

    #[test]
    fn a_name_in_c_is_the_variants_own() {
        for error in Error::ALL {
            let name = error.name().strip_prefix("ZX_ERR_").map(|name| name.replace('_', ""));
            assert_eq!(name, Some(format!("{error:?}").to_uppercase()));
        }
    }

    #[test]
    fn every_status_finds_its_error_and_no_other_value_does() {
        for &e in Error::ALL {
            assert_eq!(Error::from_status(e.status()), Some(e));
        }
        for status in [0, 1, -5, -1000, i32::MIN, i32::MAX] {
            assert_eq!(Error::from_status(status), None);
        }
        assert_eq!(status_of(&Ok(())), 0);
        assert_eq!(status_of::<()>(&Err(Error::TimedOut)), -21);
    }
}
