//! Handles: how a process names an object, and what it may do with it.
//!
//! A [`Handle`] is a counted reference with [`Rights`]. A process does not hold handles itself but
//! *values*: numbers that its [`HandleTable`] turns into them. That lookup is the one place where a
//! value, the object's type and the rights are checked, in this order: [`Error::BadHandle`],
//! [`Error::WrongType`], [`Error::AccessDenied`].
//!
//! A value has the slot's index and the slot's generation in it, so that a value which was closed does
//! not soon name another object, and its two low bits are set, as Zircon promises.

mod closing;

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
};

use futures::FutureExt;

use crate::{
    error::{Error, Result},
    object::{KernelObject, Koid, ObjectType, downcast},
    rights::Rights,
    signals::{HandleId, Signals},
    sync::BiasedMutex,
    wait_many::{Pending, wait_many_through},
};

static LIVE_HANDLES: AtomicU64 = AtomicU64::new(0);

/// How many handles exist in this host process, in tables and on their way between them.
pub fn live_handles() -> u64 {
    LIVE_HANDLES.load(Ordering::Relaxed)
}

/// An object and what may be done with it. Counts as a handle of the object while it exists.
pub struct Handle {
    object: Arc<dyn KernelObject>,
    rights: Rights,
}

impl Handle {
    /// A handle with the rights that objects of this type have by default.
    pub fn new(object: Arc<dyn KernelObject>) -> Handle {
        let rights = object.default_rights();
        Self::with_rights(object, rights)
    }

    /// A handle with these rights.
    pub fn with_rights(object: Arc<dyn KernelObject>, rights: Rights) -> Handle {
        LIVE_HANDLES.fetch_add(1, Ordering::Relaxed);
        object.base().add_handle();
        Handle { object, rights }
    }

    /// The object.
    pub fn object(&self) -> &Arc<dyn KernelObject> {
        &self.object
    }

    /// What may be done with it.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The object as a `T`, if `rights` are there.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::AccessDenied`].
    pub fn get<T: KernelObject>(&self, rights: Rights) -> Result<Arc<T>> {
        let object = downcast(self.object.clone())?;
        self.rights.require(rights)?;
        Ok(object)
    }

