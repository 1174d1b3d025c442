//! Random numbers: the hardware random number generator.
//!
//! They are the host's `getrandom(2)`, which is seeded by the time that a process can run; this is
//! the one place where randomness enters the kernel, and where a [seed](crate::seed) takes it over.

/// Fills `bytes` with random numbers fit for keys. Some 300 ns and 3 ns a byte.
///
/// # Panics
///
/// When the host refuses `getrandom`, which it does only under a filter that forbids it.
pub fn fill(mut bytes: &mut [u8]) {
    if crate::seed::fill(bytes) {
        return;
    }
    while !bytes.is_empty() {
        // SAFETY: pointer and length are those of one exclusively borrowed slice.
        let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => bytes = &mut bytes[n..],
            Err(_) => {
                let error = std::io::Error::last_os_error();
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "getrandom: {error}");
            }
        }
    }
}

/// Mixes `bytes` into the host's generator, which anybody may; they are not believed to be random.
///
/// # Errors
///
/// The host's, where there is no `/dev/urandom`.
pub fn add_entropy(bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new().write(true).open("/dev/urandom")?.write_all(bytes)
}

/// A random `u64`.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_large_buffer_is_filled() {
        let mut bytes = vec![0; 1 << 20];
        fill(&mut bytes);
        // A run of 32 zeroes has a chance of 2^-236 in a megabyte.
        assert!(bytes.windows(32).all(|window| window.iter().any(|&byte| byte != 0)));
        fill(&mut []);
    }

    #[test]
    fn anybody_may_add_entropy() {
        add_entropy(b"not very random").unwrap();
        add_entropy(&[]).unwrap();
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!(u64(), u64());
    }
}
