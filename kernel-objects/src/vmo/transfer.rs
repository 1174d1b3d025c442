//! Moving data from one VMO to another.
//!
//! Pages that lie side by side in memory are what makes mappings cheap here, so the bytes move and the frames stay; what was never
//! touched moves as nothing.

use std::ops::Range;

use super::{Kind, PAGE, RangeOp, Vmo};
use crate::error::{Error, Result};

/// Bytes that are moved at once.
const PIECE: u64 = 64 << 10;

impl Vmo {
    /// Moves `length` bytes of `source`, from `source_offset` on, to this VMO at `offset`, as by memmove; what they leave is zero
    /// (`zx_vmo_transfer_data`).
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if something is no page multiple; [`Error::OutOfRange`]; [`Error::NotSupported`] if one of the two is
    /// physical, contiguous or backed by a pager or a file; [`Error::BadState`] if a page of either range is pinned;
    /// [`Error::AccessDenied`] if one may not be written to; [`Error::NoMemory`], and a part of it has moved then.
    pub fn transfer_data(
        &self,
        offset: u64,
        length: u64,
        source: &Vmo,
        source_offset: u64,
    ) -> Result {
        if [offset, length, source_offset].iter().any(|number| !number.is_multiple_of(PAGE)) {
            return Err(Error::InvalidArgs);
        }
        let to = self.check(offset, length)?;
        let from = source.check(source_offset, length)?;
        for (vmo, range) in [(self, &to), (source, &from)] {
            if !matches!(vmo.owner().0.kind, Kind::Anonymous) {
                return Err(Error::NotSupported);
            }
            if vmo.is_pinned(range.clone()) {
                return Err(Error::BadState);
            }
            vmo.check_writable()?;
        }
        let (owner, base) = self.owner();
        let (source_owner, source_base) = source.owner();
        let (target, origin) = (base + to.start, source_base + from.start);
        let same = std::ptr::eq(owner, source_owner);
        if same && target == origin {
            return Ok(());
        }
        // Bytes must be read before others are written there.
        let mut parts = source.parts(&from);
        if same && target > origin {
            parts.reverse();
        }
        for (part, touched) in parts {
            let at = offset + (part.start - from.start);
            match touched {
                true => self.copy_piece(at, source, &part)?,
                false => self.op_range(RangeOp::Zero, at, part.end - part.start)?,
            }
        }
        // What was left, but for what something was moved to.
        let left = origin..origin + length;
        let kept = if same { target..target + length } else { left.end..left.end };
        for gone in [left.start..left.end.min(kept.start), left.start.max(kept.end)..left.end] {
            if gone.start < gone.end {
                let at = gone.start - source_base;
                source.op_range(RangeOp::Zero, at, gone.end - gone.start)?;
            }
        }
        Ok(())
    }

    /// A range cut into pieces that were touched, and gaps of any length that were not.
    fn parts(&self, range: &Range<u64>) -> Vec<(Range<u64>, bool)> {
        let (mut parts, mut at) = (Vec::new(), range.start);
        for touched in self.committed(range.clone()) {
            if at < touched.start {
                parts.push((at..touched.start, false));
            }
            let mut start = touched.start;
            while start < touched.end {
                let end = touched.end.min(start + PIECE);
                parts.push((start..end, true));
                start = end;
            }
            at = touched.end;
        }
        if at < range.end {
            parts.push((at..range.end, false));
        }
        parts
    }

