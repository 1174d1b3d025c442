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
mod tests {
    use std::{collections::HashSet, task::Context};

    use futures::task::noop_waker_ref;

    use super::*;
    use crate::{event::Event, eventpair::EventPair};

    fn event(table: &HandleTable) -> HandleValue {
        table.insert(Handle::new(Event::create())).unwrap_or(HandleValue::INVALID)
    }

    #[test]
    fn lookup_checks_value_then_type_then_rights() {
        let table = HandleTable::new();
        let value = event(&table);
        let weak = table.duplicate(value, Rights::WAIT);
        let weak = weak.unwrap_or(HandleValue::INVALID);
        let err = |value, rights| table.get::<Event>(value, rights).err();
        assert_eq!(err(value, Rights::SIGNAL), None);
        assert_eq!(err(HandleValue::INVALID, Rights::SIGNAL), Some(Error::BadHandle));
        assert_eq!(err(HandleValue(value.0 & !3), Rights::SIGNAL), Some(Error::BadHandle));
        assert_eq!(err(HandleValue(!0), Rights::SIGNAL), Some(Error::BadHandle));
        assert_eq!(err(weak, Rights::SIGNAL), Some(Error::AccessDenied));
        assert_eq!(table.get::<EventPair>(weak, Rights::SIGNAL).err(), Some(Error::WrongType));
        assert_eq!(table.get_any(weak, Rights::SIGNAL).err(), Some(Error::AccessDenied));
        let rights = table.get_with_rights::<Event>(weak, Rights::WAIT).map(|(_, rights)| rights);
        assert_eq!(rights.ok(), Some(Rights::WAIT));
    }

