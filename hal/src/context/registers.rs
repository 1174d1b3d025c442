//! The vector state by registers, for debuggers. The idea: all of it is in the frame that
//! [`UserContext::save_xstate`] writes, at places that the CPU says; what is read and changed here are that frame's bytes.

use super::{
    UserContext,
    xstate::{AVX, BadXstate, HI16_ZMM, LEGACY, MXCSR_AT, OPMASK, XMM_AT, ZMM_HI256, layout},
};

/// Where the x87 registers are in a frame.
const ST_AT: usize = 32;

/// The x87 registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FpRegs {
    /// Control word.
    pub fcw: u16,
    /// Status word.
    pub fsw: u16,
    /// Tag word, one bit a register: whether it holds something.
    pub ftw: u8,
    /// Opcode of the last instruction.
    pub fop: u16,
    /// Address of the last instruction.
    pub fip: u64,
    /// Address of its operand.
    pub fdp: u64,
    /// The registers, from the top of the stack on, 80 bits each.
    pub st: [u128; 8],
}

/// The vector registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorRegs {
    /// `zmm0` to `zmm31`; what the CPU does not have of them is 0.
    pub zmm: [[u64; 8]; 32],
    /// `k0` to `k7`; 0 if the CPU does not have them.
    pub opmask: [u64; 8],
    /// Control and status of vector arithmetic.
    pub mxcsr: u32,
}

impl Default for VectorRegs {
    /// All registers zero, as in a new process.
    fn default() -> Self {
        Self { zmm: [[0; 8]; 32], opmask: [0; 8], mxcsr: super::entry::KERNEL_MXCSR }
    }
}

/// A frame of the vector state, read and written in words.
struct Frame(Vec<u8>);

impl Frame {
    fn of(context: &mut UserContext) -> Self {
        let mut bytes = Vec::with_capacity(UserContext::xsave_size());
        context.save_xstate(&mut bytes);
        Self(bytes)
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().unwrap_or([0; N])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(slot) = self.0.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.get(at))
    }

    /// The `words` words of register `index` in the array of a component at `at`; zero without one.
    fn words<const N: usize>(&self, at: Option<usize>, index: usize) -> [u64; N] {
        at.map_or([0; N], |at| std::array::from_fn(|word| self.word(at + (index * N + word) * 8)))
    }

    /// The reverse. Refuses what there is no place for.
    fn put_words(
        &mut self,
        at: Option<usize>,
        index: usize,
        words: &[u64],
    ) -> Result<(), BadXstate> {
        match at {
            Some(at) => {
                for (word, value) in words.iter().enumerate() {
                    let at = at + (index * words.len() + word) * 8;
                    self.put(at, &value.to_le_bytes());
                }
                Ok(())
            }
            None if words.iter().all(|&word| word == 0) => Ok(()),
            None => Err(BadXstate),
        }
    }

    fn restore(self, context: &mut UserContext) -> Result<(), BadXstate> {
        context.restore_xstate(&self.0)
    }
}

impl UserContext {
    /// The x87 registers.
    pub fn fp_regs(&mut self) -> FpRegs {
        let frame = Frame::of(self);
        FpRegs {
            fcw: u16::from_le_bytes(frame.get(0)),
            fsw: u16::from_le_bytes(frame.get(2)),
            ftw: u8::from_le_bytes(frame.get(4)),
            fop: u16::from_le_bytes(frame.get(6)),
            fip: frame.word(8),
            fdp: frame.word(16),
            st: std::array::from_fn(|i| u128::from_le_bytes(frame.get(ST_AT + i * 16))),
        }
    }

    /// Sets the x87 registers.
    ///
    /// # Errors
    ///
    /// As [`restore_xstate`](Self::restore_xstate).
    pub fn set_fp_regs(&mut self, regs: &FpRegs) -> Result<(), BadXstate> {
        let mut frame = Frame::of(self);
        frame.put(0, &regs.fcw.to_le_bytes());
        frame.put(2, &regs.fsw.to_le_bytes());
        frame.put(4, &regs.ftw.to_le_bytes());
        frame.put(6, &regs.fop.to_le_bytes());
        frame.put(8, &regs.fip.to_le_bytes());
        frame.put(16, &regs.fdp.to_le_bytes());
        for (i, st) in regs.st.iter().enumerate() {
            frame.put(ST_AT + i * 16, &st.to_le_bytes());
        }
        frame.restore(self)
    }

