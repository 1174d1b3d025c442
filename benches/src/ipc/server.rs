//! The server's process: the bench binary once more, with a hidden command.
//!
//! Its standard output says `ready` once, and then answers each line that comes in with what the process
//! has used so far. It ends when its standard input does, so it never outlives its client.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use super::{Contestant, Result, setup::Setup, usage, usage::Usage};

/// The hidden command of the bench binary.
pub const COMMAND: &str = "serve";

/// Said when clients may connect.
const READY: &str = "ready";

/// Tells the client that it may connect.
#[derive(Debug)]
pub struct Ready(());

impl Ready {
    /// Tells it.
    pub fn tell(self) {
        println!("{READY}");
    }
}

/// Serves as `contestant` until the client is gone.
///
/// # Errors
///
/// What the contestant says.
pub fn main(contestant: &dyn Contestant, setup: &Setup) -> Result<()> {
    usage::pin(setup.server_cpu())?;
    thread::spawn(|| {
        for line in io::stdin().lines() {
            match (line, Usage::now()) {
                (Ok(_), Ok(usage)) => println!("{} {}", usage.cpu.as_nanos(), usage.faults),
                _ => break,
            }
        }
        process::exit(0)
    });
    contestant.serve(setup, Ready(()))
}

/// The client's side of the server's process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the server of `contestant` and waits until it is ready.
    ///
    /// # Errors
    ///
    /// The host's; or the server has ended instead.
    pub fn start(contestant: &dyn Contestant, setup: &Setup) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args([COMMAND, contestant.name()])
            .args(setup.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the server has no standard input")?;
        let output = child.stdout.take().ok_or("the server has no standard output")?;
        let mut server = Server { child, input, output: BufReader::new(output) };
        if server.line()? != READY {
            return Err("the server is not ready".into());
        }
        Ok(server)
    }

    /// What the server has used so far.
    ///
    /// # Errors
    ///
    /// The server has ended, or says something else.
    pub fn usage(&mut self) -> Result<Usage> {
        self.input.write_all(b"usage\n")?;
        let line = self.line()?;
        let (cpu, faults) = line.split_once(' ').ok_or("the server does not say its usage")?;
        Ok(Usage { cpu: Duration::from_nanos(cpu.parse()?), faults: faults.parse()? })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the server has ended".into());
        }
        Ok(line.trim().into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may hang: that must not hang the client. Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
