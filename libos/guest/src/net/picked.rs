//! Buffers that the kernel picks from.
//!
//! The one idea: the memory of a group is the kernel's until a call has picked a buffer of it; then it is the [`PickedBuffer`]'s; and when
//! that is dropped, it is the kernel's again.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    io,
    ops::Deref,
    ptr::NonNull,
    rc::{Rc, Weak},
    task::{Poll, Waker},
};

use crate::{
    abi::{Submission, call, flags},
    operation::{self, Fd, Lent, Makes, submission},
    runtime::{self, Core},
};

/// The memory of a group. It stays until the runtime's end.
pub(crate) struct Group {
    number: u16,
    count: u16,
    size: u32,
    memory: NonNull<[u8]>,
    runtime: Weak<Core>,
    /// Whether the kernel has been lent them all.
    provided: Cell<bool>,
    /// Buffers that have come back and that the kernel has not.
    returned: RefCell<Vec<u16>>,
    /// How many have come back so far.
    count_returned: Cell<u64>,
    /// Who waits for one to come back.
    waiting: RefCell<Vec<Waker>>,
}

impl Group {
    fn new(runtime: Weak<Core>, number: u16, count: u16, size: u32) -> Rc<Self> {
        let memory: Box<[u8]> = vec![0; usize::from(count) * size as usize].into();
        Rc::new(Self {
            number,
            count,
            size,
            memory: NonNull::from(Box::leak(memory)),
            runtime,
            provided: Cell::new(false),
            returned: RefCell::default(),
            count_returned: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// Where a buffer is. The first one has number 1: to the end of a stream some kernels pick none, which looks like number 0.
    fn at(&self, buffer: u16) -> *mut u8 {
        let offset = usize::from(buffer).wrapping_sub(1).saturating_mul(self.size as usize);
        // One that is not there has not been lent, and so is not picked.
        assert!(offset < self.memory.len(), "the kernel has picked what it was not lent");
        // SAFETY: that is within the memory.
        unsafe { self.memory.cast::<u8>().as_ptr().add(offset) }
    }

    /// A buffer has come back from whoever had it.
    pub(crate) fn give_back(&self, buffer: u16) {
        if buffer == 0 {
            return;
        }
        self.returned.borrow_mut().push(buffer);
        self.count_returned.set(self.count_returned.get() + 1);
        self.provide();
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Lends the kernel what it has not.
    fn provide(&self) {
        if !self.provided.get() {
            self.provided.set(self.lend(1, self.count));
        }
        let mut returned = self.returned.borrow_mut();
        while let Some(&buffer) = returned.last() {
            if !self.lend(buffer, 1) {
                return;
            }
            returned.pop();
        }
    }

    fn lend(&self, first: u16, count: u16) -> bool {
        let arguments = [self.at(first) as u64, self.size.into(), count.into(), first.into(), 0, 0];
        let provide = Submission {
            call: call::PROVIDE,
            group: self.number,
            arguments,
            ..Submission::default()
        };
        // SAFETY: nobody has the buffers: they are new, or were given back. The memory stays until the end.
        unsafe { runtime::fire(&self.runtime, provide) }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: it was a box's, and the runtime's end is when the kernel has no ring any more that it was lent to.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

/// Buffers for calls to pick from when they have something to put there. A handle: clones are the same group.
///
/// Who [keeps](PickedBuffer) them all has the others wait.
#[derive(Clone)]
pub struct BufferGroup(Rc<Group>);

impl BufferGroup {
    /// A group of `count` buffers of `size` bytes. The memory stays as long as the runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if one of them is 0 or there are too many groups or bytes.
    ///
    /// # Panics
    ///
    /// If there is no runtime on this thread.
    pub fn new(count: u16, size: u32) -> io::Result<Self> {
        if count == 0 || size == 0 || size > i32::MAX as u32 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        runtime::keep_group(|core, number| Group::new(core, number, count, size)).map(Self)
    }

    pub(super) async fn read(&self, fd: &Fd) -> io::Result<Option<PickedBuffer>> {
        let group = &self.0;
        loop {
            group.provide();
            let before = group.count_returned.get();
            let call = submission(libc::SYS_recvfrom, [fd.raw(), 0, group.size.into(), 0]);
            let call = Submission { flags: flags::PICK, group: group.number, ..call };
            let makes = Makes::Picked(Rc::clone(group));
            let lent = Lent { fd: Some(fd.clone()), makes, ..Lent::default() };
            // SAFETY: the call writes to a buffer of the group, which the kernel has been lent.
            let operation =
                unsafe { operation::begin(call, lent) }.await.map_err(|(error, _)| error)?;
            let (completion, _) =
                operation::end(operation).await.map_err(|_| operation::broken())?;
            match completion.picked() {
                Some((number, 0)) => {
                    group.give_back(number);
                    return Ok(None);
                }
                Some((number, len)) => {
                    let len = len.min(group.size) as usize;
                    return Ok(Some(PickedBuffer { group: Rc::clone(group), number, len }));
                }
                None if completion.result == -i64::from(libc::ENOBUFS) => {
                    self.returned_since(before).await;
                }
                None => return Err(io::Error::from_raw_os_error(-completion.result as i32)),
            }
        }
    }

    /// Waits until one more has come back than `before`.
    async fn returned_since(&self, before: u64) {
        poll_fn(|context| {
            if self.0.count_returned.get() != before {
                return Poll::Ready(());
            }
            self.0.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for BufferGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Group { count, size, .. } = &*self.0;
        f.debug_struct("BufferGroup").field("count", count).field("size", size).finish()
    }
}

/// What a call has read, in a buffer of a group. Dropped, the buffer can be picked again.
pub struct PickedBuffer {
    group: Rc<Group>,
    number: u16,
    len: usize,
}

impl Deref for PickedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is ours until we give it back; its bytes are initialised, and there are as many.
        unsafe { std::slice::from_raw_parts(self.group.at(self.number), self.len) }
    }
}

impl Drop for PickedBuffer {
    fn drop(&mut self) {
        self.group.give_back(self.number);
    }
}

impl fmt::Debug for PickedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickedBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}
