//! What every kernel object has: an identity, a name, signals and a count of handles.
//!
//! An object embeds a [`KObjectBase`] and implements [`KernelObject`] by pointing at it; all that can
//! be done to an object of unknown type is a method of that trait. Objects are shared as `Arc`s. A
//! reference keeps an object's memory; a *handle* keeps it in use, and the last one to go calls
//! [`KernelObject::on_zero_handles`], which is when a peer learns that it is alone.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    rights::Rights,
    signals::{SignalState, Signals, WaitOne},
    sync::atomic::AtomicU32,
};

/// A kernel object's identity, unique for the life of the kernel: `zx_koid_t`.
pub type Koid = u64;

/// No object has this koid: `ZX_KOID_INVALID`.
pub const KOID_INVALID: Koid = 0;

/// The first koid that an object may have: `ZX_KOID_FIRST`.
pub const KOID_FIRST: Koid = 1024;

/// The size of a name with its terminating zero: `ZX_MAX_NAME_LEN`. Longer names are cut.
pub const MAX_NAME_LEN: usize = 32;

static NEXT_KOID: AtomicU64 = AtomicU64::new(KOID_FIRST);

static LIVE_OBJECTS: AtomicU64 = AtomicU64::new(0);

/// How many objects exist in this host process, of all types: what leaks would show in.
pub fn live_objects() -> u64 {
    LIVE_OBJECTS.load(Ordering::Relaxed)
}

/// The type of an object: `zx_obj_type_t` (`zircon/types.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum ObjectType {
    /// A process.
    Process = 1,
    /// A thread.
    Thread = 2,
    /// Virtual memory: a VMO.
    Vmo = 3,
    /// A channel's end.
    Channel = 4,
    /// An event.
    Event = 5,
    /// A port.
    Port = 6,
    /// An interrupt.
    Interrupt = 9,
    /// A PCI device.
    PciDevice = 11,
    /// A reader or writer of the debug log.
    DebugLog = 12,
    /// A socket's end.
    Socket = 14,
    /// A right to name hardware ranges.
    Resource = 15,
    /// One of a pair of events.
    EventPair = 16,
    /// A job.
    Job = 17,
    /// A region of an address space: a VMAR.
    Vmar = 18,
    /// A FIFO's end.
    Fifo = 19,
    /// A virtual machine.
    Guest = 20,
    /// A virtual machine's processor.
    Vcpu = 21,
    /// A timer.
    Timer = 22,
    /// An I/O memory-management unit.
    Iommu = 23,
    /// A bus transaction initiator.
    Bti = 24,
    /// A scheduling profile.
    Profile = 25,
    /// Memory pinned for a device.
    Pmt = 26,
    /// A thread's or process's suspension.
    SuspendToken = 27,
    /// A supplier of pages.
    Pager = 28,
    /// An exception that is being handled.
    Exception = 29,
    /// A clock.
    Clock = 30,
    /// A position in a VMO.
    Stream = 31,
    /// A block of message-signalled interrupts.
    Msi = 32,
    /// An IOBuffer's end.
    Iob = 33,
    /// A counter.
    Counter = 34,
    /// Memory that IOBuffers share.
    IobSharedRegion = 35,
}

impl ObjectType {
    const ALL: [Self; 31] = [
        Self::Process,
        Self::Thread,
        Self::Vmo,
        Self::Channel,
        Self::Event,
        Self::Port,
        Self::Interrupt,
        Self::PciDevice,
        Self::DebugLog,
        Self::Socket,
        Self::Resource,
        Self::EventPair,
        Self::Job,
        Self::Vmar,
        Self::Fifo,
        Self::Guest,
        Self::Vcpu,
        Self::Timer,
        Self::Iommu,
        Self::Bti,
        Self::Profile,
        Self::Pmt,
        Self::SuspendToken,
        Self::Pager,
        Self::Exception,
        Self::Clock,
        Self::Stream,
        Self::Msi,
        Self::Iob,
        Self::Counter,
        Self::IobSharedRegion,
    ];

    /// The type with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == raw).ok_or(Error::InvalidArgs)
    }
}

/// The part that all objects share: embed one, return it from [`KernelObject::base`].
pub struct KObjectBase {
    koid: Koid,
    /// Handles that exist, in tables and on their way between them.
    handles: AtomicU32,
    name: Mutex<Name>,
    signals: Place,
}

/// Where an object's signals are.
#[derive(Debug)]
enum Place {
    Own(SignalState),
    /// With those of its peer, so that the peer can change them without a reference to the object.
    Pair {
        of: Arc<[SignalState; 2]>,
        side: usize,
    },
}

