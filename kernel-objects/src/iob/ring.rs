//! Shared regions: a ring of messages that many write by system calls and one reads from memory.
//!
//! The first page has two words, the head and the tail, both counted in bytes since the beginning and never taken back; the ring is the
//! pages behind it. Only the kernel moves the head, only the reader the tail. The reader is believed in nothing: what it wrote there is
//! checked at each message, and at worst messages are lost that it should have had.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hal::pmem::{PhysAddr, PhysicalMemory};
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    signals::Signals,
    vmo::{PAGE, Pin, Vmo, VmoOptions},
};

/// What precedes each message: a tag and a length, 8 bytes each.
const HEADER: u64 = 16;

/// Messages begin at multiples of this.
const ALIGN: u64 = 8;

/// How many bytes a message may have: with what precedes it, the length fits in 16 bits.
pub const MAX_MESSAGE: usize = u16::MAX as usize - HEADER as usize;

/// Memory that the regions of many IOBuffers share (`zx_iob_create_shared_region`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::iob::{Iob, IobAccess, IobContent, IobRegion, SharedRegion};
///
/// let memory = PhysicalMemory::new(None).unwrap();
/// let log = SharedRegion::create(&memory, 2 * 4096, false).unwrap();
/// let content = IobContent::Ring { region: log.clone(), tag: 7 };
/// let access = IobAccess::EP1_MEDIATED_WRITE | IobAccess::EP0_MAP_READ;
/// let (reader, writer) = Iob::create(&memory, &[IobRegion { access, content }], false).unwrap();
/// writer.write(0, b"started").unwrap();
/// let mut message = [0; 23];
/// reader.view(0).unwrap().0.read(4096, &mut message).unwrap();
/// assert_eq!((message[0], message[8], &message[16..]), (7, 7, b"started".as_slice()));
/// ```
pub struct SharedRegion {
    base: KObjectBase,
    vmo: Arc<Vmo>,
    /// Keeps the first page where its words are.
    _pin: Pin,
    words: PhysAddr,
    /// Held by who writes a message.
    writing: Mutex<()>,
}

impl SharedRegion {
    /// A region of `size` bytes of zeros, which count against the limit if `charged`. All of it is there from the start.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `size` is 0 or no multiple of the page size; [`Error::OutOfRange`] if it is absurdly large;
    /// [`Error::NoMemory`].
    pub fn create(memory: &Arc<PhysicalMemory>, size: u64, charged: bool) -> Result<Arc<Self>> {
        if size == 0 || !size.is_multiple_of(PAGE) {
            return Err(Error::InvalidArgs);
        }
        let vmo = Vmo::create(memory, size, VmoOptions { resizable: false, charged })?;
        let pin = vmo.pin(0, size)?;
        let words = pin.runs().first().ok_or(Error::NoMemory)?.0;
        let base = KObjectBase::new();
        Ok(Arc::new(Self { base, vmo, _pin: pin, words, writing: Mutex::default() }))
    }

    /// Its memory.
    pub(super) fn vmo(&self) -> &Arc<Vmo> {
        &self.vmo
    }

    /// How many bytes of messages fit: none, if there is only the page with the two words.
    pub(super) fn capacity(&self) -> u64 {
        self.vmo.size() - PAGE
    }

    fn word(&self, index: u64) -> &AtomicU64 {
        self.vmo.memory().atomic_u64(self.words.offset(index * 8))
    }

    /// Copies `bytes` to where the ring goes on at `at`; where it goes on behind them.
    fn put(&self, at: u64, bytes: &[u8]) -> Result<u64> {
        let place = at % self.capacity();
        let first = bytes.len().min((self.capacity() - place) as usize);
        let (bytes, wrapped) = bytes.split_at(first);
        self.vmo.write(PAGE + place, bytes)?;
        self.vmo.write(PAGE, wrapped)?;
        Ok(at.wrapping_add((first + wrapped.len()) as u64))
    }

    /// Appends a message.
    pub(super) fn write(&self, tag: u64, message: &[u8]) -> Result {
        if message.len() > MAX_MESSAGE {
            return Err(Error::InvalidArgs);
        }
        let needs = (HEADER + message.len() as u64).next_multiple_of(ALIGN);
        if needs > self.capacity() {
            return Err(Error::NoSpace);
        }
        let writing = self.writing.lock();
        let head = self.word(0).load(Ordering::Relaxed);
        // What the reader had read before it moved the tail may be overwritten from here on.
        let tail = self.word(1).load(Ordering::Acquire);
        if tail > head || head.checked_add(needs).is_none() || !head.is_multiple_of(ALIGN) {
            return Err(Error::IoDataIntegrity);
        }
        if head - tail > self.capacity() - needs {
            return Err(Error::NoSpace);
        }
        let at = self.put(head, &tag.to_ne_bytes())?;
        let at = self.put(at, &(message.len() as u64).to_ne_bytes())?;
        self.put(at, message)?;
        // Who finds the new head finds the message.
        self.word(0).fetch_add(needs, Ordering::Release);
        drop(writing);
        self.base
            .signal_state()
            .set_and_strobe(Signals::empty(), Signals::IOB_SHARED_REGION_UPDATED);
        Ok(())
    }
}

impl KernelObject for SharedRegion {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::IobSharedRegion
    }
}