    #[test]
    fn values_have_their_low_bits_set_and_return_late() {
        let table = HandleTable::new();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let value = event(&table);
            assert_eq!(value.0 & 3, 3);
            assert!(seen.insert(value), "{value:?} came twice");
            assert_eq!(table.close(value), Ok(()));
            assert_eq!(table.close(value), Err(Error::BadHandle));
        }
        assert!(table.slots.lock().slots.len() <= MIN_FREE + 2);
        assert!(table.is_empty());
    }

    #[test]
    fn closing_the_invalid_value_does_nothing() {
        assert_eq!(HandleTable::new().close(HandleValue::INVALID), Ok(()));
    }

    #[test]
    fn duplicate_needs_the_right_and_cannot_widen() {
        let table = HandleTable::new();
        let value = event(&table);
        let count = || table.get_any(value, Rights::empty()).map(|o| o.handle_count());
        assert_eq!(count(), Ok(1));
        let copy = table.duplicate(value, Rights::SAME_RIGHTS);
        assert!(copy.is_ok_and(|copy| table.info(copy) == table.info(value)));
        assert_eq!(count(), Ok(2));
        assert_eq!(table.duplicate(value, Rights::READ), Err(Error::InvalidArgs));
        assert_eq!(table.duplicate(HandleValue(!0), Rights::WAIT), Err(Error::BadHandle));
        let fixed =
            table.duplicate(value, Rights::WAIT).and_then(|v| table.duplicate(v, Rights::WAIT));
        assert_eq!(fixed, Err(Error::AccessDenied));
    }

    #[test]
    fn replace_consumes_the_old_value_even_when_it_fails() {
        let table = HandleTable::new();
        let value = event(&table);
        let new = table.replace(value, Rights::WAIT | Rights::TRANSFER);
        assert!(new.is_ok_and(|new| new != value));
        assert_eq!(table.replace(value, Rights::SAME_RIGHTS), Err(Error::BadHandle));
        let new = new.unwrap_or(HandleValue::INVALID);
        assert_eq!(table.replace(new, Rights::SIGNAL), Err(Error::InvalidArgs));
        assert!(table.is_empty());
    }

    #[test]
    fn a_transfer_takes_all_or_closes_all() {
        let (from, to) = (HandleTable::new(), HandleTable::new());
        let (a, b) = (event(&from), event(&from));
        let taken = from.take_to_transfer(&[a, b]);
        for handle in taken.unwrap_or_default() {
            assert!(to.insert(handle).is_ok());
        }
        assert_eq!((from.len(), to.len()), (0, 2));

        let (a, b) = (event(&from), event(&from));
        let fixed = from.replace(b, Rights::WAIT).unwrap_or(HandleValue::INVALID);
        assert_eq!(from.take_to_transfer(&[fixed, a]).err(), Some(Error::AccessDenied));
        assert!(from.is_empty());
        let a = event(&from);
        assert_eq!(from.take_to_transfer(&[a, a]).err(), Some(Error::BadHandle));
        assert!(from.is_empty());
    }

    #[test]
    fn close_many_closes_the_valid_ones() {
        let table = HandleTable::new();
        let (a, b) = (event(&table), event(&table));
        let values = [a, HandleValue(0x33), b, HandleValue::INVALID];
        assert_eq!(table.close_many(&values), Err(Error::BadHandle));
        assert!(table.is_empty());
        assert_eq!(table.close_many(&[]), Ok(()));
    }

    #[test]
    fn dropping_the_table_closes_its_handles() {
        let (a, b) = EventPair::create();
        let table = HandleTable::new();
        assert!(table.insert(Handle::new(a.clone())).is_ok());
        assert_eq!(b.signals(), Signals::empty());
        drop(table);
        assert_eq!(b.signals(), Signals::PEER_CLOSED);
        assert_eq!(a.handle_count(), 0);
    }

    #[test]
    fn a_full_table_refuses_and_closes_the_handle() {
        let table = HandleTable::new();
        let object = Event::create();
        for _ in 0..MAX_HANDLES {
            assert!(table.insert(Handle::new(object.clone())).is_ok());
        }
        assert_eq!(table.insert(Handle::new(object.clone())), Err(Error::NoMemory));
        assert_eq!(object.handle_count() as usize, MAX_HANDLES);
        let value = table.list()[5].0;
        assert_eq!(table.close(value), Ok(()));
        assert!(table.insert(Handle::new(object)).is_ok_and(|new| new != value));
    }

    #[test]
    fn closing_a_handle_cancels_the_waits_made_through_it() {
        let table = HandleTable::new();
        let value = event(&table);
        let copy = table.duplicate(value, Rights::SAME_RIGHTS).unwrap_or(HandleValue::INVALID);
        let mut cx = Context::from_waker(noop_waker_ref());
        let mut one = Box::pin(table.wait_one(value, Signals::SIGNALED));
        let mut other = Box::pin(table.wait_one(copy, Signals::SIGNALED));
        let items = [(copy, Signals::USER_0), (value, Signals::USER_0)];
        let mut many = Box::pin(table.wait_many(&items));
        assert!(one.poll_unpin(&mut cx).is_pending());
        assert!(other.poll_unpin(&mut cx).is_pending());
        assert!(many.poll_unpin(&mut cx).is_pending());
        assert_eq!(table.close(value), Ok(()));
        assert_eq!(one.poll_unpin(&mut cx), Poll::Ready(Err(Error::Canceled)));
        assert_eq!(many.poll_unpin(&mut cx), Poll::Ready(Err(Error::Canceled)));
        assert!(other.poll_unpin(&mut cx).is_pending());
        let signaled = table.get::<Event>(copy, Rights::SIGNAL);
        assert!(signaled.is_ok_and(|e| e.signal(Signals::empty(), Signals::SIGNALED).is_ok()));
        assert_eq!(other.poll_unpin(&mut cx), Poll::Ready(Ok(Signals::SIGNALED)));
    }

    #[test]
    fn waiting_needs_a_valid_handle_with_the_right() {
        let table = HandleTable::new();
        let value = event(&table);
        let deaf = table.replace(value, Rights::SIGNAL).unwrap_or(HandleValue::INVALID);
        let wait = |value| table.wait_one(value, Signals::SIGNALED).now_or_never();
        assert_eq!(wait(value), Some(Err(Error::BadHandle)));
        assert_eq!(wait(deaf), Some(Err(Error::AccessDenied)));
        let many = [(deaf, Signals::SIGNALED); WAIT_MANY_MAX_ITEMS + 1];
        let wait = |n: usize| table.wait_many(&many[..n]).now_or_never();
        assert_eq!(wait(1), Some(Err(Error::AccessDenied)));
        assert_eq!(wait(WAIT_MANY_MAX_ITEMS + 1), Some(Err(Error::OutOfRange)));
    }

    #[test]
    fn threads_that_open_and_close_leave_nothing() {
        let (table, object) = (HandleTable::new(), Event::create());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let value = table.insert(Handle::new(object.clone()));
                        let value = value.unwrap_or(HandleValue::INVALID);
                        assert!(table.get::<Event>(value, Rights::SIGNAL).is_ok());
                        assert_eq!(table.close(value), Ok(()));
                    }
                });
            }
        });
        assert!(table.is_empty());
        assert_eq!(object.handle_count(), 0);
    }
    #[test]
    fn what_cannot_be_waited_for_is_not_even_by_who_has_the_right() {
        let table = HandleTable::new();
        let port = Handle::with_rights(crate::Port::create(), Rights::WAIT);
        let value = table.insert(port).unwrap_or(HandleValue::INVALID);
        let one = table.wait_one(value, Signals::USER_0).now_or_never();
        assert_eq!(one, Some(Err(Error::NotSupported)));
        let many = table.wait_many(&[(value, Signals::USER_0)]).now_or_never();
        assert_eq!(many, Some(Err(Error::NotSupported)));
        let target = crate::Port::create();
        let options = crate::port::WaitAsync::empty();
        let later = table.wait_async(value, &target, 1, Signals::USER_0, options);
        assert_eq!(later, Err(Error::NotSupported));
    }
}
