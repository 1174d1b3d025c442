//! What a sample is about: who, how large, how many at a time, on which CPUs.

use std::path::PathBuf;

use clap::Args;

/// The sizes of bodies, in bytes.
pub const SIZES: [usize; 12] = [
    4,
    64,
    512,
    1 << 10,
    4 << 10,
    16 << 10,
    32 << 10,
    64 << 10,
    256 << 10,
    512 << 10,
    1 << 20,
    4 << 20,
];

/// The CPU of the client, and that of the server when it has one to itself.
pub const CPUS: [usize; 2] = [0, 1];

/// One sample's parameters: the command line of its processes.
#[derive(Args, Clone, Debug)]
pub struct Setup {
    /// Bytes of a body.
    #[arg(long)]
    pub size: usize,
    /// Tasks at a time.
    #[arg(long)]
    pub concurrency: usize,
    /// The server shares the client's CPU.
    #[arg(long)]
    pub one_cpu: bool,
    /// A directory for the sample's sockets.
    #[arg(long)]
    pub folder: PathBuf,
}

impl Setup {
    /// The CPU that the client runs on.
    pub fn client_cpu(&self) -> usize {
        CPUS[0]
    }

    /// The CPU that the server runs on.
    pub fn server_cpu(&self) -> usize {
        if self.one_cpu { CPUS[0] } else { CPUS[1] }
    }

    /// The path of the sample's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The words of a command line that say the same.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--size={}", self.size),
            format!("--concurrency={}", self.concurrency),
            format!("--folder={}", self.folder.display()),
        ];
        if self.one_cpu {
            words.push("--one-cpu".into());
        }
        words
    }
}

/// A number of bytes as people write it.
pub fn human(size: usize) -> String {
    match size {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

/// Reads what [`human`] writes, and shorter forms: `64`, `4K`, `1M`.
///
/// # Errors
///
/// A message, if it is no size.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: usize = digits.parse().map_err(|_| format!("{text} is no size"))?;
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        other => return Err(format!("{other} is no unit")),
    };
    number.checked_mul(unit).filter(|size| *size > 0).ok_or_else(|| format!("{text} is no size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for size in SIZES {
            assert_eq!(parse_size(&human(size)), Ok(size));
        }
        assert_eq!(parse_size("4K"), Ok(4096));
        assert!(parse_size("K").is_err() && parse_size("0").is_err() && parse_size("3x").is_err());
    }
}
