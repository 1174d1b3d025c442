//! The command line of `libos`: options into a [`Config`].
//!
//! The one idea: everything up to the program's name is ours and everything after it is the program's,
//! untouched, so that a command can be prefixed with `libos` and nothing else changes. A mistake ends with status 2
//! and one message, before anything has been started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Parser;
use hal::fault::Rules;

use crate::config::{Bind, Config, Isolation, Network, Publish, Segment, Strace};
use crate::control::is_name;

const EXAMPLES: &str = "\
Examples:
  libos /bin/ls -l /                     list the root directory as the guest sees it
  libos --strace -- python3 -c 'print(1)'  print every system call on standard error
  libos --strace=trace.txt ls            ... or into a file
  libos --trace out.json make -j2        a timeline of CPUs, threads and calls, for ui.perfetto.dev
  libos --memory 64M --cpus 1 sort big   with little memory and one virtual CPU
  libos --bind $PWD:$PWD make            let writes below this directory reach the host
  libos -p 8080:80 nginx                 the host's port 8080 leads to port 80 inside
  libos --ethernet lab python3 -m http.server  a machine on a wire: it is 10.77.0.1 for the next one,
  libos --ethernet lab curl http://10.77.0.1:8000/  ... which is 10.77.0.2
  libos --virtual-time sh -c 'sleep 3600; date'  an hour later, at once
  libos --seed 7 ./racy                  the same order of its threads each time; another seed, another order
  libos --bind $PWD:/d --fault write:short=0.5 cp a /d/b  with a host that often writes less than it was told
  libos --gdb 1234 ./prog                debug it: gdb -ex 'target remote :1234'
  libos --init --name web sh start.sh    services; libos ps shows them, libos exec --name web sh is a shell there
  libos --root /srv/alpine /bin/sh       another tree as the root directory

`exec` and `ps` as the first word are commands: libos exec --help, libos ps --help. A program of such
a name is run by its path, or as in: libos -- ps.

The guest sees the host's files; what it writes stays in memory and is gone with it, except below --bind.
The exit status is the program's, 128+N if signal N killed it; 2 for a bad option, 126 when the
program cannot be run and 127 when there is none of that name.";

const FAULTS: &str = "\
Have the host's calls fail now and then; may be repeated. RULES are separated by commas:

  OP:FAULT=CHANCE[@WHERE]  a rule, such as read:short=0.1
  seed=N                   the same faults again [default: that of --seed, or a random one]
  limit=N                  not more than N faults in all

OP is read, write, sync, create (files, directories and names), connect, alloc (memory for guests),
or any for all but alloc. FAULT is short (less than wanted), eintr, eagain, eio, enospc, edquot,
enomem, emfile, econnrefused, etimedout, reset (of a connection), or delay with a time before the
chance: delay=5ms*0.1. WHERE is a path of the host, for what is there and below; stdio, for the
descriptors that libos inherits; net, for the host's sockets (--net host); without it a rule is for
what guests may write below --bind, and for the host's sockets. How many came is said at the end.";

