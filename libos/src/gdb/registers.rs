//! The registers as gdb's packets have them, and the description that tells gdb so.

use std::sync::LazyLock;

use gdbstub::arch::{Arch, Registers};

use crate::{
    process::trace::Parked,
    syscall::ptrace::registers::{UserRegs, set_fp, set_general, xstate},
};

/// x86-64 with what Linux adds: the call's number and the segments' bases.
#[derive(Debug)]
pub(super) enum Amd64 {}

impl Arch for Amd64 {
    type Usize = u64;
    type Registers = Amd64Registers;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(&DESCRIPTION)
    }
}

/// Bytes of the general registers, of the flags and the six selectors.
const GENERAL: usize = 17 * 8 + 7 * 4;
/// Bytes of the x87 registers and of the eight that control them.
const X87: usize = 8 * 10 + 8 * 4;
/// Bytes of the vector registers and of the one that controls them.
const VECTOR: usize = 16 * 16 + 4;
/// The call's number and the two bases.
const LINUX: usize = 3 * 8;
const ALL: usize = GENERAL + X87 + VECTOR + LINUX;

/// Adds a register to a description.
fn register(text: &mut String, name: &str, bits: usize, kind: &str) {
    text.push_str(&format!("<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"/>"));
}

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
         <architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>\
         <feature name=\"org.gnu.gdb.i386.core\">",
    );
    for name in ["rax", "rbx", "rcx", "rdx", "rsi", "rdi"] {
        register(&mut text, name, 64, "int64");
    }
    register(&mut text, "rbp", 64, "data_ptr");
    register(&mut text, "rsp", 64, "data_ptr");
    for number in 8..16 {
        register(&mut text, &format!("r{number}"), 64, "int64");
    }
    register(&mut text, "rip", 64, "code_ptr");
    for name in ["eflags", "cs", "ss", "ds", "es", "fs", "gs"] {
        register(&mut text, name, 32, "int32");
    }
    for number in 0..8 {
        register(&mut text, &format!("st{number}"), 80, "i387_ext");
    }
    for name in ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"] {
        register(&mut text, name, 32, "int32");
    }
    text.push_str("</feature><feature name=\"org.gnu.gdb.i386.sse\">");
    for (id, kind, count) in [
        ("v4f", "ieee_single", 4),
        ("v2d", "ieee_double", 2),
        ("v16i8", "int8", 16),
        ("v8i16", "int16", 8),
        ("v4i32", "int32", 4),
        ("v2i64", "int64", 2),
    ] {
        text.push_str(&format!("<vector id=\"{id}\" type=\"{kind}\" count=\"{count}\"/>"));
    }
    text.push_str("<union id=\"vec128\">");
    for (name, kind) in [
        ("v4_float", "v4f"),
        ("v2_double", "v2d"),
        ("v16_int8", "v16i8"),
        ("v8_int16", "v8i16"),
        ("v4_int32", "v4i32"),
        ("v2_int64", "v2i64"),
        ("uint128", "uint128"),
    ] {
        text.push_str(&format!("<field name=\"{name}\" type=\"{kind}\"/>"));
    }
    text.push_str("</union>");
    for number in 0..16 {
        register(&mut text, &format!("xmm{number}"), 128, "vec128");
    }
    register(&mut text, "mxcsr", 32, "int32");
    text.push_str(
        "</feature><feature name=\"org.gnu.gdb.i386.linux\">\
         <reg name=\"orig_rax\" bitsize=\"64\" type=\"int\" group=\"system\"/></feature>\
         <feature name=\"org.gnu.gdb.i386.segments\">\
         <reg name=\"fs_base\" bitsize=\"64\" type=\"int\"/>\
         <reg name=\"gs_base\" bitsize=\"64\" type=\"int\"/></feature></target>",
    );
    text
});

/// All registers, as one packet has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amd64Registers([u8; ALL]);

impl Default for Amd64Registers {
    fn default() -> Self {
        Self([0; ALL])
    }
}

impl Registers for Amd64Registers {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        word(&self.0, 16 * 8)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        for &byte in &self.0 {
            write_byte(Some(byte));
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let bytes = bytes.get(..ALL).ok_or(())?;
        self.0.copy_from_slice(bytes);
        Ok(())
    }
}

/// Where in a set of Linux's general registers gdb's first seventeen are, in words.
const ORDER: [usize; 17] = [10, 5, 11, 12, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16];
/// The flags and the selectors cs, ss, ds, es, fs and gs.
const HALVES: [usize; 7] = [18, 17, 20, 23, 24, 25, 26];
const ORIG_RAX: usize = 15;
const FS_BASE: usize = 21;
const GS_BASE: usize = 22;