/// A name of up to 31 bytes, kept in place.
#[derive(Clone, Copy, Default)]
struct Name {
    len: u8,
    bytes: [u8; MAX_NAME_LEN - 1],
}

impl Name {
    /// The longest prefix of whole characters, without a zero, that fits.
    fn new(name: &str) -> Self {
        Self::from_bytes(&name.as_bytes()[..name.floor_char_boundary(MAX_NAME_LEN - 1)])
    }

    /// The longest prefix without a zero that fits.
    fn from_bytes(name: &[u8]) -> Self {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let end = end.min(MAX_NAME_LEN - 1);
        let mut bytes = [0; MAX_NAME_LEN - 1];
        bytes[..end].copy_from_slice(&name[..end]);
        Name { len: end as u8, bytes }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

impl KObjectBase {
    /// A new identity without name or signals.
    pub fn new() -> Self {
        Self::with("", Signals::empty())
    }

    /// A new identity with a name and the signals that are set from the start.
    pub fn with(name: &str, signals: Signals) -> Self {
        Self::place(name, Place::Own(SignalState::new(signals)))
    }

    /// A new identity of an end of a pair, which the signals on `side` (0 or 1) are of.
    pub(crate) fn of_pair(of: Arc<[SignalState; 2]>, side: usize) -> Self {
        Self::place("", Place::Pair { of, side })
    }

    fn place(name: &str, signals: Place) -> Self {
        LIVE_OBJECTS.fetch_add(1, Ordering::Relaxed);
        KObjectBase {
            koid: NEXT_KOID.fetch_add(1, Ordering::Relaxed),
            handles: AtomicU32::new(0),
            name: Mutex::new(Name::new(name)),
            signals,
        }
    }

    /// The object's identity.
    pub fn koid(&self) -> Koid {
        self.koid
    }

    /// The object's signals, for its own use: no check of what a user may signal.
    pub fn signal_state(&self) -> &SignalState {
        match &self.signals {
            Place::Own(signals) => signals,
            Place::Pair { of, side } => &of[*side & 1],
        }
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// True if that was the last handle.
    pub(crate) fn remove_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Drop for KObjectBase {
    fn drop(&mut self) {
        LIVE_OBJECTS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for KObjectBase {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for KObjectBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KObjectBase")
            .field("koid", &self.koid)
            .field("name", &String::from_utf8_lossy(self.name.lock().get()))
            .field("signals", self.signal_state())
            .finish_non_exhaustive()
    }
}

/// An object of the kernel. See the [module](self) for the idea.
///
/// ```
/// use std::sync::Arc;
/// use kernel_objects::{Event, KernelObject, ObjectType, Signals, downcast};
///
/// let object: Arc<dyn KernelObject> = Event::create();
/// assert_eq!(object.object_type(), ObjectType::Event);
/// object.signal(Signals::empty(), Signals::USER_0).unwrap();
/// assert_eq!(object.signals(), Signals::USER_0);
/// let event: Arc<Event> = downcast(object).unwrap();
/// assert!(event.koid() >= 1024);
/// ```
pub trait KernelObject: Any + Send + Sync {
    /// The part that all objects share.
    fn base(&self) -> &KObjectBase;

    /// The type of the object.
    fn object_type(&self) -> ObjectType;

    /// The koid of the other end, the parent job, the parent VMO: for ever, even when that is gone.
    /// [`KOID_INVALID`] if there is none.
    fn related_koid(&self) -> Koid {
        KOID_INVALID
    }

    /// Which signals a user may set and clear by [`signal`](Self::signal).
    fn user_signals(&self) -> Signals {
        Signals::USER_ALL
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if objects of this type have none, [`Error::PeerClosed`] if it is
    /// closed.
    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        Err(Error::NotSupported)
    }

    /// Called when the last handle has gone, with no lock held. Nobody can name the object any more,
    /// but others may hold references; a handle may come again (a peer's, a job's child).
    fn on_zero_handles(&self) {}

    /// The object's identity.
    fn koid(&self) -> Koid {
        self.base().koid
    }

    /// The object's name, empty if it has none.
    fn name(&self) -> String {
        String::from_utf8_lossy(self.base().name.lock().get()).into_owned()
    }

    /// The object's name as it is, which need not be UTF-8.
    fn name_bytes(&self) -> Vec<u8> {
        self.base().name.lock().get().to_vec()
    }

    /// Names the object. What is beyond 31 bytes, or behind a zero, is cut off (`ZX_PROP_NAME`).
    fn set_name(&self, name: &str) {
        *self.base().name.lock() = Name::new(name);
    }

    /// As [`set_name`](Self::set_name), for a name that need not be UTF-8.
    fn set_name_bytes(&self, name: &[u8]) {
        *self.base().name.lock() = Name::from_bytes(name);
    }

    /// The signals that are set.
    fn signals(&self) -> Signals {
        self.base().signal_state().get()
    }

    /// How many handles to the object exist (`ZX_INFO_HANDLE_COUNT`).
    fn handle_count(&self) -> u32 {
        self.base().handles.load(Ordering::Relaxed)
    }

    /// The rights that a new handle to an object of this type has.
    fn default_rights(&self) -> Rights {
        Rights::default_for(self.object_type())
    }

    /// Whether a user can wait for it: whether handles to objects of its type have [`Rights::WAIT`] to begin with.
    fn is_waitable(&self) -> bool {
        Rights::default_for(self.object_type()).contains(Rights::WAIT)
    }

    /// Clears and then sets signals of the object (`zx_object_signal`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if a bit is not one that a user may change.
    fn signal(&self, clear: Signals, set: Signals) -> Result {
        if !self.user_signals().contains(clear | set) {
            return Err(Error::InvalidArgs);
        }
        self.base().signal_state().update(clear, set);
        Ok(())
    }

    /// Clears and then sets signals of the other end (`zx_object_signal_peer`).
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if objects of this type have no peer, [`Error::InvalidArgs`] if a bit
    /// is not one that a user may change, [`Error::PeerClosed`] if the other end is closed.
    fn signal_peer(&self, clear: Signals, set: Signals) -> Result {
        match self.peer() {
            Err(Error::NotSupported) => Err(Error::NotSupported),
            _ if !self.user_signals().contains(clear | set) => Err(Error::InvalidArgs),
            Ok(peer) => peer.signal(clear, set),
            Err(error) => Err(error),
        }
    }

    /// Waits until one of `signals` is set (`zx_object_wait_one`); see [`WaitOne`].
    fn wait_one(&self, signals: Signals) -> WaitOne<'_> {
        self.base().signal_state().wait(signals, 0)
    }
}

impl fmt::Debug for dyn KernelObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}, {:?})", self.object_type(), self.koid(), self.signals())
    }
}

