//! The debug log: what the kernel and programs have to say when nothing else works yet.
//!
//! A [`KernelLog`] is a ring of records. Writing never waits: when it is full the oldest records go, for every reader
//! that has not come so far. A [`DebugLog`] is one user of it, with a place of its own to read on from. Records are
//! numbered, so a reader knows how many it has missed, and is told.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    object::{KOID_INVALID, KObjectBase, KernelObject, Koid, ObjectType},
    resource::{Resource, SystemBase},
    rights::Rights,
    signals::{Calls, Signals},
    task::Thread,
};

/// The size of a record with its header: `ZX_LOG_RECORD_MAX`.
pub const RECORD_MAX: usize = 256;

/// The size of the header of a `zx_log_record_t`.
const HEADER: usize = 40;

/// How much a record can say; more is cut off: `ZX_LOG_RECORD_DATA_MAX`.
pub const RECORD_DATA_MAX: usize = RECORD_MAX - HEADER;

/// How many bytes of records a log keeps unless it is made for more or fewer.
pub const DEFAULT_CAPACITY: usize = 128 << 10;

/// A flag of a record: it is not to leave the machine: `ZX_LOG_LOCAL`.
pub const LOG_LOCAL: u32 = 0x10;

/// An option of [`DebugLog::create`]: it can be read: `ZX_LOG_FLAG_READABLE`.
pub const LOG_READABLE: u32 = 0x4000_0000;

/// How bad it is: `ZX_LOG_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    /// What happens in detail.
    Trace = 0x10,
    /// For who looks for a fault.
    Debug = 0x20,
    /// Worth knowing.
    Info = 0x30,
    /// May be a fault.
    Warning = 0x40,
    /// A fault.
    Error = 0x50,
    /// The end.
    Fatal = 0x60,
}

/// One thing that was said: `zx_log_record_t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its number, one more than that of the record before; the first has 0.
    pub sequence: u64,
    /// How bad it is.
    pub severity: Severity,
    /// [`LOG_LOCAL`] or 0.
    pub flags: u8,
    /// When, in ns of the monotonic clock.
    pub timestamp: u64,
    /// The process that said it, [`KOID_INVALID`] if it was the kernel.
    pub pid: Koid,
    /// The thread that said it, [`KOID_INVALID`] if it was the kernel.
    pub tid: Koid,
    /// What: any bytes.
    pub data: SmallVec<[u8; 64]>,
}

impl LogRecord {
    /// The record as a `zx_log_record_t`, cut off where `buffer` ends; how many bytes were written.
    pub fn encode(&self, buffer: &mut [u8]) -> usize {
        let mut bytes = SmallVec::<[u8; RECORD_MAX]>::new();
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(self.data.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&[self.severity as u8, self.flags]);
        bytes.extend_from_slice(&self.timestamp.to_le_bytes());
        bytes.extend_from_slice(&self.pid.to_le_bytes());
        bytes.extend_from_slice(&self.tid.to_le_bytes());
        bytes.extend_from_slice(&self.data);
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        len
    }

    /// How much of the log it takes.
    fn size(&self) -> usize {
        HEADER + self.data.len()
    }
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The record.
    pub record: Arc<LogRecord>,
    /// How many before it this reader has missed, because they were no longer there.
    pub lost: u64,
}

/// The records of one machine.
pub struct KernelLog {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// In the order of their numbers, which have no gaps.
    records: VecDeque<Arc<LogRecord>>,
    size: usize,
    /// The number of the next record.
    next: u64,
    /// Those who read, by koid.
    readers: BTreeMap<Koid, Reader>,
}

struct Reader {
    log: Weak<DebugLog>,
    /// The number of the record to read next.
    at: u64,
}

impl KernelLog {
    /// An empty log.
    pub fn new() -> Arc<KernelLog> {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// An empty log that keeps so many bytes of records, at least the last record.
    pub fn with_capacity(capacity: usize) -> Arc<KernelLog> {
        Arc::new(KernelLog { capacity, inner: Mutex::default() })
    }

    /// Adds a record; what is longer than [`RECORD_DATA_MAX`] is cut off. `writer` is `None` for the kernel.
    pub fn write(&self, severity: Severity, flags: u8, writer: Option<&Thread>, data: &[u8]) {
        let data = &data[..data.len().min(RECORD_DATA_MAX)];
        let mut inner = self.inner.lock();
        let record = LogRecord {
            sequence: inner.next,
            severity,
            flags,
            timestamp: hal::time::monotonic(),
            pid: writer.map_or(KOID_INVALID, |thread| thread.process().koid()),
            tid: writer.map_or(KOID_INVALID, |thread| thread.koid()),
            data: SmallVec::from_slice(data),
        };
        inner.next += 1;
        inner.size += record.size();
        inner.records.push_back(Arc::new(record));
        while inner.size > self.capacity && inner.records.len() > 1 {
            let oldest = inner.records.pop_front();
            inner.size -= oldest.map_or(0, |record| record.size());
        }
        let readers: SmallVec<[_; 4]> =
            inner.readers.values().filter_map(|reader| reader.log.upgrade()).collect();
        let calls: SmallVec<[Calls; 4]> = readers
            .iter()
            .map(|log| log.base.signal_state().change(Signals::empty(), Signals::READABLE))
            .collect();
        drop(inner);
        calls.into_iter().for_each(Calls::run);
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.inner.lock().records.len()
    }

    /// True if there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for KernelLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("KernelLog")
            .field("records", &inner.records.len())
            .field("next", &inner.next)
            .finish_non_exhaustive()
    }
}

