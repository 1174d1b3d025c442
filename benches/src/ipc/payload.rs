//! What is sent: a header of 4 bytes and a body, written and checked in full by whoever sends and receives it.
//!
//! The one idea: a body is made of windows into one small random table, and the header says which. So a
//! body differs from the one before it in the same buffer, is written at the speed of a copy from the
//! first-level cache and checked at that of a comparison with it: what is left to measure is the transport.

use std::array;

/// What a request's header begins with, and what a response's does.
const REQUEST: u32 = 0x5 << 28;
const RESPONSE: u32 = 0xa << 28;
const KIND: u32 = 0xf << 28;

/// Bytes of a body that come from one window.
pub const CHUNK: usize = 4096;

/// Where windows may begin: any multiple of this.
const STEP: usize = 8;

static TABLE: [u8; 2 * CHUNK] = table();

/// Bytes of a xorshift generator.
const fn table() -> [u8; 2 * CHUNK] {
    let mut bytes = [0; 2 * CHUNK];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut index = 0;
    while index < bytes.len() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[index] = (state >> 32) as u8;
        index += 1;
    }
    bytes
}

/// The header of the `n`th request.
pub fn request(n: u32) -> u32 {
    REQUEST | n & !KIND
}

/// Whether `header` is one of a request.
pub fn is_request(header: u32) -> bool {
    header & KIND == REQUEST
}

/// The header of the response to the request with header `request`.
pub fn response(request: u32) -> u32 {
    RESPONSE | request & !KIND
}

/// The window of a body's chunk `index`.
pub fn window(header: u32, index: usize) -> &'static [u8; CHUNK] {
    let mixed = header.wrapping_add(index as u32).wrapping_mul(0x9e37_79b9) ^ header >> 28;
    let start = mixed as usize % (CHUNK / STEP) * STEP;
    TABLE[start..].first_chunk().expect("the table is two windows long")
}

/// The body of `size` bytes that belongs to `header`, in parts of [`CHUNK`] bytes and a rest.
pub fn chunks(header: u32, size: usize) -> impl Iterator<Item = &'static [u8]> {
    (0..size.div_ceil(CHUNK))
        .map(move |index| &window(header, index)[..CHUNK.min(size - index * CHUNK)])
}

/// How many bytes [`words`] are.
pub const SHORT: usize = 16;

/// The body of `size` bytes that belongs to `header`, [`SHORT`] at most, as it lies in two words; zeros behind it.
#[inline]
pub fn words(header: u32, size: usize) -> [u64; SHORT / 8] {
    let window = window(header, 0).as_chunks::<8>().0;
    array::from_fn(|index| {
        let bytes = size.saturating_sub(8 * index).min(8);
        let mask = if bytes == 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
        (u64::from_le_bytes(window[index]) & mask).to_le()
    })
}

/// The first word of a window, for bodies that are no longer.
fn word(header: u32) -> [u8; 4] {
    *window(header, 0).first_chunk().expect("a window is longer")
}

/// Writes the body that belongs to `header`. One of a word is written as a word.
#[inline]
pub fn write(header: u32, body: &mut [u8]) {
    if let Ok(body) = <&mut [u8; 4]>::try_from(&mut *body) {
        *body = word(header);
        return;
    }
    for (index, chunk) in body.chunks_mut(CHUNK).enumerate() {
        chunk.copy_from_slice(&window(header, index)[..chunk.len()]);
    }
}

/// Whether `body` is the one that belongs to `header`. Every byte is looked at; those of a word at once.
#[inline]
#[must_use]
pub fn check(header: u32, body: &[u8]) -> bool {
    if let Ok(body) = <&[u8; 4]>::try_from(body) {
        return *body == word(header);
    }
    body.chunks(CHUNK)
        .enumerate()
        .all(|(index, chunk)| *chunk == window(header, index)[..chunk.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_what_is_checked() {
        for size in [4, 64, CHUNK - 1, CHUNK, CHUNK + 1, 100_000] {
            let mut body = vec![0; size];
            write(request(7), &mut body);
            assert!(check(request(7), &body));
            assert_eq!(chunks(request(7), size).collect::<Vec<_>>().concat(), body);
        }
    }

    #[test]
    fn short_bodies_are_the_same_in_words() {
        for size in 0..=SHORT {
            let mut body = [0; SHORT];
            write(request(7), &mut body[..size]);
            assert_eq!(words(request(7), size).map(u64::to_ne_bytes).concat(), body);
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_found() {
        for size in [4, 3 * CHUNK + 5] {
            let mut body = vec![0; size];
            write(request(7), &mut body);
            for index in [0, 1, 3, CHUNK, size - 1].into_iter().filter(|index| *index < size) {
                body[index] ^= 1;
                assert!(!check(request(7), &body));
                body[index] ^= 1;
            }
        }
    }

    #[test]
    fn the_next_body_and_the_response_are_others() {
        let mut body = vec![0; 64];
        write(request(7), &mut body);
        assert!(!check(request(8), &body));
        assert!(!check(response(request(7)), &body));
        assert!(is_request(request(u32::MAX)) && !is_request(response(request(7))));
    }
}
