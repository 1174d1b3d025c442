//! The other commands' side: `libos exec` and `libos ps`.

use std::{fmt, io::Write, pin::pin, time::Duration};

use futures::future::{Either, select};
use hal::{
    console::{Console, RawMode},
    cpu::block_on,
    host::{self, HostError, local::Folder, stdio},
    irq::HostSignals,
    time,
};

use super::{
    Broken, CHUNK, Talk,
    options::{ExecCli, PsCli, Wish},
    protocol::{Exec, Malformed, Message, Screen, Shown, Stream},
};
use crate::{boot::FORWARDED, errno::Errno, process::ExitStatus, signal::Signal};

/// How long a kernel may take to answer what it needs no time for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a command has not done what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    why: String,
}

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self { status: 126, why: why.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// The sockets that are there; those of the dead are taken away.
fn living(folder: &Folder) -> Result<Vec<String>, HostError> {
    let mut names = folder.names()?;
    // One that cannot be looked at is shown, and says itself why.
    names.retain(|name| !folder.sweep(name).unwrap_or(false));
    Ok(names)
}

fn folder() -> Result<Folder, Failure> {
    Folder::open()
        .map_err(|error| Failure::new(format!("the folder of sockets cannot be used: {error}")))
}

/// The only kernel.
fn only(folder: &Folder) -> Result<String, Failure> {
    let living = living(folder).map_err(|error| Failure::new(error.to_string()))?;
    match &living[..] {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new("no kernel is running (start one with --init or --name)")),
        several => {
            let names = several.join(", ");
            Err(Failure::new(format!(
                "several kernels are running, so --name must say which: {names}"
            )))
        }
    }
}

/// Connects to the kernel `name`, or the only one.
fn connect(name: Option<String>) -> Result<Talk, Failure> {
    let folder = folder()?;
    let name = match name {
        Some(name) => name,
        None => only(&folder)?,
    };
    if !super::is_name(&name) {
        return Err(Failure {
            status: 2,
            ..Failure::new(format!("--name {name}: not a name of a kernel"))
        });
    }
    match folder.connect(&name) {
        Ok(connection) => Ok(Talk::new(connection)),
        Err(error)
            if [Errno::ENOENT, Errno::ECONNREFUSED].contains(&Errno::from_raw(error.errno())) =>
        {
            Err(Failure::new(format!("no kernel named {name} is running")))
        }
        Err(error) => Err(Failure::new(format!("the kernel {name} cannot be reached: {error}"))),
    }
}

/// Runs a program in a running kernel; its exit status.
pub fn exec(options: ExecCli) -> Result<u8, Failure> {
    let here = host::process::environment();
    let wish = options.into_wish(here.vars);
    let talk = connect(wish.name.clone())?;
    let signals = HostSignals::catch(&FORWARDED)
        .map_err(|error| Failure::new(format!("no signals: {error}")))?;
    let console = console();
    block_on(Client { talk, signals, console, raw: None }.run(wish, here.cwd))
}

/// The terminal at which the user types, if that is one.
fn console() -> Option<Console> {
    let input = stdio::stdin().ok().filter(|stream| stream.is_tty())?;
    let outputs = [stdio::stdout(), stdio::stderr(), stdio::stdin()];
    let output = outputs.into_iter().flatten().find(|stream| stream.is_tty())?;
    Console::new(input, output).ok()
}

struct Client {
    talk: Talk,
    signals: HostSignals,
    console: Option<Console>,
    /// The terminal is raw, since the program runs that has one of its own inside.
    raw: Option<RawMode>,
}

/// What has happened.
enum Event {
    Said(Result<Message, Broken>),
    Signal(Signal),
    Typed(Vec<u8>),
}

impl Client {
    async fn run(mut self, wish: Wish, here: Option<Vec<u8>>) -> Result<u8, Failure> {
        self.ask(wish, here).await?;
        let lost = || ExitStatus::KILLED.shell_code();
        loop {
            match self.next().await {
                Event::Said(Ok(message)) => match message {
                    Message::Started(_) => {
                        self.make_raw();
                    }
                    Message::Refused(status, why) => {
                        return Err(Failure {
                            status,
                            ..Failure::new(String::from_utf8_lossy(&why))
                        });
                    }
                    Message::Bytes(bytes) => {
                        if let Some(console) = &self.console {
                            // A terminal that is gone shows nothing.
                            let _ = console.write(&bytes).await;
                        }
                    }
                    Message::Stopped(signal) => self.stop(signal).await,
                    Message::Ended(status) => return Ok(status),
                    _ => return Err(Failure::new("the kernel does not make sense")),
                },
                Event::Said(Err(Broken::Malformed(_))) => {
                    return Err(Failure::new("the kernel is of another version of libos"));
                }
                // The kernel has ended, and all programs with it.
                Event::Said(Err(Broken::Gone)) => return Ok(lost()),
                Event::Signal(Signal::SIGWINCH) => self.resize().await,
                Event::Signal(signal) => {
                    if signal == Signal::SIGCONT && self.raw.is_some() {
                        // Whoever had the terminal meanwhile has left it as he likes it.
                        self.make_raw();
                    }
                    // A kernel that is gone is heard of by the next look.
                    let _ = self.talk.say(&Message::Signal(signal.raw())).await;
                }
                Event::Typed(bytes) => {
                    if bytes.is_empty() {
                        // The terminal was hung up.
                        let _ = self.talk.say(&Message::Signal(Signal::SIGHUP.raw())).await;
                        self.console = None;
                    } else {
                        let _ = self.talk.say(&Message::Bytes(bytes)).await;
                    }
                }
            }
        }
    }