/// A user of the debug log (`zx_debuglog_create`). `READABLE` while there is a record that it has not read.
///
/// ```
/// use kernel_objects::DebugLog;
/// use kernel_objects::{debuglog::{KernelLog, LOG_READABLE, Severity}, resource::ResourceSpace};
///
/// let (machine, kernel) = (ResourceSpace::new(), KernelLog::new());
/// let log = DebugLog::create(&machine.root(), &kernel, LOG_READABLE).unwrap();
/// kernel.write(Severity::Warning, 0, None, b"on fire");
/// let entry = log.read().unwrap();
/// assert_eq!((&entry.record.data[..], entry.lost), (&b"on fire"[..], 0));
/// ```
pub struct DebugLog {
    base: KObjectBase,
    log: Arc<KernelLog>,
    readable: bool,
}

impl DebugLog {
    /// A user of `log` by the right of the resource for [the log](SystemBase::DebugLog), or of the root resource, who reads from the oldest record on if `options` has
    /// [`LOG_READABLE`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for other options, [`Error::WrongType`] if it is another resource.
    pub fn create(
        resource: &Resource,
        log: &Arc<KernelLog>,
        options: u32,
    ) -> Result<Arc<DebugLog>> {
        if options & !LOG_READABLE != 0 {
            return Err(Error::InvalidArgs);
        }
        resource.validate_system(SystemBase::DebugLog).map_err(|_| Error::WrongType)?;
        let readable = options & LOG_READABLE != 0;
        let mut inner = log.inner.lock();
        let unread = readable && !inner.records.is_empty();
        let unread = if unread { Signals::READABLE } else { Signals::empty() };
        let user = Arc::new(DebugLog {
            base: KObjectBase::with("", Signals::WRITABLE | unread),
            log: log.clone(),
            readable,
        });
        if readable {
            let at = inner.records.front().map_or(inner.next, |record| record.sequence);
            let reader = Reader { log: Arc::downgrade(&user), at };
            inner.readers.insert(user.koid(), reader);
        }
        Ok(user)
    }

    /// Adds a record at [`Severity::Info`] (`zx_debuglog_write`), as [`KernelLog::write`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for options beyond [`LOG_LOCAL`].
    pub fn write(&self, options: u32, writer: Option<&Thread>, data: &[u8]) -> Result {
        if options & !LOG_LOCAL != 0 {
            return Err(Error::InvalidArgs);
        }
        self.log.write(Severity::Info, options as u8, writer, data);
        Ok(())
    }

    /// The next record (`zx_debuglog_read`).
    ///
    /// # Errors
    ///
    /// [`Error::ShouldWait`] if there is none, [`Error::AccessDenied`] if it was not made to be read.
    pub fn read(&self) -> Result<LogEntry> {
        if !self.readable {
            return Err(Error::AccessDenied);
        }
        let mut inner = self.log.inner.lock();
        let Inner { records, next, readers, .. } = &mut *inner;
        let reader = readers.get_mut(&self.base.koid()).ok_or(Error::BadState)?;
        let first = records.front().map_or(*next, |record| record.sequence);
        let at = reader.at.max(first);
        let record = records.get((at - first) as usize).ok_or(Error::ShouldWait)?.clone();
        let lost = at - reader.at;
        reader.at = at + 1;
        let calls = match reader.at == *next {
            true => self.base.signal_state().change(Signals::READABLE, Signals::empty()),
            false => Calls::default(),
        };
        drop(inner);
        calls.run();
        Ok(LogEntry { record, lost })
    }
}

impl KernelObject for DebugLog {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::DebugLog
    }

    fn default_rights(&self) -> Rights {
        let read = if self.readable { Rights::READ } else { Rights::empty() };
        Rights::default_for(ObjectType::DebugLog) | read
    }
}

impl Drop for DebugLog {
    fn drop(&mut self) {
        self.log.inner.lock().readers.remove(&self.base.koid());
    }
}