    /// The vector registers.
    pub fn vector_regs(&mut self) -> VectorRegs {
        let frame = Frame::of(self);
        let layout = layout();
        let mut regs = VectorRegs {
            zmm: [[0; 8]; 32],
            opmask: frame.words(layout.place(OPMASK), 0),
            mxcsr: u32::from_le_bytes(frame.get(MXCSR_AT)),
        };
        let (low, high) = regs.zmm.split_at_mut(16);
        for (i, zmm) in low.iter_mut().enumerate() {
            let [a, b] = frame.words(Some(XMM_AT), i);
            let [c, d] = frame.words(layout.place(AVX), i);
            let [e, f, g, h] = frame.words(layout.place(ZMM_HI256), i);
            *zmm = [a, b, c, d, e, f, g, h];
        }
        for (i, zmm) in high.iter_mut().enumerate() {
            *zmm = frame.words(layout.place(HI16_ZMM), i);
        }
        regs
    }

    /// Sets the vector registers.
    ///
    /// # Errors
    ///
    /// As [`restore_xstate`](Self::restore_xstate), and if something that the CPU does not have is not 0.
    pub fn set_vector_regs(&mut self, regs: &VectorRegs) -> Result<(), BadXstate> {
        let mut frame = Frame::of(self);
        let layout = layout();
        frame.put(MXCSR_AT, &regs.mxcsr.to_le_bytes());
        let (low, high) = regs.zmm.split_at(16);
        for (i, zmm) in low.iter().enumerate() {
            frame.put_words(Some(XMM_AT), i, &zmm[..2])?;
            frame.put_words(layout.place(AVX), i, &zmm[2..4])?;
            frame.put_words(layout.place(ZMM_HI256), i, &zmm[4..])?;
        }
        for (i, zmm) in high.iter().enumerate() {
            frame.put_words(layout.place(HI16_ZMM), i, zmm)?;
        }
        frame.put_words(layout.place(OPMASK), 0, &regs.opmask)?;
        // All parts that there are have just been written.
        let parts = AVX | OPMASK | ZMM_HI256 | HI16_ZMM;
        let present = frame.word(LEGACY) | layout.components() & parts;
        frame.put(LEGACY, &present.to_le_bytes());
        frame.restore(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x87_registers_are_kept_apart_from_the_others() {
        let mut context = UserContext::new();
        let new = context.fp_regs();
        assert_eq!(new, FpRegs { fcw: 0x37f, ..FpRegs::default() });
        let regs = FpRegs {
            fcw: 0x27f,
            fsw: 0x3800,
            ftw: 0x80,
            fop: 0x123,
            fip: 0x4000,
            fdp: 0x5000,
            st: std::array::from_fn(|i| (i as u128 + 1) << 64 | 7),
        };
        let vectors = context.vector_regs();
        assert_eq!(context.set_fp_regs(&regs), Ok(()));
        assert_eq!(context.fp_regs(), regs);
        assert_eq!(context.vector_regs(), vectors);
        context.reset_xstate();
        assert_eq!(context.fp_regs(), new);
    }

    #[test]
    fn vector_registers_are_what_they_were_set_to_as_far_as_the_cpu_has_them() {
        let mut context = UserContext::new();
        assert_eq!(context.vector_regs(), VectorRegs::default());
        let has = |component| layout().place(component).is_some();
        let mut regs = VectorRegs { mxcsr: 0x1f90, ..VectorRegs::default() };
        for (i, zmm) in regs.zmm.iter_mut().enumerate() {
            for (word, value) in zmm.iter_mut().enumerate() {
                let there = match (i, word) {
                    (16.., _) => has(HI16_ZMM),
                    (_, 4..) => has(ZMM_HI256),
                    (_, 2..) => has(AVX),
                    _ => true,
                };
                *value = if there { (i * 8 + word + 1) as u64 } else { 0 };
            }
        }
        if has(OPMASK) {
            regs.opmask = [1, 2, 3, 4, 5, 6, 7, 8];
        }
        let fp = context.fp_regs();
        assert_eq!(context.set_vector_regs(&regs), Ok(()));
        assert_eq!(context.vector_regs(), regs);
        assert_eq!(context.fp_regs(), fp);
        assert_eq!(context.set_vector_regs(&VectorRegs::default()), Ok(()));
        assert_eq!(context.vector_regs(), VectorRegs::default());
    }

    #[test]
    fn a_control_word_that_the_cpu_would_refuse_is_refused() {
        let mut context = UserContext::new();
        let regs = VectorRegs { mxcsr: !0, ..VectorRegs::default() };
        assert_eq!(context.set_vector_regs(&regs), Err(BadXstate));
        assert_eq!(context.vector_regs(), VectorRegs::default());
    }

    #[test]
    fn what_there_is_no_place_for_must_be_zero() {
        let mut frame = Frame::of(&mut UserContext::new());
        assert_eq!(frame.put_words(None, 3, &[0, 0]), Ok(()));
        assert_eq!(frame.put_words(None, 3, &[0, 1]), Err(BadXstate));
    }
}
