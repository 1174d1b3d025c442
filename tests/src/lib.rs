//! The harness: every test is an ordinary Linux program that runs twice, once on the host and once inside the kernel.
//!
//! The one idea: **the host is the oracle.** A test has no expectations of its own; what the host's Linux prints and
//! returns is what the kernel must print and return. So a test is a command line and the differences that are allowed.
//!
//! Each run starts in its own copy of the same directory at the same path (see [`mod@scratch`]), with the same environment
//! and the same standard input. The kernel is a black box: the `libos` binary, built once per test process ([`kernel`]).
//! Nothing is ever skipped: a program that is not installed is a failure that names the Debian package.

pub mod background;
pub mod calls;
pub mod compare;
pub mod guests;
pub mod host;
pub mod kernel;
pub mod paths;
pub mod run;
pub mod scratch;
pub mod seeds;
pub mod tables;
pub mod trials;
pub mod usage;
pub mod words;
pub mod zircon;

/// The part of the project that the kernel has reached. A table row or a guest program that is marked for a later part
/// makes no test yet; `tests/README.md` says which those are.
pub const CURRENT_PART: u32 = 6;

/// What goes wrong in the harness, as one readable text.
pub type Result<T, E = String> = std::result::Result<T, E>;