/// Where the x87 registers, the vector registers and the control words are in a vector state.
const ST_AT: usize = 32;
const XMM_AT: usize = 160;
const MXCSR_AT: usize = 24;

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |half| u32::from_le_bytes(*half))
}

/// The x87 tag word in its full form, from that with a bit for each register: empty, or a number.
fn full_tags(short: u8) -> u32 {
    (0..8).map(|register| if short >> register & 1 == 1 { 0 } else { 3 << (2 * register) }).sum()
}

fn short_tags(full: u32) -> u8 {
    (0..8).filter(|register| full >> (2 * register) & 3 != 3).map(|register| 1 << register).sum()
}

impl Amd64Registers {
    /// Those of a stopped thread.
    pub(super) fn read(parked: &mut Parked) -> Self {
        let general = UserRegs::of(parked).bytes();
        let vectors = xstate(&mut parked.context);
        let mut out = Vec::with_capacity(ALL);
        for at in ORDER {
            out.extend_from_slice(&word(&general, 8 * at).to_le_bytes());
        }
        for at in HALVES {
            out.extend_from_slice(&(word(&general, 8 * at) as u32).to_le_bytes());
        }
        for register in 0..8 {
            let at = ST_AT + 16 * register;
            out.extend_from_slice(vectors.get(at..at + 10).unwrap_or(&[0; 10]));
        }
        let control = [
            half(&vectors, 0) & 0xffff,
            half(&vectors, 0) >> 16,
            full_tags(half(&vectors, 4) as u8),
            half(&vectors, 12) & 0xffff,
            half(&vectors, 8),
            half(&vectors, 20) & 0xffff,
            half(&vectors, 16),
            half(&vectors, 4) >> 16 & 0x7ff,
        ];
        for register in control {
            out.extend_from_slice(&register.to_le_bytes());
        }
        out.extend_from_slice(vectors.get(XMM_AT..XMM_AT + 256).unwrap_or(&[0; 256]));
        out.extend_from_slice(&half(&vectors, MXCSR_AT).to_le_bytes());
        for at in [ORIG_RAX, FS_BASE, GS_BASE] {
            out.extend_from_slice(&word(&general, 8 * at).to_le_bytes());
        }
        Self(out.try_into().unwrap_or([0; ALL]))
    }

    /// Makes them those of a stopped thread; fails for what no program may have.
    pub(super) fn write(&self, parked: &mut Parked) -> crate::errno::SysResult<()> {
        let bytes = &self.0;
        let mut general = UserRegs::of(parked).bytes();
        let mut put = |index: usize, value: u64| {
            if let Some(slot) = general.get_mut(8 * index..8 * index + 8) {
                slot.copy_from_slice(&value.to_le_bytes());
            }
        };
        for (position, index) in ORDER.into_iter().enumerate() {
            put(index, word(bytes, 8 * position));
        }
        for (position, index) in HALVES.into_iter().enumerate() {
            put(index, half(bytes, ORDER.len() * 8 + 4 * position).into());
        }
        let linux = GENERAL + X87 + VECTOR;
        for (position, index) in [ORIG_RAX, FS_BASE, GS_BASE].into_iter().enumerate() {
            put(index, word(bytes, linux + 8 * position));
        }
        set_general(parked, &general)?;
        let mut vectors = xstate(&mut parked.context);
        let mut put = |at: usize, part: &[u8]| {
            if let Some(slot) = vectors.get_mut(at..at + part.len()) {
                slot.copy_from_slice(part);
            }
        };
        for register in 0..8 {
            let from = GENERAL + 10 * register;
            put(ST_AT + 16 * register, bytes.get(from..from + 10).unwrap_or_default());
        }
        let control = |index: usize| half(bytes, GENERAL + 80 + 4 * index);
        put(0, &(control(0) as u16).to_le_bytes());
        put(2, &(control(1) as u16).to_le_bytes());
        put(4, &[short_tags(control(2))]);
        put(6, &(control(7) as u16).to_le_bytes());
        put(8, &control(4).to_le_bytes());
        put(16, &control(6).to_le_bytes());
        let xmm = GENERAL + X87;
        put(XMM_AT, bytes.get(xmm..xmm + 256).unwrap_or_default());
        put(MXCSR_AT, &half(bytes, xmm + 256).to_le_bytes());
        set_fp(&mut parked.context, &vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_both_ways() {
        for short in 0..=u8::MAX {
            assert_eq!(short_tags(full_tags(short)), short);
        }
        assert_eq!(full_tags(0), 0xffff);
    }

    #[test]
    fn the_description_is_as_long_as_the_packet() {
        let bits: usize = DESCRIPTION
            .split("bitsize=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(bits / 8, ALL);
    }
}
