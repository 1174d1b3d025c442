//! Where a CPU leaves its records until they are written.
//!
//! The one idea: the buffer has room for so many and no more. What comes when it is full is counted, but for what others depend on: the end
//! of a call whose beginning is written, a name. Of those there are at most as many as there are calls that wait and threads.

use super::record::Record;

/// How many records a CPU may have that were not written yet: 5 MB.
pub(super) const ROOM: usize = 1 << 16;

/// One CPU's records.
#[derive(Debug)]
pub(super) struct Buffer {
    /// In the order of time.
    pub(super) records: Vec<Record>,
    /// What was too important to be lost when there was no room.
    pub(super) kept: Vec<Record>,
    /// What was lost after all of `records`.
    pub(super) lost: Lost,
}

/// What a full buffer has not taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub(super) count: u64,
    /// When the first of it came.
    pub(super) since: u64,
}

impl Buffer {
    /// The room is taken at once: a CPU that grew it would wait for that.
    pub(super) fn new() -> Self {
        Self { records: Vec::with_capacity(ROOM), kept: Vec::new(), lost: Lost::default() }
    }

    /// Takes `record`, or counts it as lost; says whether it has it, and whether the writer should be told that there is more to do.
    pub(super) fn push(&mut self, record: Record, important: bool) -> (bool, Pressure) {
        if self.records.len() < ROOM {
            self.records.push(record);
            let pressure = match self.records.len() {
                1 => Pressure::Something,
                len if len == ROOM / 2 => Pressure::Much,
                _ => Pressure::None,
            };
            return (true, pressure);
        }
        if important {
            self.kept.push(record);
            return (true, Pressure::Much);
        }
        if self.lost.count == 0 {
            self.lost.since = record.time;
        }
        self.lost.count += 1;
        (false, Pressure::None)
    }

    /// Gives all that there is for `empty`.
    pub(super) fn exchange(&mut self, empty: &mut Self) {
        empty.records.clear();
        empty.kept.clear();
        empty.lost = Lost::default();
        std::mem::swap(self, empty);
    }
}

/// How much the writer has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// No more than it knows of.
    None,
    /// Something, in its time.
    Something,
    /// Much, or it is the end: now.
    Much,
}

#[cfg(test)]
mod tests {
    use super::{super::record::Event, *};

    #[test]
    fn a_full_buffer_counts_what_it_loses_and_keeps_what_is_important() {
        let mut buffer = Buffer::new();
        let record = |time| Record { time, event: Event::TaskBegins };
        for time in 0..ROOM as u64 {
            let (taken, pressure) = buffer.push(record(time), false);
            let expected = match time as usize + 1 {
                1 => Pressure::Something,
                half if half == ROOM / 2 => Pressure::Much,
                _ => Pressure::None,
            };
            assert_eq!((taken, pressure), (true, expected));
        }
        assert!(!buffer.push(record(70_000), false).0);
        assert!(buffer.push(record(70_001), true).0);
        assert!(!buffer.push(record(70_002), false).0);
        assert_eq!((buffer.lost.count, buffer.lost.since, buffer.kept.len()), (2, 70_000, 1));
        let mut other = Buffer::new();
        buffer.exchange(&mut other);
        assert_eq!((other.records.len(), other.lost.count), (ROOM, 2));
        assert!(buffer.records.is_empty() && buffer.kept.is_empty() && buffer.lost.count == 0);
    }
}
