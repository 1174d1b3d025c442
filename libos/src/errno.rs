//! Linux error numbers, and the result type of everything that can fail the way a system call does.
//!
//! The one idea: an error is a number with a name, small enough to travel in a register, and the values
//! come from the kernel's own headers (`linux-raw-sys`), never from us. See errno(3).

use std::fmt;

use linux_raw_sys::errno as raw;

/// A Linux error number, positive: `ENOENT` is 2.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

/// What a system call or a part of one ends with.
pub type SysResult<T = usize> = Result<T, Errno>;

impl Errno {
    /// The error with number `raw`; used for what the host returned.
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// The positive number.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The value as the system-call ABI returns it in `rax`: the negative number.
    pub const fn to_register(self) -> u64 {
        (self.0 as i64).wrapping_neg() as u64
    }

    /// Whether this is one of the `ERESTART*` errors, which no guest ever sees.
    pub const fn is_restart(self) -> bool {
        matches!(
            self,
            Self::ERESTARTSYS
                | Self::ERESTARTNOINTR
                | Self::ERESTARTNOHAND
                | Self::ERESTART_RESTARTBLOCK
        )
    }

    /// Interrupted; restart if the handler has `SA_RESTART` (never seen by a guest, signal(7)).
    pub const ERESTARTSYS: Self = Self(512);
    /// Interrupted; restart whatever the handler says.
    pub const ERESTARTNOINTR: Self = Self(513);
    /// Interrupted; restart only when no handler runs.
    pub const ERESTARTNOHAND: Self = Self(514);
    /// Interrupted; without a handler, go on through restart_syscall(2) with the remaining time.
    pub const ERESTART_RESTARTBLOCK: Self = Self(516);
}

/// Defines the named constants and the table for their names.
macro_rules! errnos {
    ($($name:ident)*) => {
        #[allow(missing_docs, reason = "the names are those of errno(3)")]
        impl Errno {
            $(pub const $name: Self = Self(raw::$name as i32);)*

            /// The symbolic name, as `errno -l` prints it.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    Self::ERESTARTSYS => Some("ERESTARTSYS"),
                    Self::ERESTARTNOINTR => Some("ERESTARTNOINTR"),
                    Self::ERESTARTNOHAND => Some("ERESTARTNOHAND"),
                    Self::ERESTART_RESTARTBLOCK => Some("ERESTART_RESTARTBLOCK"),
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR
    EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK
    EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC
    ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ
    EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET
    ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH
    EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM
    EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE
    ERFKILL EHWPOISON
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_its_name_and_returns_its_negative_number() {
        assert_eq!(Errno::ENOENT.to_string(), "ENOENT");
        assert_eq!(Errno::ENOENT.to_register() as i64, -2);
        assert_eq!(Errno::from_raw(11), Errno::EAGAIN);
    }
}
