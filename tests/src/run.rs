//! One run of one command: in its own process group, with a time limit, everything it says collected.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{Result, host, kernel};

/// What to run, the same natively and inside.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    /// The program as an absolute path, and its arguments.
    pub argv: Vec<OsString>,
    /// Added to the small environment that every run has.
    pub env: Vec<(String, String)>,
    /// What its standard input holds; none is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// Options of `libos`, for the run inside.
    pub options: Vec<OsString>,
    /// How long a run may take before it is killed.
    pub timeout: Option<Duration>,
    /// Whether it leads a session without a terminal, natively as inside.
    pub session: bool,
}

/// What a run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// All of standard output.
    pub stdout: Vec<u8>,
    /// All of standard error.
    pub stderr: Vec<u8>,
    /// The status as a shell reports it: 128 + n for a signal. `None`: the time limit struck.
    pub status: Option<i32>,
}

impl Outcome {
    /// Whether standard error says that the kernel itself has panicked or found a bug of its own.
    pub fn kernel_broke(&self) -> bool {
        let errors = String::from_utf8_lossy(&self.stderr);
        ["panicked at", "kernel bug"].iter().any(|word| errors.contains(word))
    }
}

impl Guest {
    /// A guest that runs `program` with `args`.
    pub fn new(program: impl Into<OsString>, args: &[&str]) -> Self {
        let mut argv = vec![program.into()];
        argv.extend(args.iter().map(OsString::from));
        Self { argv, ..Self::default() }
    }

    /// Adds options of `libos`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(OsString::from));
        self
    }

    /// Runs it on the host.
    pub fn native(&self, cwd: &Path) -> Result<Outcome> {
        let (program, args) = self.argv.split_first().ok_or("an empty command")?;
        let mut command = self.command(program);
        command.args(args);
        self.run(command, cwd)
    }

    /// The command `program`, in a session of its own if that is wanted.
    fn command(&self, program: &OsStr) -> Command {
        if !self.session {
            return Command::new(program);
        }
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(program);
        command
    }

    /// Runs it inside the kernel.
    pub fn inside(&self, cwd: &Path) -> Result<Outcome> {
        self.inside_with(cwd, &[])
    }

    /// Runs it inside, with more options than its own.
    pub fn inside_with(&self, cwd: &Path, more: &[OsString]) -> Result<Outcome> {
        let mut command = self.command(kernel::binary()?.as_os_str());
        command.args(&self.options).args(more).args(&self.argv);
        self.run(command, cwd)
    }

    fn run(&self, mut command: Command, cwd: &Path) -> Result<Outcome> {
        command
            .env_clear()
            .env("PATH", host::PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .env("TZ", "UTC")
            .envs(self.env.iter().cloned())
            .current_dir(cwd);
        collect(command, self.stdin.as_deref(), self.timeout.unwrap_or(Duration::from_secs(60)))
    }
}

/// Runs `command` to its end or to `limit`, whichever is first.
pub fn collect(mut command: Command, stdin: Option<&[u8]>, limit: Duration) -> Result<Outcome> {
    command
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child =
        spawn(&mut command).map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let input = child.stdin.take();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        if let (Some(mut pipe), Some(bytes)) = (input, stdin) {
            // The guest may close its end early (head): that is not the harness's error.
            scope.spawn(move || drop(pipe.write_all(bytes)));
        }
        let out = scope.spawn(move || read_all(&mut out));
        let err = scope.spawn(move || read_all(&mut err));
        let status = wait(&mut child, limit)?;
        let joined = |text: thread::Result<Vec<u8>>| text.map_err(|_| "a reader died".to_string());
        Ok(Outcome { stdout: joined(out.join())?, stderr: joined(err.join())?, status })
    })
}

fn read_all(pipe: &mut Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// Waits for the child; kills its process group when `limit` is over, and in any case what it left running in it.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<i32>> {
    let start = Instant::now();
    let group = Pid::from_raw(child.id().cast_signed());
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            // ESRCH is the usual answer: nobody is left.
            let _ = killpg(group, Signal::SIGKILL);
            return Ok(Some(shell_status(status)));
        }
        if start.elapsed() > limit {
            let _ = killpg(group, Signal::SIGKILL);
            child.wait().map_err(|error| error.to_string())?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// An exit status as `$?` shows it.
pub fn shell_status(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// A path as a guest's argument.
pub fn argument(path: PathBuf) -> OsString {
    path.into_os_string()
}

/// Starts `command`. A program that was written a moment ago may be busy for as long as another test's child, forked meanwhile, holds a copy of the descriptor
/// it was written through: until that child executes its own program.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_reports_output_and_status_as_a_shell_does() {
        let cwd = std::env::temp_dir();
        let run = |script| Guest::new("/bin/sh", &["-c", script]).native(&cwd).unwrap();
        let exit = run("echo a; echo b >&2; exit 3");
        assert_eq!((exit.stdout.as_slice(), exit.stderr.as_slice()), (&b"a\n"[..], &b"b\n"[..]));
        assert_eq!(exit.status, Some(3));
        assert_eq!(run("kill -SEGV $$").status, Some(139));
    }

    #[test]
    fn a_run_beyond_its_limit_is_killed_with_its_children() {
        let mut guest = Guest::new("/bin/sh", &["-c", "sleep 100 & sleep 100"]);
        guest.timeout = Some(Duration::from_millis(100));
        assert_eq!(guest.native(&std::env::temp_dir()).unwrap().status, None);
    }

    #[test]
    fn standard_input_arrives_whole() {
        let mut guest = Guest::new("/usr/bin/wc", &["-c"]);
        guest.stdin = Some(vec![b'x'; 300_000]);
        assert_eq!(guest.native(&std::env::temp_dir()).unwrap().stdout, b"300000\n");
    }
}