/// Run an unmodified x86-64 Linux program inside a kernel that is an ordinary process.
#[derive(Debug, Parser)]
#[command(name = "libos", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Print each system call with its arguments and result, on standard error or into FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    strace: Option<PathBuf>,

    /// Write a trace of CPUs, threads and system calls into FILE, for Perfetto (ui.perfetto.dev) or chrome://tracing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Hold the program before its first instruction for a gdb that says `target remote :PORT`
    #[arg(long, value_name = "PORT")]
    gdb: Option<u16>,

    /// Be init: reap orphans, pass signals on, and go on after the program's end as long as anything else runs
    #[arg(long, conflicts_with = "zircon")]
    init: bool,

    /// What `libos exec` and `libos ps` call the kernel [default with --init: its process number]
    #[arg(long, value_parser = parse_name, conflicts_with = "zircon")]
    name: Option<String>,

    /// Number of virtual CPUs [default: the host's]
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    cpus: Option<usize>,

    /// Limit of the guests' memory, files in memory included, such as 64M or 1G [default: none]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,

    /// Where guests run: in the kernel's process or isolated from it, each in a host process of its own
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    isolation: Isolation,

    /// The network that guests are in: one of their own, or none
    #[arg(long, value_name = "NET", value_enum, default_value_t)]
    net: Network,

    /// Let a port of the host, at 127.0.0.1 unless ADDR says another ([ADDR] for IPv6), lead to a port inside; may be repeated
    #[arg(short, long, value_name = "[ADDR:]HOST:GUEST[/udp]")]
    publish: Vec<Publish>,

    /// Share a wire, eth0, with other kernels of yours that name the same segment [default ADDR: the lowest free of 10.77.0.0/24]
    #[arg(long, value_name = "SEGMENT[=ADDR[/PREFIX]]", conflicts_with = "zircon")]
    ethernet: Option<Segment>,

    /// Microseconds for which the kernel and an isolated guest may spin before they sleep; 0 is never [default: what pays]
    #[arg(long, value_name = "US", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    spin: Option<u32>,

    /// Skip the time in which all guests wait: `sleep 3600` returns at once, and all clocks show that an hour has passed
    #[arg(long)]
    virtual_time: bool,

    /// Repeat a run: the order of threads, random numbers and the clocks follow from N; with one virtual CPU, in virtual time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Have the host's calls fail now and then, for example read:short=0.1,write:enospc=0.01@/srv/data,sync:delay=5ms*0.5,seed=7; may be repeated
    #[arg(long, value_name = "RULES", long_help = FAULTS)]
    fault: Vec<Rules>,

    /// Set an environment variable of the program; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_env)]
    env: Vec<OsString>,

    /// Start with an empty environment instead of the host's
    #[arg(long)]
    clear_env: bool,

    /// Working directory of the program, in the guest [default: the host's]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Host directory to use as the root directory [default: /]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Show a host file or directory in the guest and let writes through; may be repeated
    #[arg(long, value_name = "HOST:GUEST[:ro]")]
    bind: Vec<Bind>,

    /// Run a Zircon program, linked against what --zircon-sdk writes
    #[arg(long)]
    zircon: bool,

    /// Write headers, library and startup code for Zircon programs into a directory, and run nothing
    #[arg(long, value_name = "DIR")]
    zircon_sdk: Option<PathBuf>,

    /// Kernel messages to print: off, error, warn, info, debug, trace, or a filter as in RUST_LOG
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,

    /// The program and its arguments
    #[arg(
        value_name = "PROGRAM",
        required_unless_present = "zircon_sdk",
        num_args = 1..,
        trailing_var_arg = true
    )]
    command: Vec<OsString>,
}

impl Cli {
    /// The filter for kernel messages, if `--log` gave one.
    pub fn log_filter(&self) -> Option<&str> {
        self.log.as_deref()
    }

    /// Whether the program is one of Zircon's.
    pub fn is_zircon(&self) -> bool {
        self.zircon
    }

    /// Where `--zircon-sdk` writes to, if it was given.
    pub fn zircon_sdk(&self) -> Option<&Path> {
        self.zircon_sdk.as_deref()
    }

    /// The configuration that these options ask for; `inherited` is the host's environment.
    pub fn into_config(self, inherited: impl IntoIterator<Item = (OsString, OsString)>) -> Config {
        let mut env: Vec<Vec<u8>> = Vec::new();
        if !self.clear_env {
            env.extend(inherited.into_iter().map(|(name, value)| {
                let mut string = name.into_vec();
                string.push(b'=');
                string.extend_from_slice(value.as_bytes());
                string
            }));
        }
        for setting in self.env {
            set_env(&mut env, setting.into_vec());
        }
        let args: Vec<Vec<u8>> = self.command.into_iter().map(OsString::into_vec).collect();
        Config {
            program: args.first().cloned().unwrap_or_default(),
            args,
            env,
            cwd: self.cwd.map(|dir| dir.into_os_string().into_vec()),
            root: self.root,
            binds: self.bind,
            cpus: self.cpus,
            memory: self.memory,
            isolation: self.isolation,
            network: self.net,
            ethernet: self.ethernet,
            publish: self.publish,
            spin: self.spin,
            init: self.init,
            name: self.name,
            virtual_time: self.virtual_time,
            seed: self.seed,
            faults: self.fault,
            gdb: self.gdb,
            trace: self.trace,
            strace: self.strace.map(|file| match file.as_os_str().as_bytes() {
                b"-" => Strace::Stderr,
                _ => Strace::File(file),
            }),
        }
    }
}

/// Puts `setting` in the place of an earlier one of the same name, or at the end.
pub(crate) fn set_env(env: &mut Vec<Vec<u8>>, setting: Vec<u8>) {
    let name_end = setting.iter().position(|&byte| byte == b'=').map_or(setting.len(), |at| at + 1);
    let name = setting.get(..name_end).unwrap_or(&setting);
    match env.iter_mut().find(|earlier| earlier.starts_with(name)) {
        Some(earlier) => *earlier = setting,
        None => env.push(setting),
    }
}

