//! What can be an entry of a ring.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Plain old data: every bit pattern is a value, no byte is padding, nothing points anywhere.
///
/// Implemented for whatever has zerocopy's marker traits, which can be derived:
///
/// ```
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Request {
///     id: u64,
///     offset: u32,
///     len: u32,
/// }
///
/// let (mut sender, mut receiver) = evering::channel::<Request>(64).unwrap();
/// sender.send(Request { id: 1, offset: 0, len: 16 }).unwrap();
/// assert_eq!(receiver.recv().unwrap().len, 16);
/// ```
pub trait Entry: Copy + FromBytes + IntoBytes + Immutable + Send + 'static {}

impl<T: Copy + FromBytes + IntoBytes + Immutable + Send + 'static> Entry for T {}