impl fmt::Debug for DebugLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugLog")
            .field("base", &self.base)
            .field("readable", &self.readable)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};

    use super::*;
    use crate::{
        resource::{ResourceKind, ResourceOptions, ResourceSpace},
        task::{Job, Process},
    };

    fn reader(log: &Arc<KernelLog>) -> Arc<DebugLog> {
        DebugLog::create(&ResourceSpace::new().root(), log, LOG_READABLE).unwrap()
    }

    fn is_readable(log: &DebugLog) -> bool {
        log.signals().contains(Signals::READABLE)
    }

    fn say(log: &KernelLog, text: &[u8]) {
        log.write(Severity::Error, 0, None, text);
    }

    #[test]
    fn a_log_is_made_by_the_right_of_the_root() {
        let (space, log) = (ResourceSpace::new(), KernelLog::new());
        let create = |options| DebugLog::create(&space.root(), &log, options);
        assert_eq!(create(1).err(), Some(Error::InvalidArgs));
        assert_eq!(create(LOG_READABLE | 1).err(), Some(Error::InvalidArgs));
        let options = ResourceOptions::shared(ResourceKind::Mmio);
        let mmio = Resource::create(&space.root(), options, 0, 1, "").unwrap();
        assert_eq!(DebugLog::create(&mmio, &log, 0).err(), Some(Error::WrongType));
        let system = ResourceOptions::shared(ResourceKind::System);
        let part =
            |base: SystemBase| Resource::create(&space.root(), system, base as u64, 1, "").unwrap();
        let by = |base| DebugLog::create(&part(base), &log, 0).err();
        assert_eq!(by(SystemBase::Msi), Some(Error::WrongType));
        assert_eq!(by(SystemBase::DebugLog), None);
        let (writer, reader) = (create(0).unwrap(), create(LOG_READABLE).unwrap());
        assert_eq!(writer.default_rights() & Rights::IO, Rights::WRITE);
        assert_eq!(reader.default_rights() & Rights::IO, Rights::IO);
        assert_eq!(writer.write(0, None, b"x"), Ok(()));
        assert_eq!(writer.read(), Err(Error::AccessDenied));
        assert!(is_readable(&reader) && !is_readable(&writer));
    }

    #[test]
    fn records_come_in_order_with_who_said_what_and_when() {
        let process = Process::create(&Job::root(), "p").unwrap();
        let thread = Thread::create(&process, "t").unwrap();
        let log = KernelLog::new();
        let user = reader(&log);
        assert_eq!(user.read(), Err(Error::ShouldWait));
        let before = hal::time::monotonic();
        assert_eq!(user.write(LOG_LOCAL, Some(&thread), b"a\0b"), Ok(()));
        log.write(Severity::Fatal, 0, None, b"");
        assert_eq!(user.write(0x20, None, b"x"), Err(Error::InvalidArgs));
        let LogEntry { record, lost } = user.read().unwrap();
        assert_eq!(
            (record.sequence, record.severity, record.flags, lost),
            (0, Severity::Info, 0x10, 0)
        );
        assert_eq!((record.pid, record.tid), (process.koid(), thread.koid()));
        assert_eq!(&record.data[..], b"a\0b");
        assert!(record.timestamp >= before);
        let LogEntry { record, .. } = user.read().unwrap();
        assert_eq!((record.sequence, record.severity), (1, Severity::Fatal));
        assert_eq!((record.pid, record.tid), (KOID_INVALID, KOID_INVALID));
        assert_eq!(user.read(), Err(Error::ShouldWait));
    }

    #[test]
    fn each_reader_has_its_own_place_from_the_oldest_record_on() {
        let log = KernelLog::new();
        say(&log, b"1");
        let first = reader(&log);
        assert!(first.read().is_ok());
        say(&log, b"2");
        let second = reader(&log);
        assert!(is_readable(&second));
        let texts = |log: &DebugLog| {
            std::iter::from_fn(|| log.read().ok()).map(|e| e.record.data[0]).collect::<Vec<_>>()
        };
        assert_eq!((texts(&first), texts(&second)), (b"2".to_vec(), b"12".to_vec()));
        drop((first, second));
        assert_eq!(log.inner.lock().readers.len(), 0);
    }

    #[test]
    fn it_is_readable_while_there_is_a_record() {
        let log = KernelLog::new();
        let user = reader(&log);
        let mut wait = user.wait_one(Signals::READABLE);
        assert!((&mut wait).now_or_never().is_none());
        assert!(user.signals().contains(Signals::WRITABLE));
        say(&log, b"1");
        say(&log, b"2");
        assert!(wait.now_or_never().is_some());
        assert!(user.read().is_ok() && is_readable(&user));
        assert!(user.read().is_ok() && !is_readable(&user));
    }

    #[test]
    fn a_full_log_loses_the_oldest_and_tells_how_many() {
        let log = KernelLog::with_capacity(10 * (HEADER + 10));
        let (slow, quick) = (reader(&log), reader(&log));
        for i in 0..25u8 {
            say(&log, &[i; 10]);
            assert_eq!(quick.read().map(|entry| entry.lost), Ok(0));
        }
        assert_eq!(log.len(), 10);
        let LogEntry { record, lost } = slow.read().unwrap();
        assert_eq!((record.sequence, record.data[0], lost), (15, 15, 15));
        assert_eq!(slow.read().map(|entry| (entry.record.sequence, entry.lost)), Ok((16, 0)));
        // One that is larger than the whole is kept alone.
        let log = KernelLog::with_capacity(1);
        say(&log, b"1");
        say(&log, b"2");
        assert_eq!(log.len(), 1);
        assert_eq!(reader(&log).read().map(|entry| entry.record.sequence), Ok(1));
    }

    #[test]
    fn long_records_are_cut_and_encoded_as_zircon_does() {
        let log = KernelLog::new();
        let user = reader(&log);
        say(&log, &[7; 1000]);
        let record = user.read().unwrap().record;
        assert_eq!(record.data.len(), RECORD_DATA_MAX);
        let mut buffer = [0xff; 300];
        assert_eq!(record.encode(&mut buffer), RECORD_MAX);
        assert_eq!(buffer[..8], [0; 8]);
        assert_eq!(buffer[12..16], [216, 0, 0x50, 0]);
        assert_eq!(buffer[16..24], record.timestamp.to_le_bytes());
        assert_eq!((buffer[40], buffer[255], buffer[256]), (7, 7, 0xff));
        assert_eq!(record.encode(&mut buffer[..50]), 50);
        assert_eq!(record.encode(&mut []), 0);
    }

    #[test]
    fn eight_threads_that_write_and_read_miss_nothing_that_is_not_told() {
        const ROUNDS: u64 = 2000;
        let log = KernelLog::with_capacity(50 * HEADER);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ROUNDS).for_each(|_| say(&log, b"x")));
            }
            for _ in 0..4 {
                let user = reader(&log);
                scope.spawn(move || {
                    let mut next = None;
                    loop {
                        block_on(user.wait_one(Signals::READABLE)).unwrap();
                        let LogEntry { record, lost } = user.read().unwrap();
                        assert_eq!(record.sequence, next.unwrap_or(record.sequence - lost) + lost);
                        next = Some(record.sequence + 1);
                        if record.sequence == 4 * ROUNDS - 1 {
                            break;
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn each_field_of_a_record_has_its_place() {
        let record = LogRecord {
            sequence: 0x0807_0605_0403_0201,
            severity: Severity::Warning,
            flags: LOG_LOCAL as u8,
            timestamp: 0x1817_1615_1413_1211,
            pid: 0x2827_2625_2423_2221,
            tid: 0x3837_3635_3433_3231,
            data: SmallVec::from_slice(b"text"),
        };
        let mut buffer = [0xff; 50];
        assert_eq!(record.encode(&mut buffer), 44);
        let expected = b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\x04\0\x40\x10\
                         \x11\x12\x13\x14\x15\x16\x17\x18\x21\x22\x23\x24\x25\x26\x27\x28\
                         \x31\x32\x33\x34\x35\x36\x37\x38text\xff\xff\xff\xff\xff\xff";
        assert_eq!(&buffer, expected);
        let severities = [
            Severity::Trace,
            Severity::Debug,
            Severity::Info,
            Severity::Warning,
            Severity::Error,
            Severity::Fatal,
        ];
        assert!(severities.iter().zip(1..).all(|(&it, n)| it as u8 == n << 4));
        assert_eq!((RECORD_MAX, RECORD_DATA_MAX, LOG_READABLE), (256, 216, 1 << 30));
    }

    #[test]
    fn a_reader_that_comes_late_has_missed_nothing() {
        let log = KernelLog::with_capacity(2 * (HEADER + 1));
        assert!(log.is_empty());
        (b'a'..=b'e').for_each(|text| say(&log, &[text]));
        let late = reader(&log);
        assert!(is_readable(&late));
        let entry = late.read().unwrap();
        assert_eq!((&entry.record.data[..], entry.record.sequence, entry.lost), (&b"d"[..], 3, 0));
        assert!(is_readable(&late) && late.read().is_ok() && !is_readable(&late));
        let empty = reader(&KernelLog::new());
        assert_eq!((empty.signals(), empty.read()), (Signals::WRITABLE, Err(Error::ShouldWait)));
        let exact = [7; RECORD_DATA_MAX];
        say(&log, &exact);
        assert_eq!(late.read().map(|entry| entry.record.data.len()), Ok(RECORD_DATA_MAX));
        assert!(reader(&log).write(0, None, b"x").is_ok(), "who reads may write");
    }
}
