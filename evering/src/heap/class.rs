//! Size classes: the sizes that blocks have, in steps of a quarter.
//!
//! The one idea: between two powers of two there are four sizes, so a block is at most a quarter larger than what was
//! asked for, and there are few enough classes for each to keep a stack of its own. Sizes are counted in
//! granules of one cache line, so that no two blocks share a line.
//!
//! ```text
//!     granules   1 2 3 4   5 6 7 8   10 12 14 16   20 24 28 32   40 …
//!     class      0 1 2 3   4 5 6 7    8  9 10 11   12 13 14 15   16 …
//! ```

/// The unit in which blocks are placed and measured, in bytes.
pub(crate) const GRANULE: usize = 64;

/// How many classes there are.
pub(crate) const CLASSES: usize = 124;

/// How many granules `len` bytes take, one at least; `None` if there can never be so many.
#[inline]
pub(crate) fn granules(len: usize) -> Option<u32> {
    u32::try_from(len.div_ceil(GRANULE).max(1)).ok()
}

/// The class of the smallest blocks that have `granules`, of which there is one at least.
#[inline]
pub(crate) fn class(granules: u32) -> u8 {
    let last = granules - 1;
    if last < 8 {
        return last as u8;
    }
    let exponent = last.ilog2();
    ((exponent - 2) * 4 + (last >> (exponent - 2))) as u8
}

/// How many granules the blocks of `class` have.
pub(crate) fn size(class: u8) -> u64 {
    match u64::from(class) {
        class @ 0..8 => class + 1,
        class => (class % 4 + 5) << (class / 4 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_begins_where_the_one_before_it_ends() {
        assert_eq!((class(1), size(0)), (0, 1));
        for c in 1..CLASSES as u8 {
            let (before, this) = (size(c - 1), size(c));
            assert!(before < this);
            if let Ok(first) = u32::try_from(before + 1) {
                assert_eq!(class(first), c);
                assert!(
                    this * 4 <= u64::from(first) * 5 + 3,
                    "no more than a quarter is wasted: {c}"
                );
            }
            if let Ok(last) = u32::try_from(this) {
                assert_eq!(class(last), c);
            }
        }
        assert_eq!(usize::from(class(u32::MAX)), CLASSES - 1);
    }

    #[test]
    fn bytes_are_rounded_up_to_granules() {
        let bytes = [0, 1, 64, 65, 1 << 20, usize::MAX];
        let expected = [Some(1), Some(1), Some(1), Some(2), Some(1 << 14), None];
        assert_eq!(bytes.map(granules), expected);
    }
}
