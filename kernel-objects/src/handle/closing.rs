//! What follows when a last handle goes, without recursion.
//!
//! Closing an object may close handles that are in it, of objects that have handles in them, and so on: as deep as a user
//! likes to nest channels in messages. So the objects whose last handle goes while another's close runs on the same thread are
//! put on a list, which the outermost close works off before it returns.

use std::{cell::RefCell, sync::Arc};

use crate::{object::KernelObject, sync::thread_local};

type Objects = Vec<Arc<dyn KernelObject>>;

thread_local! {
    /// What waits to be closed, while a close runs on this thread.
    static PENDING: RefCell<Option<Objects>> = const { RefCell::new(None) };
}

/// Ends the outermost close, even if it panics.
struct Outermost;

impl Outermost {
    fn next(&self) -> Option<Arc<dyn KernelObject>> {
        PENDING.with(|pending| pending.borrow_mut().as_mut()?.pop())
    }
}

impl Drop for Outermost {
    fn drop(&mut self) {
        drop(PENDING.with(RefCell::take));
    }
}

/// The last handle to `object` has gone: has it close, now or as soon as the close that is running ends.
pub(super) fn zero_handles(object: &Arc<dyn KernelObject>) {
    let begin = PENDING.try_with(|pending| match &mut *pending.borrow_mut() {
        Some(pending) => {
            pending.push(object.clone());
            false
        }
        none => {
            *none = Some(Vec::new());
            true
        }
    });
    match begin {
        Ok(false) => {}
        // The thread is ending, and has no list any more.
        Err(_) => object.on_zero_handles(),
        Ok(true) => {
            let outermost = Outermost;
            object.on_zero_handles();
            while let Some(next) = outermost.next() {
                next.on_zero_handles();
            }
        }
    }
}
