//! A kernel that runs beside the test, which talks to what is inside.

use std::{
    ffi::OsString,
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Result, host, kernel};

/// How long anything is waited for.
const LIMIT: Duration = Duration::from_secs(40);

/// A kernel in a session of its own; killed when it is dropped.
pub struct Background {
    child: Child,
}

impl Background {
    /// Starts `libos` with `words` in `dir`, whose sockets for `libos exec` are there, too.
    pub fn start(dir: &Path, words: &[&str]) -> Result<Self> {
        let mut command = command(dir)?;
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = command.spawn().map_err(|error| format!("cannot start {words:?}: {error}"))?;
        Ok(Self { child })
    }

    /// Its number on the host.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // One that has ended is found so by whoever waits.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    /// Waits until it has ended: its status, none for a signal, and what it has said.
    pub fn wait(&mut self) -> (Option<i32>, String) {
        let ended = until(|| self.child.try_wait().ok().flatten());
        let status = ended.unwrap_or_else(|| panic!("it does not end"));
        let mut said = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut said).unwrap();
        }
        (status.code(), said)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `libos` command as tests in `dir` use it.
pub fn command(dir: &Path) -> Result<Command> {
    // A shell's background jobs may ignore these, and all below them.
    let mut command = Command::new("/usr/bin/env");
    command
        .arg("--default-signal=INT,QUIT")
        .arg(kernel::binary()?)
        .env_clear()
        .env("PATH", host::PATH)
        .env("LC_ALL", "C")
        .env("HOME", "/root")
        .env("XDG_RUNTIME_DIR", OsString::from(dir))
        .current_dir(dir);
    Ok(command)
}

/// Tries until it gives something, or it takes too long.
pub fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let result = attempt();
        if result.is_some() || start.elapsed() > LIMIT {
            return result;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port of the host that nobody has at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