    /// Says what is to be run, and passes the streams on.
    async fn ask(&self, wish: Wish, here: Option<Vec<u8>>) -> Result<(), Failure> {
        let screen = self.console.as_ref().and_then(|console| {
            Some(Screen { size: console.size().ok()?, settings: console.input().termios().ok()? })
        });
        let descriptors = stdio::descriptors();
        let is_screen = |index: usize| {
            let stream = [stdio::stdin, stdio::stdout, stdio::stderr]
                .get(index)
                .and_then(|open| open().ok());
            screen.is_some() && stream.is_some_and(|stream| stream.is_tty())
        };
        let mut streams = [Stream::Closed; 3];
        let mut passed = Vec::new();
        for (index, (stream, descriptor)) in streams.iter_mut().zip(descriptors).enumerate() {
            *stream = match descriptor {
                None => Stream::Closed,
                Some(_) if is_screen(index) => Stream::Terminal,
                Some(descriptor) => {
                    passed.push(descriptor);
                    Stream::Passed
                }
            };
        }
        let screen = screen.filter(|_| streams.contains(&Stream::Terminal));
        let exec = Exec { args: wish.args, env: wish.env, dir: wish.dir, here, streams, screen };
        let bytes = Message::Exec(exec).encode();
        let bytes =
            bytes.ok_or_else(|| Failure::new("the arguments and the environment are too long"))?;
        let sent = self.talk.connection.send(&bytes, &passed).await;
        sent.map_err(|error| Failure::new(format!("the kernel does not listen: {error}")))
    }

    async fn next(&mut self) -> Event {
        let Self { talk, signals, console, raw } = self;
        let typed = async {
            match console.as_ref().filter(|_| raw.is_some()) {
                Some(console) => {
                    let mut bytes = vec![0; CHUNK];
                    let count = console.read(&mut bytes).await.unwrap_or(0);
                    bytes.truncate(count);
                    bytes
                }
                None => std::future::pending().await,
            }
        };
        let signal = async {
            loop {
                if let Some(signal) = Signal::from_raw(signals.next_signal().await) {
                    return signal;
                }
            }
        };
        match select(pin!(talk.hear()), select(pin!(typed), pin!(signal))).await {
            Either::Left((message, _)) => Event::Said(message),
            Either::Right((Either::Left((bytes, _)), _)) => Event::Typed(bytes),
            Either::Right((Either::Right((signal, _)), _)) => Event::Signal(signal),
        }
    }

    /// Has each key come here as it is.
    fn make_raw(&mut self) {
        // The old one would put the settings back when it is replaced.
        self.raw = None;
        self.raw = self.console.as_ref().and_then(|console| console.raw_mode().ok());
    }

    async fn resize(&self) {
        if let Some(size) = self.console.as_ref().and_then(|console| console.size().ok()) {
            let _ = self.talk.say(&Message::Resize(size)).await;
        }
    }

    /// The program was stopped: whoever started this command has to see that. Returns when it goes on, and has the program go on.
    async fn stop(&mut self, signal: i32) {
        let was_raw = self.raw.take().is_some();
        host::process::stop_by(signal);
        if was_raw {
            self.make_raw();
        }
        self.resize().await;
        let _ = self.talk.say(&Message::Signal(Signal::SIGCONT.raw())).await;
    }
}

/// Shows kernels and their processes; the exit status is 1 when there are none.
pub fn ps(options: &PsCli) -> Result<u8, Failure> {
    let folder = folder()?;
    let mut names = living(&folder).map_err(|error| Failure::new(error.to_string()))?;
    if let Some(wanted) = &options.name {
        names.retain(|name| name == wanted);
        if names.is_empty() {
            return Err(Failure {
                status: 1,
                ..Failure::new(format!("no kernel named {wanted} is running"))
            });
        }
    }
    let mut rows =
        vec![["KERNEL", "PID", "PPID", "STAT", "TIME", "MEMORY", "COMMAND"].map(str::to_owned)];
    for name in names {
        match block_on(async { time::timeout(PATIENCE, ask_for_processes(&folder, &name)).await }) {
            Ok(Ok(processes)) => rows.extend(processes.iter().map(|process| row(&name, process))),
            Ok(Err(why)) => log::error!("{name}: {why}"),
            Err(_) => log::error!("{name}: the kernel does not answer"),
        }
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = field.len().max(*width);
        }
    }
    let mut out = String::new();
    for [name, pid, ppid, state, time, memory, command] in &rows {
        let [n, p, q, s, t, m, _] = widths;
        out += &format!(
            "{name:n$} {pid:>p$} {ppid:>q$} {state:s$} {time:>t$} {memory:>m$} {command}\n"
        );
    }
    // Nobody may be there to read it.
    let _ = std::io::stdout().write_all(out.as_bytes());
    Ok(0)
}

async fn ask_for_processes(folder: &Folder, name: &str) -> Result<Vec<Shown>, String> {
    let connection = folder.connect(name).map_err(|error| error.to_string())?;
    let mut talk = Talk::new(connection);
    let asked = talk.say(&Message::List).await;
    match (asked, talk.hear().await) {
        (_, Ok(Message::Processes(processes))) => Ok(processes),
        (_, Ok(Message::Refused(_, why))) => Err(String::from_utf8_lossy(&why).into_owned()),
        (_, Err(Broken::Malformed(Malformed::Version))) => {
            Err("another version of libos".to_owned())
        }
        _ => Err("the kernel does not answer".to_owned()),
    }
}

fn row(name: &str, process: &Shown) -> [String; 7] {
    let seconds = process.cpu / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    // What a program calls itself may be anything, and goes to a terminal.
    let command: String = String::from_utf8_lossy(&process.command)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    [
        name.to_owned(),
        process.pid.to_string(),
        process.ppid.to_string(),
        char::from(process.state).to_string(),
        format!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
        format!("{}K", process.memory / 1024),
        command,
    ]
}
