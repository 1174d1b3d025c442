//! The little program in the last argument of FUTEX_WAKE_OP.
//!
//! The one idea: decode once into enums, so that what is done to the word and what is asked of the old value can be tested without any queue. See futex(2).

use crate::errno::{Errno, SysResult};

/// What is done to the word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Set,
    Add,
    Or,
    AndNot,
    Xor,
}

/// What is asked of the word's old value, as a signed number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operation on a word and a question about its old value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WakeOp {
    operation: Operation,
    operand: u32,
    comparison: Comparison,
    compared: i32,
}

impl WakeOp {
    /// Decodes `FUTEX_OP(op, oparg, cmp, cmparg)`; `ENOSYS` for what Linux does not know either.
    pub fn decode(word: u32) -> SysResult<Self> {
        // Both operands are twelve bits with a sign.
        let operand = ((word << 8) as i32) >> 20;
        let compared = ((word << 20) as i32) >> 20;
        let shift = word >> 31 != 0;
        let operation = match word >> 28 & 7 {
            0 => Operation::Set,
            1 => Operation::Add,
            2 => Operation::Or,
            3 => Operation::AndNot,
            4 => Operation::Xor,
            _ => return Err(Errno::ENOSYS),
        };
        let comparison = match word >> 24 & 15 {
            0 => Comparison::Equal,
            1 => Comparison::NotEqual,
            2 => Comparison::Less,
            3 => Comparison::LessOrEqual,
            4 => Comparison::Greater,
            5 => Comparison::GreaterOrEqual,
            _ => return Err(Errno::ENOSYS),
        };
        // As Linux: a shift beyond the word's width uses the low five bits.
        let operand = if shift { 1 << (operand & 31) } else { operand as u32 };
        Ok(Self { operation, operand, comparison, compared })
    }

    /// The word's new value.
    pub const fn apply(&self, old: u32) -> u32 {
        match self.operation {
            Operation::Set => self.operand,
            Operation::Add => old.wrapping_add(self.operand),
            Operation::Or => old | self.operand,
            Operation::AndNot => old & !self.operand,
            Operation::Xor => old ^ self.operand,
        }
    }

    /// Whether the second queue is to be woken.
    pub const fn holds(&self, old: u32) -> bool {
        let old = old as i32;
        match self.comparison {
            Comparison::Equal => old == self.compared,
            Comparison::NotEqual => old != self.compared,
            Comparison::Less => old < self.compared,
            Comparison::LessOrEqual => old <= self.compared,
            Comparison::Greater => old > self.compared,
            Comparison::GreaterOrEqual => old >= self.compared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn encode(op: u32, oparg: u32, cmp: u32, cmparg: u32) -> u32 {
        op << 28 | cmp << 24 | (oparg & 0xfff) << 12 | cmparg & 0xfff
    }

    #[test]
    fn operands_have_a_sign_and_shifts_stay_in_the_word() {
        let minus_one = WakeOp::decode(encode(1, 0xfff, 2, 0xfff)).unwrap();
        assert_eq!(minus_one.apply(5), 4);
        assert!(minus_one.holds(-2_i32 as u32) && !minus_one.holds(0));
        let shifted = WakeOp::decode(encode(8, 35, 0, 0)).unwrap();
        assert_eq!(shifted.apply(0), 8);
    }

    #[test]
    fn unknown_operations_and_comparisons_are_refused() {
        assert_eq!(WakeOp::decode(encode(5, 0, 0, 0)), Err(Errno::ENOSYS));
        assert_eq!(WakeOp::decode(encode(0, 0, 6, 0)), Err(Errno::ENOSYS));
    }

    #[test]
    fn unlocking_a_condition_variables_mutex_works_as_glibc_uses_it() {
        // FUTEX_OP_CLEAR_WAKE_IF_GT_ONE: set to 0, wake if it was above 1.
        let clear = WakeOp::decode(4 << 24 | 1).unwrap();
        assert_eq!((clear.apply(2), clear.holds(2), clear.holds(1)), (0, true, false));
    }
}
