//! What a futex word is, independent of the pointer used.
//!
//! The one idea: two words of numbers. A private futex is a place in one address space; a shared one is a place in a memory object, wherever that is mapped.

/// Identifies a futex within a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FutexKey {
    /// The number of the address space or memory object, shifted left, and a bit that tells which.
    object: u64,
    /// The address, or the offset in the object.
    offset: u64,
}

impl FutexKey {
    /// The word at address `address` of the address space numbered `space`.
    pub const fn private(space: u64, address: u64) -> Self {
        Self { object: space << 1, offset: address }
    }

    /// The word at byte `offset` of the memory object numbered `object`.
    pub const fn shared(object: u64, offset: u64) -> Self {
        Self { object: object << 1 | 1, offset }
    }

    /// A well-mixed number of `bits` bits.
    pub(super) const fn hash(self, bits: u32) -> usize {
        // Fibonacci hashing; the low two bits of an offset are always zero.
        let mixed =
            (self.offset >> 2 ^ self.object.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_shared_keys_of_equal_numbers_differ() {
        assert_ne!(FutexKey::private(1, 8), FutexKey::shared(1, 8));
    }

    #[test]
    fn neighbouring_words_spread_over_the_buckets() {
        let buckets: std::collections::HashSet<_> =
            (0..64).map(|n| FutexKey::private(7, 0x7000 + 4 * n).hash(8)).collect();
        assert!(buckets.len() > 40, "{}", buckets.len());
    }
}