impl fmt::Debug for SharedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRegion")
            .field("base", &self.base)
            .field("size", &self.vmo.size())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::FutureExt;

    use super::*;

    fn region(pages: u64) -> Arc<SharedRegion> {
        SharedRegion::create(&PhysicalMemory::new(None).unwrap(), pages * PAGE, false).unwrap()
    }

    fn set(region: &SharedRegion, head: u64, tail: u64) {
        region.word(0).store(head, Ordering::Relaxed);
        region.word(1).store(tail, Ordering::Relaxed);
    }

    fn bytes(region: &SharedRegion, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        region.vmo.read(PAGE + at, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_message_is_its_tag_its_length_and_its_bytes() {
        let region = region(2);
        region.write(0x0123_4567_89ab_cdef, b"12345\0").unwrap();
        region.write(1, b"").unwrap();
        let expected = b"\xef\xcd\xab\x89\x67\x45\x23\x01\x06\0\0\0\0\0\0\x0012345\0\0\0\
                         \x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(bytes(&region, 0, 40), expected);
        assert_eq!(region.word(0).load(Ordering::Relaxed), 40);
        assert_eq!(region.word(1).load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_ring_has_room_again_when_the_reader_has_read() {
        let region = region(2);
        // 170 messages of 24 bytes leave 16.
        for _ in 0..PAGE / 24 {
            region.write(2, b"123456").unwrap();
        }
        assert_eq!(region.write(2, b"1"), Err(Error::NoSpace));
        let head = region.word(0).load(Ordering::Relaxed);
        assert_eq!(head, PAGE / 24 * 24);
        region.word(1).store(8, Ordering::Relaxed);
        region.write(3, b"wrapped!").unwrap();
        assert_eq!(bytes(&region, head, 16), [3, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(&region, 0, 8), b"wrapped!");
        assert_eq!(region.write(2, b""), Err(Error::NoSpace));
    }

    #[test]
    fn a_message_is_copied_around_the_end_of_the_ring() {
        let region = region(2);
        set(&region, PAGE - 24, PAGE - 24);
        region.write(9, b"12345678abcdefgh").unwrap();
        assert_eq!(bytes(&region, PAGE - 8, 8), b"12345678");
        assert_eq!(bytes(&region, 0, 8), b"abcdefgh");
    }

    #[test]
    fn the_largest_message_fits_and_none_larger() {
        let region = region(18);
        assert_eq!(region.write(0, &vec![1; MAX_MESSAGE]), Ok(()));
        assert_eq!(region.word(0).load(Ordering::Relaxed), 1 << 16);
        assert_eq!(region.write(0, &vec![1; MAX_MESSAGE + 1]), Err(Error::InvalidArgs));
        let small = self::region(2);
        assert_eq!(small.write(0, &vec![1; PAGE as usize - 15]), Err(Error::NoSpace));
        assert_eq!(small.write(0, &vec![1; PAGE as usize - 16]), Ok(()));
    }

    #[test]
    fn words_that_cannot_be_are_refused() {
        let region = region(2);
        for (head, tail) in [(0, 8), (9, 0), (9, 9), (u64::MAX - 15, u64::MAX - 15)] {
            set(&region, head, tail);
            assert_eq!(region.write(0, b"1"), Err(Error::IoDataIntegrity), "{head} {tail}");
        }
        // Far along it still goes on.
        set(&region, u64::MAX - 31, u64::MAX - 31);
        assert_eq!(region.write(0, b"1"), Ok(()));
    }

    #[test]
    fn who_waits_is_told_of_a_message_and_not_of_one_before() {
        let region = region(2);
        region.write(0, b"before").unwrap();
        let mut wait = region.wait_one(Signals::IOB_SHARED_REGION_UPDATED);
        assert!((&mut wait).now_or_never().is_none());
        set(&region, 0, 8);
        assert!(region.write(0, b"refused").is_err());
        assert!((&mut wait).now_or_never().is_none());
        set(&region, 0, 0);
        region.write(0, b"now").unwrap();
        assert_eq!(wait.now_or_never(), Some(Ok(Signals::IOB_SHARED_REGION_UPDATED)));
        assert_eq!(region.signals(), Signals::empty());
    }

    #[test]
    fn writers_do_not_mix_their_messages() {
        let (region, done) = (region(17), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for tag in 1..=4_u64 {
                let (region, done) = (&region, &done);
                scope.spawn(move || {
                    for _ in 0..500 {
                        region.write(tag, &[tag as u8; 8]).unwrap();
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(region.word(0).load(Ordering::Relaxed), 2000 * 24);
        for at in 0..2000 {
            let message = bytes(&region, at * 24, 24);
            assert_eq!((message[8], &message[9..16]), (8, [0; 7].as_slice()));
            assert!((1..=4).contains(&message[0]));
            assert_eq!(message[16..], [message[0]; 8]);
        }
    }

    #[test]
    fn a_size_is_whole_pages_and_not_none() {
        let memory = PhysicalMemory::new(None).unwrap();
        let create = |size| SharedRegion::create(&memory, size, false).map(|it| it.capacity());
        assert_eq!(create(PAGE), Ok(0));
        assert_eq!(create(0), Err(Error::InvalidArgs));
        assert_eq!(create(PAGE + 8), Err(Error::InvalidArgs));
        assert_eq!(create(u64::MAX - PAGE + 1), Err(Error::OutOfRange));
    }
}
