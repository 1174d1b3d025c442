//! What a kernel is started with: the command line's wishes, as values.
//!
//! The one idea: everything that decides how a kernel runs is in this one struct, so that a test can start one
//! without a command line, and nothing below reads the host's environment by itself.

use std::path::PathBuf;

pub use crate::net::{ethernet::plan::Segment, publish::Publish};

/// Everything that [`crate::cli`] can choose about a kernel and its first program.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The program's name; without a slash it is looked up in the guest's `PATH`.
    pub program: Vec<u8>,
    /// All arguments, `argv[0]` included.
    pub args: Vec<Vec<u8>>,
    /// Environment strings, `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// The guest's working directory, a path in the guest; none means the host's own if the guest has it, else `/`.
    pub cwd: Option<Vec<u8>>,
    /// The host directory that is the guest's root; none means `/`. Writes go to memory.
    pub root: Option<PathBuf>,
    /// Host directories and files to let through, in order.
    pub binds: Vec<Bind>,
    /// Virtual CPUs; none means as many as the host lets us use.
    pub cpus: Option<usize>,
    /// Bytes of memory that guests may have in use together; none means no limit of ours.
    pub memory: Option<u64>,
    /// Where guests run.
    pub isolation: Isolation,
    /// Which network the guests are in.
    pub network: Network,
    /// The wire to other kernels.
    pub ethernet: Option<Segment>,
    /// Ports of the host that lead to ports of the guests' own network.
    pub publish: Vec<Publish>,
    /// For how many microseconds at most the kernel and an isolated guest look for each other's word before they sleep; none means
    /// what pays on this machine.
    pub spin: Option<u32>,
    /// Process 1 is the kernel's own init, and the program its child.
    pub init: bool,
    /// What `libos exec` and `libos ps` call the kernel.
    pub name: Option<String>,
    /// Whether time that nobody works through is skipped. It is the whole process's time, for good.
    pub virtual_time: bool,
    /// The seed by which the run repeats. Virtual time and one virtual CPU come with it, so kernels with seeds are for a process of their own, one
    /// after the other.
    pub seed: Option<u64>,
    /// Faults that are injected at the edge to the host; the whole process's.
    pub faults: Vec<hal::fault::Rules>,
    /// The port of the host's at which the first program waits for a debugger.
    pub gdb: Option<u16>,
    /// Where system calls are printed, if anywhere.
    pub strace: Option<Strace>,
    /// The host file that a trace for viewers is written into, made anew.
    pub trace: Option<PathBuf>,
}

/// Where the code of guests runs: in the kernel's own host process, which is fastest, or isolated, each process in a host process of
/// its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    /// In the kernel's process, as long as its addresses are free there: not a fork's child, before it executes a program.
    #[default]
    Auto,
    /// Isolated, all of them.
    Always,
    /// In the kernel's process only: there is no fork.
    Never,
}

/// Which network the guests are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// One of their own: they reach each other, at 127.0.0.1 and ::1, and by `--ethernet` those of other kernels.
    #[default]
    Loopback,
    /// The host's: guests use its addresses, its ports and its neighbours.
    Host,
    /// None: there are no Internet sockets.
    None,
}

/// Where `--strace` output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strace {
    /// To standard error.
    Stderr,
    /// To this host file, made anew.
    File(PathBuf),
}

/// `--bind HOST:GUEST[:ro]`: a host directory or file that appears in the guest, writes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The path on the host.
    pub host: PathBuf,
    /// The absolute path in the guest.
    pub guest: PathBuf,
    /// Writes are refused with `EROFS`.
    pub read_only: bool,
}