/// The object as what it is.
///
/// # Errors
///
/// [`Error::WrongType`] if it is something else.
pub fn downcast<T: KernelObject>(object: Arc<dyn KernelObject>) -> Result<Arc<T>> {
    let any: Arc<dyn Any + Send + Sync> = object;
    any.downcast().map_err(|_| Error::WrongType)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Event, eventpair::EventPair};

    #[test]
    fn types_have_zircons_numbers() {
        use ObjectType as T;
        let dense = [
            T::Socket,
            T::Resource,
            T::EventPair,
            T::Job,
            T::Vmar,
            T::Fifo,
            T::Guest,
            T::Vcpu,
            T::Timer,
            T::Iommu,
            T::Bti,
            T::Profile,
            T::Pmt,
            T::SuspendToken,
            T::Pager,
            T::Exception,
            T::Clock,
            T::Stream,
            T::Msi,
        ];
        assert!(dense.iter().zip(14..).all(|(&object, number)| object as u32 == number));
        let first = [T::Process, T::Thread, T::Vmo, T::Channel, T::Event, T::Port];
        assert!(first.iter().zip(1..).all(|(&object, number)| object as u32 == number));
        let others =
            [T::Interrupt, T::PciDevice, T::DebugLog, T::Iob, T::Counter, T::IobSharedRegion];
        assert_eq!(others.map(|object| object as u32), [9, 11, 12, 33, 34, 35]);
    }

    #[test]
    fn koids_are_unique_and_beyond_the_reserved_ones() {
        let (a, b) = (Event::create(), Event::create());
        assert!(a.koid() >= KOID_FIRST);
        assert_ne!(a.koid(), b.koid());
    }

    #[test]
    fn names_are_cut_at_31_bytes_a_whole_character_and_a_zero() {
        let event = Event::create();
        assert_eq!(event.name(), "");
        event.set_name(&"x".repeat(40));
        assert_eq!(event.name(), "x".repeat(31));
        event.set_name(&"é".repeat(20));
        assert_eq!(event.name(), "é".repeat(15));
        event.set_name("before\0after");
        assert_eq!(event.name(), "before");
        event.set_name_bytes(b"\xff\xfe\0after");
        assert_eq!(event.name_bytes(), b"\xff\xfe");
    }

    #[test]
    fn signalling_is_limited_to_what_the_type_allows() {
        let event = Event::create();
        assert_eq!(event.signal(Signals::empty(), Signals::READABLE), Err(Error::InvalidArgs));
        assert_eq!(event.signal(Signals::READABLE, Signals::empty()), Err(Error::InvalidArgs));
        assert_eq!(event.signal(Signals::empty(), Signals::SIGNALED | Signals::USER_7), Ok(()));
        assert_eq!(event.signals(), Signals::SIGNALED | Signals::USER_7);
        assert_eq!(event.signal_peer(Signals::empty(), Signals::USER_0), Err(Error::NotSupported));
    }

    #[test]
    fn types_are_found_by_their_numbers() {
        assert_eq!(ObjectType::from_raw(1), Ok(ObjectType::Process));
        assert_eq!(ObjectType::from_raw(35), Ok(ObjectType::IobSharedRegion));
        for unknown in [0, 7, 8, 38, u32::MAX] {
            assert_eq!(ObjectType::from_raw(unknown), Err(Error::InvalidArgs));
        }
    }

    #[test]
    fn downcast_tells_the_types_apart() {
        let object: Arc<dyn KernelObject> = Event::create();
        assert!(downcast::<EventPair>(object.clone()).is_err_and(|e| e == Error::WrongType));
        assert!(downcast::<Event>(object).is_ok());
    }

    #[test]
    fn a_refused_signal_changes_nothing_and_what_is_cleared_and_set_is_set() {
        let (event, (a, b)) = (Event::create(), EventPair::create());
        let (one, two) = (Signals::USER_0, Signals::USER_1);
        assert_eq!(event.signal(one, one | two), Ok(()));
        assert_eq!(
            event.signal(one | Signals::WRITABLE, Signals::empty()),
            Err(Error::InvalidArgs)
        );
        assert_eq!(event.signal(one, Signals::PEER_CLOSED), Err(Error::InvalidArgs));
        assert_eq!(event.signals(), one | two);
        assert_eq!(event.signal(two, one), Ok(()));
        assert_eq!(event.signals(), one);
        assert_eq!(a.signal_peer(Signals::empty(), one), Ok(()));
        assert_eq!(a.signal_peer(one, two), Ok(()));
        assert_eq!((a.signals(), b.signals()), (Signals::empty(), two));
        assert_eq!(a.signal_peer(Signals::READABLE, one), Err(Error::InvalidArgs));
        assert_eq!(b.signals(), two);
        // What has no peer says so first.
        let bad = Signals::PEER_CLOSED;
        assert_eq!(event.signal_peer(bad, bad), Err(Error::NotSupported));
        assert_eq!(event.peer().err(), Some(Error::NotSupported));
        assert_eq!((event.related_koid(), a.related_koid()), (KOID_INVALID, b.koid()));
        assert!(a.peer().is_ok_and(|peer| peer.koid() == b.koid()));
        drop(b);
        assert_eq!(a.peer().err(), Some(Error::PeerClosed));
    }

    #[test]
    fn a_name_has_up_to_31_bytes_however_it_is_given() {
        let event = Event::create();
        for len in [0, 1, 30, 31, 32, 100] {
            event.set_name(&"n".repeat(len));
            assert_eq!(event.name(), "n".repeat(len.min(31)));
            event.set_name_bytes(&vec![b'b'; len]);
            assert_eq!(event.name_bytes(), vec![b'b'; len.min(31)]);
        }
        event.set_name_bytes(b"\xffx");
        assert_eq!(event.name(), "\u{fffd}x");
        event.set_name_bytes(b"\0x");
        assert_eq!(event.name(), "");
        let base = KObjectBase::with("base", Signals::USER_0);
        assert_eq!(
            (base.name.lock().get(), base.signal_state().get()),
            (&b"base"[..], Signals::USER_0)
        );
    }

    #[test]
    fn every_number_has_one_type_or_none() {
        let numbers: Vec<_> = (0..64).filter(|&raw| ObjectType::from_raw(raw).is_ok()).collect();
        let mut expected: Vec<_> = (1..=35).collect();
        expected.retain(|raw| ![7, 8, 10, 13].contains(raw));
        assert_eq!(numbers, expected);
        for raw in numbers {
            assert_eq!(ObjectType::from_raw(raw).map(|it| it as u32), Ok(raw));
        }
    }
}
