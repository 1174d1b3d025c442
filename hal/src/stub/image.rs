//! The program that a zygote is: one page or two of [code](super::code) behind an ELF header, made here.

use super::{code, layout::CODE};

/// Bytes before the code: a page, so that file and memory agree.
const HEADER: u64 = 4096;

/// The ELF image.
pub(super) fn image() -> Vec<u8> {
    let code = code::bytes();
    let mut image = Vec::with_capacity(HEADER as usize + code.len());
    image.extend_from_slice(b"\x7fELF\x02\x01\x01");
    image.resize(16, 0);
    let half = |image: &mut Vec<u8>, value: u16| image.extend_from_slice(&value.to_le_bytes());
    let word = |image: &mut Vec<u8>, value: u32| image.extend_from_slice(&value.to_le_bytes());
    let long = |image: &mut Vec<u8>, value: u64| image.extend_from_slice(&value.to_le_bytes());
    half(&mut image, 2); // ET_EXEC
    half(&mut image, 62); // EM_X86_64
    word(&mut image, 1);
    long(&mut image, CODE + code::start());
    long(&mut image, 64); // program headers
    long(&mut image, 0);
    word(&mut image, 0);
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut image, value);
    }
    word(&mut image, 1); // PT_LOAD
    word(&mut image, 5); // read and execute
    long(&mut image, HEADER);
    long(&mut image, CODE);
    long(&mut image, CODE);
    long(&mut image, code.len() as u64);
    long(&mut image, code.len() as u64);
    long(&mut image, HEADER);
    image.resize(HEADER as usize, 0);
    image.extend_from_slice(code);
    image
}