    /// Another handle to the object with the same rights or fewer (`zx_handle_duplicate`).
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] without [`Rights::DUPLICATE`], [`Error::InvalidArgs`] if `rights` has one that
    /// this handle has not.
    pub fn duplicate(&self, rights: Rights) -> Result<Handle> {
        self.rights.require(Rights::DUPLICATE)?;
        let rights = self.rights.reduce(rights)?;
        Ok(Self::with_rights(self.object.clone(), rights))
    }

    /// The same handle with the same rights or fewer (`zx_handle_replace`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `rights` has one that this handle has not; the handle is closed then.
    pub fn replace(mut self, rights: Rights) -> Result<Handle> {
        self.rights = self.rights.reduce(rights)?;
        Ok(self)
    }

    /// What the handle is (`ZX_INFO_HANDLE_BASIC`).
    pub fn info(&self) -> HandleInfo {
        HandleInfo {
            koid: self.object.koid(),
            rights: self.rights,
            object_type: self.object.object_type(),
            related_koid: self.object.related_koid(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        LIVE_HANDLES.fetch_sub(1, Ordering::Relaxed);
        if self.object.base().remove_handle() {
            closing::zero_handles(&self.object);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("object", &self.object)
            .field("rights", &self.rights)
            .finish()
    }
}

/// What a handle is: `zx_info_handle_basic_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandleInfo {
    /// The object's identity.
    pub koid: Koid,
    /// The handle's rights.
    pub rights: Rights,
    /// The object's type.
    pub object_type: ObjectType,
    /// The related object's identity, 0 if there is none.
    pub related_koid: Koid,
}

/// A number that names a handle in one process: `zx_handle_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleValue(pub u32);

impl HandleValue {
    /// Names nothing: `ZX_HANDLE_INVALID`.
    pub const INVALID: HandleValue = HandleValue(0);

    /// Set in every value: `ZX_HANDLE_FIXED_BITS_MASK`.
    const FIXED_BITS: u32 = 0b11;
    const INDEX_SHIFT: u32 = 2;
    const GENERATION_SHIFT: u32 = 20;
    const INDEX_MASK: u32 = (1 << (Self::GENERATION_SHIFT - Self::INDEX_SHIFT)) - 1;
    const GENERATION_MASK: u32 = (1 << (32 - Self::GENERATION_SHIFT)) - 1;

    fn new(index: usize, generation: u32) -> Self {
        let generation = generation & Self::GENERATION_MASK;
        let index = index as u32 & Self::INDEX_MASK;
        HandleValue(
            generation << Self::GENERATION_SHIFT | index << Self::INDEX_SHIFT | Self::FIXED_BITS,
        )
    }

    fn index(self) -> usize {
        (self.0 >> Self::INDEX_SHIFT & Self::INDEX_MASK) as usize
    }
}

/// How many handles a process may have at a time.
pub const MAX_HANDLES: usize = HandleValue::INDEX_MASK as usize + 1;

/// A slot is used again only when this many others have become free after it, if there are so many.
const MIN_FREE: usize = 64;

static NEXT_TABLE: AtomicU32 = AtomicU32::new(1);

/// A process's handles by value.
///
/// ```
/// use kernel_objects::{Error, Event, EventPair, Handle, HandleTable, Rights};
///
/// let table = HandleTable::new();
/// let value = table.insert(Handle::new(Event::create())).unwrap();
/// assert!(table.get::<Event>(value, Rights::SIGNAL).is_ok());
/// assert_eq!(table.get::<EventPair>(value, Rights::SIGNAL).err(), Some(Error::WrongType));
///
/// let weak = table.replace(value, Rights::WAIT).unwrap();
/// assert_eq!(table.get::<Event>(value, Rights::WAIT).err(), Some(Error::BadHandle));
/// assert_eq!(table.get::<Event>(weak, Rights::SIGNAL).err(), Some(Error::AccessDenied));
/// ```
pub struct HandleTable {
    /// Tells the handles of this table from those of others in a [`HandleId`].
    id: u32,
    slots: BiasedMutex<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: VecDeque<u32>,
}

struct Slot {
    /// The value that names the slot's handle, or that will name the next one.
    value: HandleValue,
    generation: u32,
    handle: Option<Handle>,
}

impl Slots {
    fn lookup(&self, value: HandleValue) -> Result<&Handle> {
        let slot = self.slots.get(value.index()).filter(|slot| slot.value == value);
        slot.and_then(|slot| slot.handle.as_ref()).ok_or(Error::BadHandle)
    }

    fn insert(&mut self, handle: Handle) -> Result<HandleValue, Handle> {
        let grow = self.slots.len() < MAX_HANDLES;
        let reuse = if self.free.len() > MIN_FREE || !grow { self.free.pop_front() } else { None };
        match reuse.and_then(|index| self.slots.get_mut(index as usize)) {
            Some(slot) => {
                slot.handle = Some(handle);
                Ok(slot.value)
            }
            None if grow => {
                let value = HandleValue::new(self.slots.len(), 0);
                self.slots.push(Slot { value, generation: 0, handle: Some(handle) });
                Ok(value)
            }
            None => Err(handle),
        }
    }

    fn remove(&mut self, value: HandleValue) -> Result<Handle> {
        let index = value.index();
        let slot = self.slots.get_mut(index).filter(|slot| slot.value == value);
        let slot = slot.ok_or(Error::BadHandle)?;
        let handle = slot.handle.take().ok_or(Error::BadHandle)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.value = HandleValue::new(index, slot.generation);
        self.free.push_back(index as u32);
        Ok(handle)
    }
}

impl HandleTable {
    /// An empty table.
    pub fn new() -> Self {
        let id = NEXT_TABLE.fetch_add(1, Ordering::Relaxed);
        HandleTable { id, slots: BiasedMutex::default() }
    }

    fn id_of(&self, value: HandleValue) -> HandleId {
        u64::from(self.id) << 32 | u64::from(value.0)
    }

    /// How many handles there are.
    pub fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.slots.len() - slots.free.len()
    }

    /// True if there is no handle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives a handle a value.
    ///
    /// # Errors
    ///
    /// [`Error::NoMemory`] if the process has [`MAX_HANDLES`]; the handle is closed then.
    pub fn insert(&self, handle: Handle) -> Result<HandleValue> {
        let refused = match self.slots.lock().insert(handle) {
            Ok(value) => return Ok(value),
            Err(handle) => handle,
        };
        drop(refused); // closing runs the object's code: not under the lock
        Err(Error::NoMemory)
    }

    /// The object as a `T`, if the handle has `rights`.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], [`Error::WrongType`], [`Error::AccessDenied`].
    pub fn get<T: KernelObject>(&self, value: HandleValue, rights: Rights) -> Result<Arc<T>> {
        self.slots.lock().lookup(value)?.get(rights)
    }

    /// As [`get`](Self::get), with the handle's rights.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_with_rights<T: KernelObject>(
        &self,
        value: HandleValue,
        rights: Rights,
    ) -> Result<(Arc<T>, Rights)> {
        let slots = self.slots.lock();
        let handle = slots.lookup(value)?;
        Ok((handle.get(rights)?, handle.rights))
    }

    /// The object, whatever it is, if the handle has `rights`.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], [`Error::AccessDenied`].
    pub fn get_any(&self, value: HandleValue, rights: Rights) -> Result<Arc<dyn KernelObject>> {
        let slots = self.slots.lock();
        let handle = slots.lookup(value)?;
        handle.rights.require(rights)?;
        Ok(handle.object.clone())
    }

    /// As [`get_any`](Self::get_any), with the handle's rights.
    ///
    /// # Errors
    ///
    /// As [`get_any`](Self::get_any).
    pub fn get_any_with_rights(
        &self,
        value: HandleValue,
        rights: Rights,
    ) -> Result<(Arc<dyn KernelObject>, Rights)> {
        let slots = self.slots.lock();
        let handle = slots.lookup(value)?;
        handle.rights.require(rights)?;
        Ok((handle.object.clone(), handle.rights))
    }

    /// What a handle is (`ZX_INFO_HANDLE_BASIC`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`].
    pub fn info(&self, value: HandleValue) -> Result<HandleInfo> {
        Ok(self.slots.lock().lookup(value)?.info())
    }

    /// Every handle's value and what it is (`ZX_INFO_HANDLE_TABLE`).
    pub fn list(&self) -> Vec<(HandleValue, HandleInfo)> {
        let slots = self.slots.lock();
        let entry = |slot: &Slot| Some((slot.value, slot.handle.as_ref()?.info()));
        slots.slots.iter().filter_map(entry).collect()
    }

    /// Another value for the object, with the same rights or fewer (`zx_handle_duplicate`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::AccessDenied`] without [`Rights::DUPLICATE`];
    /// [`Error::InvalidArgs`] if `rights` has one that the handle has not; [`Error::NoMemory`].
    pub fn duplicate(&self, value: HandleValue, rights: Rights) -> Result<HandleValue> {
        self.insert(self.copy(value, rights)?)
    }

    /// Gives the handle a new value and the same rights or fewer (`zx_handle_replace`). The old value
    /// is gone, whatever the result; waits made through it are cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::InvalidArgs`] if `rights` has one that the handle has not.
    pub fn replace(&self, value: HandleValue, rights: Rights) -> Result<HandleValue> {
        let handle = self.take(value)?.replace(rights)?;
        self.insert(handle)
    }

    /// Takes a handle out of the table without closing it. Waits made through it are cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`].
    pub fn take(&self, value: HandleValue) -> Result<Handle> {
        let handle = self.slots.lock().remove(value)?;
        handle.object.base().signal_state().cancel_handle(self.id_of(value));
        Ok(handle)
    }

    /// Another handle to the object, which is in no table yet, with the same rights or fewer.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], and as [`Handle::duplicate`].
    pub(crate) fn copy(&self, value: HandleValue, rights: Rights) -> Result<Handle> {
        self.slots.lock().lookup(value)?.duplicate(rights)
    }

    /// Takes handles out to send them elsewhere. As for `zx_channel_write`, all of them are gone from
    /// the table whatever the result.
    ///
    /// # Errors
    ///
    /// Of the first that fails: [`Error::BadHandle`], also if a value comes twice;
    /// [`Error::AccessDenied`] without [`Rights::TRANSFER`].
    pub fn take_to_transfer(&self, values: &[HandleValue]) -> Result<Vec<Handle>> {
        let take = |&value: &HandleValue| {
            let handle = self.take(value)?;
            handle.rights.require(Rights::TRANSFER).map(|()| handle)
        };
        let taken: Vec<_> = values.iter().map(take).collect();
        taken.into_iter().collect()
    }

    /// Closes a handle (`zx_handle_close`). The invalid value may be closed without effect.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`].
    pub fn close(&self, value: HandleValue) -> Result {
        if value == HandleValue::INVALID { Ok(()) } else { self.take(value).map(drop) }
    }

    /// Closes handles (`zx_handle_close_many`): all that are valid, even if others are not.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`] if one is not valid.
    pub fn close_many(&self, values: &[HandleValue]) -> Result {
        let mut result = Ok(());
        for &value in values {
            result = result.and(self.close(value));
        }
        result
    }

    /// Closes every handle: the process is gone.
    pub fn clear(&self) {
        let values: Vec<_> = self.list().into_iter().map(|(value, _)| value).collect();
        for value in values {
            // Another thread may have closed it meanwhile.
            drop(self.take(value));
        }
    }

    /// Runs `register` with the object while the value cannot be closed, so that a wait which it
    /// registers is there when closing cancels it.
    pub(crate) fn registering<R>(
        &self,
        value: HandleValue,
        rights: Rights,
        register: impl FnOnce(&Arc<dyn KernelObject>, HandleId) -> R,
    ) -> Result<R> {
        let slots = self.slots.lock();
        let handle = slots.lookup(value)?;
        handle.rights.require(rights)?;
        Ok(register(&handle.object, self.id_of(value)))
    }

    /// Waits through a handle until one of `signals` is set (`zx_object_wait_one`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::AccessDenied`] without [`Rights::WAIT`]; [`Error::NotSupported`] for an object that
    /// [cannot be waited for](KernelObject::is_waitable); [`Error::Canceled`] when the handle is closed or leaves the table
    /// meanwhile.
    pub async fn wait_one(&self, value: HandleValue, signals: Signals) -> Result<Signals> {
        self.get_waitable(value)?;
        self.wait_through(value, Rights::WAIT, signals).await
    }

    fn get_waitable(&self, value: HandleValue) -> Result<Arc<dyn KernelObject>> {
        let object = self.get_any(value, Rights::WAIT)?;
        if object.is_waitable() { Ok(object) } else { Err(Error::NotSupported) }
    }

    /// Waits until the handle is closed or leaves the table, and returns the error of those whom that interrupts.
    pub(crate) async fn closed(&self, value: HandleValue) -> Error {
        let _ = self.wait_through(value, Rights::empty(), Signals::empty()).await;
        Error::Canceled
    }

    async fn wait_through(
        &self,
        value: HandleValue,
        rights: Rights,
        signals: Signals,
    ) -> Result<Signals> {
        let object = self.get_any(value, rights)?;
        let mut wait = object.base().signal_state().wait(signals, self.id_of(value));
        let mut registered = false;
        poll_fn(|cx| {
            if registered {
                return wait.poll_unpin(cx);
            }
            registered = true;
            let poll = self.registering(value, Rights::empty(), |_, _| wait.poll_unpin(cx));
            poll.unwrap_or(Poll::Ready(Err(Error::Canceled)))
        })
        .await
    }

    /// Waits through handles until one of the objects has one of its signals
    /// (`zx_object_wait_many`); returns every object's.
    ///
    /// # Errors
    ///
    /// As [`wait_one`](Self::wait_one), and [`Error::OutOfRange`] for more than
    /// [`WAIT_MANY_MAX_ITEMS`] handles.
    pub async fn wait_many(&self, items: &[(HandleValue, Signals)]) -> Result<Pending> {
        if items.len() > WAIT_MANY_MAX_ITEMS {
            return Err(Error::OutOfRange);
        }
        let mut objects = Vec::with_capacity(items.len());
        for &(value, _) in items {
            objects.push(self.get_waitable(value)?);
        }
        let through = objects.iter().zip(items);
        let mut wait =
            wait_many_through(through.map(|(o, &(value, mask))| (&**o, mask, self.id_of(value))));
        let mut registered = false;
        poll_fn(|cx| {
            if registered {
                return wait.poll_unpin(cx);
            }
            registered = true;
            let slots = self.slots.lock();
            if items.iter().any(|&(value, _)| slots.lookup(value).is_err()) {
                return Poll::Ready(Err(Error::Canceled));
            }
            wait.poll_unpin(cx)
        })
        .await
    }
}

/// How many objects a user may wait for at once: `ZX_WAIT_MANY_MAX_ITEMS`.
pub const WAIT_MANY_MAX_ITEMS: usize = 64;

impl Default for HandleTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for HandleTable {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for HandleTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandleTable").field("handles", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
