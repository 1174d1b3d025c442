//! Who runs a command: the host, the kernel, and others that run Linux programs for a user, where they are installed.
//!
//! The one idea: a command is the same words for everybody, in the same folder and with the same small environment, so that what differs
//! between two figures is who ran it.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ::tests::{
    host, kernel,
    run::{Outcome, collect},
};

/// Who runs a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host itself.
    Native,
    /// The kernel.
    Inside,
    /// Somebody else.
    Peer(Peer),
}

/// Others that run Linux programs for a user. All three are Debian packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// PRoot, by ptrace.
    Proot,
    /// gVisor's `runsc do`, by ptrace.
    Gvisor,
    /// User-Mode Linux, a machine of its own for each command.
    UserModeLinux,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Proot, Self::Gvisor, Self::UserModeLinux];

    /// Those that are installed.
    pub fn installed() -> Vec<Self> {
        Self::ALL.into_iter().filter(|peer| peer.program().is_some()).collect()
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proot => "proot",
            Self::Gvisor => "gVisor",
            Self::UserModeLinux => "User-Mode Linux",
        }
    }

    fn program(self) -> Option<PathBuf> {
        let (program, package) = match self {
            Self::Proot => ("proot", "proot"),
            Self::Gvisor => ("runsc", "runsc"),
            Self::UserModeLinux => ("linux.uml", "user-mode-linux"),
        };
        host::locate(program, package).ok()
    }
}

/// Has `side` run `words` in `folder`, `options` being the kernel's; what it said, and how long it took, ns.
///
/// # Errors
///
/// That `side` is not installed, and those of starting it.
pub fn run(
    side: Side,
    options: &[&str],
    words: &[String],
    folder: &Path,
    limit: Duration,
) -> Result<(Outcome, f64), Box<dyn Error>> {
    let (program, arguments) = words.split_first().ok_or("an empty command")?;
    let mut command = match side {
        Side::Native => Command::new(program),
        Side::Inside => {
            let mut command = Command::new(kernel::binary()?);
            command.args(options).arg(program);
            command
        }
        Side::Peer(Peer::UserModeLinux) => return run_in_uml(words, folder, limit),
        Side::Peer(peer) => {
            let mut command = Command::new(peer.program().ok_or("not installed")?);
            if peer == Peer::Gvisor {
                command.args(["--rootless", "--network=none", "--platform=ptrace", "do"]);
            }
            command.arg(program);
            command
        }
    };
    command.args(arguments);
    in_small_environment(&mut command).current_dir(folder);
    let start = Instant::now();
    let outcome = collect(command, None, limit)?;
    Ok((outcome, start.elapsed().as_nanos() as f64))
}

/// With the environment that everybody gets.
pub fn in_small_environment(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", host::PATH).env("LC_ALL", "C").env("HOME", "/root")
}

/// A machine of its own each time, of which only the command is timed, by itself.
fn run_in_uml(
    words: &[String],
    folder: &Path,
    limit: Duration,
) -> Result<(Outcome, f64), Box<dyn Error>> {
    let init = folder.join("init");
    // What an earlier command has left must not be taken for this one's.
    let _ = fs::remove_file(folder.join("took"));
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let script = format!(
        "#!/bin/sh\nmount -t proc proc /proc\nmount -t tmpfs tmpfs /tmp 2>/dev/null\ncd {folder}\n\
         export PATH={path} LC_ALL=C HOME=/root\nbusybox ip link set lo up\n\
         read start rest </proc/uptime\n{command} >{folder}/said 2>&1\nread end rest </proc/uptime\n\
         echo $start $end >{folder}/took\nsync\n/sbin/halt -f 2>/dev/null || echo o >/proc/sysrq-trigger\n",
        folder = folder.display(),
        path = host::PATH,
        command = words.join(" "),
    );
    fs::write(&init, script)?;
    run_to_end(Command::new("/bin/chmod").arg("755").arg(&init))?;
    let mut command = Command::new(Peer::UserModeLinux.program().ok_or("not installed")?);
    command
        .args(["mem=1G", "rootfstype=hostfs", "rootflags=/", "rw", "con=null", "con0=null,fd:1"])
        .arg(format!("init={}", init.display()))
        .env_clear()
        .env("PATH", host::PATH)
        // Without one it crashes.
        .env("HOME", "/root")
        .env("TMPDIR", "/dev/shm")
        .current_dir(folder);
    // It has to boot, too.
    let mut outcome = collect(command, None, limit + Duration::from_secs(60))?;
    outcome.stdout = fs::read(folder.join("said")).unwrap_or_default();
    let took = fs::read_to_string(folder.join("took")).unwrap_or_default();
    let mut times = took.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(start)), Some(Ok(end))) = (times.next(), times.next()) else {
        let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let telling = |line: &&str| line.contains("panic") || line.contains("failed");
        let why: Vec<&str> = said.lines().filter(telling).collect();
        return Err(format!("the machine did not get to the end: {}", why.join("; ")).into());
    };
    outcome.status = Some(0);
    Ok((outcome, (end - start) * 1e9))
}

/// `word` as a shell reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs `command`, which must succeed.
///
/// # Errors
///
/// That it did not.
pub fn run_to_end(command: &mut Command) -> Result<(), Box<dyn Error>> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(quoted("for i in $x; do"), "'for i in $x; do'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
