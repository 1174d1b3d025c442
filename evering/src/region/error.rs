//! Why there is no region, or no end of it.

use core::{error::Error, fmt};

use crate::{AttachError, LayoutError};

/// Memory in which no region can be, or is.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegionError {
    /// A queue of it cannot be.
    Layout(LayoutError),
    /// A queue of it is not the one that was expected.
    Queue(AttachError),
    /// It does not begin as a region does.
    Magic,
    /// It was made by another version of this crate.
    Version(u32),
    /// Its parts do not make up its size, or it would be too large.
    Geometry,
    /// The memory is of another size than the region.
    Size,
    /// The memory could shrink or grow.
    Seals,
    /// That side is taken, or has been; or the region is still in use.
    Taken,
    /// The memory is not a file's.
    NoFile,
    /// The host refused.
    #[cfg(feature = "std")]
    Host(std::io::Error),
}

impl From<LayoutError> for RegionError {
    fn from(error: LayoutError) -> Self {
        RegionError::Layout(error)
    }
}

impl From<AttachError> for RegionError {
    fn from(error: AttachError) -> Self {
        RegionError::Queue(error)
    }
}

#[cfg(feature = "std")]
impl From<std::io::Error> for RegionError {
    fn from(error: std::io::Error) -> Self {
        RegionError::Host(error)
    }
}

#[cfg(feature = "std")]
impl From<nix::errno::Errno> for RegionError {
    fn from(error: nix::errno::Errno) -> Self {
        RegionError::Host(error.into())
    }
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionError::Layout(error) => error.fmt(f),
            RegionError::Queue(error) => error.fmt(f),
            RegionError::Magic => f.write_str("there is no region in this memory"),
            RegionError::Version(version) => write!(f, "the region has version {version}"),
            RegionError::Geometry => f.write_str("the region's parts do not make up its size"),
            RegionError::Size => f.write_str("the memory has another size than the region"),
            RegionError::Seals => f.write_str("the memory is not sealed against shrinking"),
            RegionError::Taken => f.write_str("that side of the region is taken"),
            RegionError::NoFile => f.write_str("the region is not in a file"),
            #[cfg(feature = "std")]
            RegionError::Host(error) => error.fmt(f),
        }
    }
}

impl Error for RegionError {}