pub(crate) fn parse_env(setting: &str) -> Result<OsString, String> {
    match setting.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(setting.into()),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn parse_name(name: &str) -> Result<String, String> {
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err("expected at most 64 letters, digits and _.-".to_owned()),
    }
}

fn parse_cpus(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

/// A number of bytes with an optional unit K, M, G or T (powers of 1024; `MiB` and `MB` mean the same).
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err("expected a size such as 64M or 1G".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a size such as 64M or 1G".to_owned())?;
    match number.checked_mul(1 << shift) {
        None => Err("too large".to_owned()),
        Some(bytes) if bytes < MIN_MEMORY => Err("at least 1M is needed".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

/// Below this no program's stack and image fit.
const MIN_MEMORY: u64 = 1 << 20;

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:GUEST or HOST:GUEST:ro".to_owned();
        let (paths, read_only) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (host, guest) = paths.split_once(':').ok_or_else(expected)?;
        if host.is_empty() || guest.contains(':') {
            return Err(expected());
        }
        if !Path::new(OsStr::new(guest)).is_absolute() {
            return Err("the path in the guest must begin with a slash".to_owned());
        }
        Ok(Self { host: host.into(), guest: guest.into(), read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<Config, clap::Error> {
        let inherited = [("HOME", "/root"), ("LANG", "C")];
        let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
        Cli::try_parse_from([&["libos"], args].concat()).map(|cli| cli.into_config(inherited))
    }

    #[test]
    fn everything_after_the_program_is_the_programs() {
        let config = config(&["--cpus", "2", "ls", "-l", "--strace", "--help", "--", "/"]).unwrap();
        assert_eq!(config.program, b"ls");
        assert_eq!(config.args, ["ls", "-l", "--strace", "--help", "--", "/"].map(Vec::from));
        assert_eq!((config.cpus, config.strace), (Some(2), None));
        let config = self::config(&["--", "-odd-name", "x"]).unwrap();
        assert_eq!(config.program, b"-odd-name");
    }

    #[test]
    fn strace_takes_a_file_only_after_an_equals_sign() {
        assert_eq!(config(&["--strace", "ls"]).unwrap().strace, Some(Strace::Stderr));
        let traced = config(&["--strace=out", "ls"]).unwrap();
        assert_eq!(traced.strace, Some(Strace::File("out".into())));
        assert_eq!(traced.program, b"ls");
    }

    #[test]
    fn the_environment_is_inherited_and_can_be_changed() {
        let env = config(&["--env", "LANG=de", "--env", "X=1=2", "ls"]).unwrap().env;
        assert_eq!(env, ["HOME=/root", "LANG=de", "X=1=2"].map(Vec::from));
        let env = config(&["--clear-env", "--env", "A=", "ls"]).unwrap().env;
        assert_eq!(env, [b"A=".to_vec()]);
    }

    #[test]
    fn sizes_and_binds_are_understood() {
        assert_eq!(config(&["--memory", "64M", "x"]).unwrap().memory, Some(64 << 20));
        assert_eq!(config(&["--memory", "1gib", "x"]).unwrap().memory, Some(1 << 30));
        let binds = config(&["--bind", "a:/b:ro", "--bind", "/c:/d", "x"]).unwrap().binds;
        assert_eq!(
            binds,
            [
                Bind { host: "a".into(), guest: "/b".into(), read_only: true },
                Bind { host: "/c".into(), guest: "/d".into(), read_only: false },
            ]
        );
    }

    #[test]
    fn mistakes_are_refused_with_status_two() {
        for args in [
            &["--nonsense", "ls"] as &[&str],
            &[],
            &["--cpus", "0", "ls"],
            &["--cpus", "many", "ls"],
            &["--memory", "12Q", "ls"],
            &["--memory", "0", "ls"],
            &["--memory", "99999999999T", "ls"],
            &["--env", "novalue", "ls"],
            &["--env", "=x", "ls"],
            &["--bind", "nocolon", "ls"],
            &["--bind", "a:relative", "ls"],
            &["--isolation", "sometimes", "ls"],
            &["--net", "moon", "ls"],
            &["-p", "80", "ls"],
            &["--name", "a/b", "ls"],
            &["--ethernet", "a/b", "ls"],
            &["--ethernet", "lab=10.0.0.0", "ls"],
            &["--ethernet", "lab", "--ethernet", "lab", "ls"],
            &["--spin", "long", "ls"],
            &["--gdb", "70000", "ls"],
            &["--fault", "read:sideways=0.1", "ls"],
            &["--seed", "many", "ls"],
        ] {
            let error = config(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
        assert_eq!(config(&["--help"]).unwrap_err().exit_code(), 0);
    }
}
