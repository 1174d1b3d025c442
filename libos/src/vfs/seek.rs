//! Positions: from where lseek(2) counts, and which files have one at all.
//!
//! The one idea: what the position is to a file is one property, from which follows what each of the calls says.

use linux_raw_sys::general as raw;

use crate::errno::{Errno, SysResult};

/// Where lseek(2) counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// `SEEK_SET`: the beginning.
    Start,
    /// `SEEK_CUR`: the position.
    Current,
    /// `SEEK_END`: the end.
    End,
    /// `SEEK_DATA`: the next data.
    Data,
    /// `SEEK_HOLE`: the next hole.
    Hole,
}

impl Whence {
    /// The value of lseek(2)'s third argument; `EINVAL` if unknown.
    pub fn from_raw(raw: u32) -> SysResult<Self> {
        Ok(match raw {
            raw::SEEK_SET => Self::Start,
            raw::SEEK_CUR => Self::Current,
            raw::SEEK_END => Self::End,
            raw::SEEK_DATA => Self::Data,
            raw::SEEK_HOLE => Self::Hole,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// What its position is to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeking {
    /// It has none: lseek, pread and pwrite fail with `ESPIPE`.
    Never,
    /// Seeking is allowed and does nothing, and there are no offsets, `ESPIPE`: files of events.
    Idle,
    /// The position stays at 0 wherever one seeks, and one offset is like another: /dev/null and its kin.
    Nowhere,
    /// Reads and writes happen at the position and move it.
    Moves,
}

impl Seeking {
    pub(super) fn is_allowed(self) -> bool {
        self != Self::Never
    }

    /// Whether reads and writes depend on it.
    pub(super) fn has_position(self) -> bool {
        self == Self::Moves
    }

    /// Whether pread and pwrite work.
    pub(super) fn has_offsets(self) -> bool {
        matches!(self, Self::Nowhere | Self::Moves)
    }
}