    /// Copies `part` of `source` to `offset`.
    fn copy_piece(&self, offset: u64, source: &Vmo, part: &Range<u64>) -> Result {
        let mut bytes = vec![0; (part.end - part.start) as usize];
        source.read(part.start, &mut bytes)?;
        self.write(offset, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hal::pmem::PhysicalMemory;

    use super::*;
    use crate::vmo::{ChildOptions, VmoOptions};

    const PAGES: u64 = 40;

    fn vmo(memory: &Arc<PhysicalMemory>) -> Arc<Vmo> {
        Vmo::create(memory, PAGES * PAGE, VmoOptions::default()).unwrap()
    }

    /// Every page begins with its number, from 1 on.
    fn numbered(memory: &Arc<PhysicalMemory>) -> Arc<Vmo> {
        let vmo = vmo(memory);
        (0..PAGES).for_each(|page| vmo.write(page * PAGE, &[page as u8 + 1]).unwrap());
        vmo
    }

    fn numbers(vmo: &Vmo) -> Vec<u8> {
        let number = |page| {
            let mut byte = [0];
            vmo.read(page * PAGE, &mut byte).unwrap();
            byte[0]
        };
        (0..PAGES).map(number).collect()
    }

    #[test]
    fn data_moves_and_leaves_zeroes() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (to, from) = (numbered(&memory), vmo(&memory));
        from.write(3 * PAGE, b"xyz").unwrap();
        let snapshot = to.create_child(ChildOptions::SNAPSHOT, 0, PAGES * PAGE).unwrap();
        assert_eq!(to.transfer_data(PAGE, 20 * PAGE, &from, 2 * PAGE), Ok(()));
        let mut expected: Vec<u8> = (1..=PAGES as u8).collect();
        expected[1..21].fill(0);
        expected[2] = b'x';
        assert_eq!(numbers(&to), expected);
        assert_eq!(numbers(&from), vec![0; PAGES as usize]);
        assert_eq!(from.info().committed_bytes, 0);
        assert_eq!(numbers(&snapshot), (1..=PAGES as u8).collect::<Vec<_>>(), "as it was");
    }

    #[test]
    fn overlapping_ranges_of_one_vmo_move_in_either_direction() {
        let memory = PhysicalMemory::new(None).unwrap();
        for (to, from) in [(1, 4), (4, 1), (0, 19), (19, 0), (5, 5)] {
            let vmo = numbered(&memory);
            let slice = vmo.create_child(ChildOptions::SLICE, 0, PAGES * PAGE).unwrap();
            assert_eq!(vmo.transfer_data(to * PAGE, 20 * PAGE, &slice, from * PAGE), Ok(()));
            let mut expected: Vec<u8> = (1..=PAGES as u8).collect();
            let moved = expected[from as usize..from as usize + 20].to_vec();
            expected[from as usize..from as usize + 20].fill(0);
            expected[to as usize..to as usize + 20].copy_from_slice(&moved);
            assert_eq!(numbers(&vmo), expected, "{from} to {to}");
        }
    }

    #[test]
    fn what_was_never_touched_costs_nothing_however_long_it_is() {
        let memory = PhysicalMemory::new(None).unwrap();
        let make = || Vmo::create_unbounded(&memory, 0).unwrap();
        let (to, from) = (make(), make());
        let (length, far) = (1 << 61, 1 << 60);
        from.write(far, b"far").unwrap();
        to.write(PAGE, b"old").unwrap();
        assert_eq!(to.transfer_data(0, length, &from, 0), Ok(()));
        let mut bytes = [0; 3];
        to.read(far, &mut bytes).unwrap();
        assert_eq!(&bytes, b"far");
        to.read(PAGE, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 3]);
        assert_eq!(to.transfer_data(PAGE, length, &to, 0), Ok(()));
        to.read(far + PAGE, &mut bytes).unwrap();
        assert_eq!(&bytes, b"far");
    }

    #[test]
    fn what_is_documented_to_fail_fails() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (to, from) = (vmo(&memory), vmo(&memory));
        for (offset, length, source) in [(1, PAGE, 0), (0, 1, 0), (0, PAGE, 1)] {
            let moved = to.transfer_data(offset, length, &from, source);
            assert_eq!(moved, Err(Error::InvalidArgs));
        }
        let end = PAGES * PAGE;
        assert_eq!(to.transfer_data(end, PAGE, &from, 0), Err(Error::OutOfRange));
        assert_eq!(to.transfer_data(0, PAGE, &from, end), Err(Error::OutOfRange));
        let contiguous = Vmo::create_contiguous(&memory, PAGE, 0).unwrap();
        assert_eq!(to.transfer_data(0, PAGE, &contiguous, 0), Err(Error::NotSupported));
        assert_eq!(contiguous.transfer_data(0, PAGE, &from, 0), Err(Error::NotSupported));
        let options = ChildOptions::SNAPSHOT | ChildOptions::NO_WRITE;
        let fixed = to.create_child(options, 0, PAGE).unwrap();
        let target = numbered(&memory);
        assert_eq!(fixed.transfer_data(0, PAGE, &from, 0), Err(Error::AccessDenied));
        assert_eq!(target.transfer_data(0, PAGE, &fixed, 0), Err(Error::AccessDenied));
        assert_eq!(numbers(&target), numbers(&numbered(&memory)), "nothing has moved");
        let pin = from.pin(PAGE, PAGE).unwrap();
        assert_eq!(to.transfer_data(0, 2 * PAGE, &from, 0), Err(Error::BadState));
        assert_eq!(from.transfer_data(PAGE, PAGE, &to, 0), Err(Error::BadState));
        assert_eq!(to.transfer_data(0, PAGE, &from, 2 * PAGE), Ok(()), "beside the pinned page");
        drop(pin);
        assert_eq!(to.transfer_data(0, 2 * PAGE, &from, 0), Ok(()));
        assert_eq!(to.transfer_data(0, 0, &from, 0), Ok(()));
    }
}
