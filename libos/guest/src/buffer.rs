//! Buffers that are handed over: a call has its buffer until it is over.
//!
//! The one idea: a borrowed slice would not do, since a future can be forgotten while the kernel still writes to what it had borrowed. So a
//! buffer goes into an operation by value and comes back beside the result, as a [`BufResult`].

use std::{fmt, io, sync::Arc};

use evering::heap;

use crate::{operation::Memory, runtime};

/// The outcome of a call with a buffer, and the buffer.
pub type BufResult<T, B> = (io::Result<T>, B);

/// Bytes that can be written somewhere: `Vec<u8>`, `String`, `&'static [u8]`, `&'static str`, `Arc<[u8]>`, [`ArenaBuffer`].
pub trait Buffer: sealed::Lend {}

/// Room that can be read into: `Vec<u8>`, up to its capacity, and [`ArenaBuffer`].
///
/// A read begins at the buffer's beginning, and makes the buffer as long as what was read.
pub trait BufferMut: Buffer + sealed::Fill {}

pub(crate) mod sealed {
    use super::Memory;

    /// What can be lent to a call.
    pub trait Lend: Sized + 'static {
        #[doc(hidden)]
        fn lend(self) -> Lending;
        /// What was lent.
        #[doc(hidden)]
        fn back(memory: Lending) -> Option<Self>;
        #[doc(hidden)]
        fn bytes(&self) -> (*const u8, usize);
    }

    /// Room that is filled.
    pub trait Fill: Lend {
        #[doc(hidden)]
        fn room(&mut self) -> (*mut u8, usize);
        /// The first `len` bytes of the room have been written.
        ///
        /// # Safety
        ///
        /// They have.
        #[doc(hidden)]
        unsafe fn fill(&mut self, len: usize);
    }

    /// [`Memory`], for nobody to look into.
    pub struct Lending(pub(crate) Memory);
}

use sealed::{Fill, Lend, Lending};

macro_rules! lend {
    ($($type:ty, $kind:ident, |$this:ident| $bytes:expr;)*) => {
        $(
            impl Lend for $type {
                fn lend(self) -> Lending {
                    Lending(Memory::$kind(self.into()))
                }
                fn back(memory: Lending) -> Option<Self> {
                    match memory.0 {
                        Memory::$kind(value) => Some(value.into()),
                        _ => None,
                    }
                }
                fn bytes(&self) -> (*const u8, usize) {
                    let $this = self;
                    $bytes
                }
            }

            impl Buffer for $type {}
        )*
    };
}

lend! {
    Vec<u8>, Bytes, |this| (this.as_ptr(), this.len());
    String, Text, |this| (this.as_ptr(), this.len());
    &'static [u8], Static, |this| (this.as_ptr(), this.len());
    Arc<[u8]>, Shared, |this| (this.as_ptr(), this.len());
    ArenaBuffer, Arena, |this| (this.memory.as_ptr(), this.len);
}

impl Lend for &'static str {
    fn lend(self) -> Lending {
        Lending(Memory::Static(self.as_bytes()))
    }
    fn back(memory: Lending) -> Option<Self> {
        match memory.0 {
            Memory::Static(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
    fn bytes(&self) -> (*const u8, usize) {
        (self.as_ptr(), self.len())
    }
}

impl Buffer for &'static str {}

impl Fill for Vec<u8> {
    fn room(&mut self) -> (*mut u8, usize) {
        (self.as_mut_ptr(), self.capacity())
    }
    unsafe fn fill(&mut self, len: usize) {
        // SAFETY: so many bytes are there and written, as the caller says.
        unsafe { self.set_len(len) };
    }
}

impl BufferMut for Vec<u8> {}

impl Fill for ArenaBuffer {
    fn room(&mut self) -> (*mut u8, usize) {
        (self.memory.as_ptr(), self.memory.len())
    }
    unsafe fn fill(&mut self, len: usize) {
        self.set_len(len);
    }
}

impl BufferMut for ArenaBuffer {}

/// A buffer in the memory that the runtime's queues are in, which is mapped and touched once: no page of it is faulted in by a call, and freed
/// buffers are used again while they are in the cache. Made by [`arena`].
pub struct ArenaBuffer {
    memory: heap::Buffer,
    len: usize,
}

impl ArenaBuffer {
    /// How long it is.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes it as long as that, at most as long as it was made. What is in it is what was there before.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.memory.len());
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the bytes are initialised, as memory of a file's or the allocator's zeroed, and nobody writes to them: calls that do have
        // the buffer by value, and the rest of this process has no other way to it.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }

    /// Its bytes, to be written to.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and it is borrowed by one.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl fmt::Debug for ArenaBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaBuffer").field("len", &self.len()).finish()
    }
}

/// A buffer of `len` bytes of this thread's arena, as soon as there is room: back-pressure. What is in it is what was there before.
///
/// # Errors
///
/// `InvalidInput` if the [arena](crate::Builder::arena) is not so large.
///
/// # Panics
///
/// If there is no runtime on this thread.
pub async fn arena(len: usize) -> io::Result<ArenaBuffer> {
    let heap = runtime::heap();
    let buffer = heap.allocate(len).await;
    let memory = buffer.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(ArenaBuffer { memory, len })
}
