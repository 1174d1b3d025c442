//! The kernel's side.

use std::{
    collections::VecDeque,
    os::fd::AsFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{Either, select};
use hal::host::{
    HostError, HostStream,
    local::{Connection, Folder, Listener},
};
use kernel_objects::KernelObject;
use linux_raw_sys::general as raw;

use super::{
    Broken, CHUNK, REFUSED, Talk,
    protocol::{Exec, Malformed, Message, Screen, Shown, Stream},
};
use crate::{
    boot,
    errno::{Errno, SysResult},
    kernel::Kernel,
    loader::search,
    process::{Command, ExitStatus, FdTable, Process, Surroundings},
    signal::{SigInfo, Signal},
    syscall::argument::Fd,
    tty::{Master, Terminal, termios::Termios},
    vfs::{
        File, FsContext, IoDst, IoSrc, LookupFlags, OpenFile, PollEvents, ops,
        procfs::state_letter, stdio::HostStdio,
    },
};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many clients may be there at a time.
const CLIENTS: usize = 256;
/// So often is shown at the end what a terminal has.
const LAST_WORDS: usize = 64;

/// A kernel's ear.
pub(crate) struct Server {
    listener: Arc<Listener>,
}

impl Server {
    /// Listens as `name`. The host's errors: `EADDRINUSE` while another kernel has that name.
    pub(crate) fn listen(name: &str) -> Result<Self, HostError> {
        Ok(Self { listener: Arc::new(Folder::open()?.listen(name)?) })
    }

    /// Serves from now on. Who and where programs are is as `first` says.
    pub(crate) fn serve(&self, kernel: &Arc<Kernel>, first: FsContext) {
        let (listener, kernel) = (Arc::clone(&self.listener), Arc::clone(kernel));
        let there = Arc::new(AtomicUsize::new(0));
        kernel
            .clone()
            .cpus
            .spawn(async move {
                loop {
                    match listener.accept().await {
                        Ok(connection) => {
                            let kernel = Arc::clone(&kernel);
                            let there = Arc::clone(&there);
                            let first = first.clone();
                            if there.fetch_add(1, Ordering::Relaxed) < CLIENTS {
                                kernel
                                    .clone()
                                    .cpus
                                    .spawn(async move {
                                        attend(&kernel, connection, first).await;
                                        there.fetch_sub(1, Ordering::Relaxed);
                                    })
                                    .detach();
                            } else {
                                there.fetch_sub(1, Ordering::Relaxed);
                            }
                        }
                        Err(error) => {
                            log::warn!("a client was not heard: {error}");
                            hal::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            })
            .detach();
    }

    /// Gives the name back.
    pub(crate) fn close(&self) {
        self.listener.close();
    }
}

/// Does what one client asks for.
async fn attend(kernel: &Arc<Kernel>, connection: Connection, first: FsContext) {
    let trusted = connection.is_trusted().unwrap_or(false);
    let mut talk = Talk::new(connection);
    if !trusted {
        log::warn!("a client of another user was refused");
        let _ = talk.refuse("the kernel is another user's").await;
        return;
    }
    let Ok(request) = hal::time::timeout(PATIENCE, talk.hear()).await else { return };
    let _ = match request {
        Ok(Message::List) => talk.say(&Message::Processes(list(kernel))).await,
        Ok(Message::Exec(exec)) => run(kernel, talk, exec, first).await,
        Err(Broken::Malformed(Malformed::Version)) => {
            talk.refuse("the kernel was started by another version of libos").await
        }
        _ => Ok(()),
    };
}

/// All processes.
fn list(kernel: &Kernel) -> Vec<Shown> {
    let shown = |process: Arc<Process>| {
        let memory = process.memory();
        let arguments = memory.as_ref().map_or(Vec::new(), |memory| {
            let range = memory.image().arguments;
            let len = range.end.saturating_sub(range.start).min(4096);
            let mut text = vec![0; len as usize];
            match memory.read_bytes(range.start, &mut text) {
                Ok(()) => text,
                Err(_) => Vec::new(),
            }
        });
        let command = match arguments.is_empty() {
            true => [b"[", &*process.object.name_bytes(), b"]"].concat(),
            false => {
                let words = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
                words.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect()
            }
        };
        Shown {
            pid: process.pid,
            ppid: process.ppid(),
            state: state_letter(&process) as u8,
            cpu: process.object.runtime(),
            memory: memory.map_or(0, |memory| memory.resident_bytes()),
            command,
        }
    };
    kernel.pids.processes().into_iter().map(shown).collect()
}

/// A program that a client has started.
struct Running {
    process: Arc<Process>,
    /// The client's side of the terminal that it got.
    master: Option<Arc<Master>>,
    /// Typed bytes that the terminal had no room for.
    typed: VecDeque<u8>,
}

/// Starts what the client asks for and is its link to it until it ends.
async fn run(
    kernel: &Arc<Kernel>,
    mut talk: Talk,
    exec: Exec,
    first: FsContext,
) -> Result<(), Broken> {
    let mut running = match start(kernel, &mut talk, exec, first) {
        Ok(running) => running,
        Err((status, why)) => return talk.say(&Message::Refused(status, why.into_bytes())).await,
    };
    talk.say(&Message::Started(running.process.pid)).await?;
    let status = running.attend(&mut talk).await;
    match status {
        Ok(status) => talk.say(&Message::Ended(status.shell_code())).await,
        Err(broken) => {
            // As when the line of a terminal is cut; the drop of the master cuts it for the others there.
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                // A standard signal needs no room in the queue.
                let _ = running.process.send_signal(signal, SigInfo::kernel(signal));
            }
            Err(broken)
        }
    }
}

fn start(
    kernel: &Arc<Kernel>,
    talk: &mut Talk,
    exec: Exec,
    mut fs: FsContext,
) -> Result<Running, (u8, String)> {
    let refused = |what: &str, errno: Errno| (REFUSED, format!("{what}: {errno}"));
    match (&exec.dir, &exec.here) {
        (Some(dir), _) => boot::change_dir(&mut fs, dir)
            .map_err(|errno| refused(&format!("--cwd {}", dir.escape_ascii()), errno))?,
        // A directory that the guest's tree does not have is no reason not to start.
        (None, Some(here)) => drop(boot::change_dir(&mut fs, here)),
        (None, None) => {}
    }
    let master =
        exec.screen.map(|screen| open_terminal(kernel, fs.cred.fsuid, &screen)).transpose();
    let master = master.map_err(|errno| refused("no terminal", errno))?;
    let terminal = match &master {
        None => None,
        Some(master) => {
            let file = terminal_file(master, &fs).map_err(|errno| refused("no terminal", errno))?;
            Some((Arc::clone(master.terminal()), file))
        }
    };
    let files = FdTable::new();
    let mut passed = std::mem::take(&mut talk.descriptors).into_iter();
    for (number, stream) in (0..).zip(exec.streams) {
        let file = match stream {
            Stream::Closed => None,
            Stream::Terminal => terminal.as_ref().map(|(_, file)| Arc::clone(file)),
            Stream::Passed => {
                let fd =
                    passed.next().ok_or_else(|| refused("a stream is missing", Errno::EBADF))?;
                let stream = HostStream::new(fd.as_fd());
                Some(HostStdio::open(
                    stream.map_err(|error| refused("a stream", Errno::from_raw(error.errno())))?,
                ))
            }
        };
        if let Some(file) = file {
            // Three descriptors are within any limit.
            let _ = files.replace(
                Fd(number),
                crate::process::Descriptor { file, close_on_exec: false },
                3,
            );
        }
    }
    let name = exec.args.first().cloned().unwrap_or_default();
    let failed = |error: crate::loader::LoadError| {
        (error.exit_code(), format!("{}: {error}", name.escape_ascii()))
    };
    let path = search::find(&fs, &name, &exec.env).map_err(failed)?;
    let command = Command { path, args: exec.args.clone(), env: exec.env, found: None };
    let terminal = terminal.map(|(terminal, _)| terminal);
    let surroundings =
        Surroundings { fs, files, limits: boot::host_limits(), terminal, debugger: None };
    let process = kernel.start(command, surroundings).map_err(failed)?;
    Ok(Running { process, master, typed: VecDeque::new() })
}

/// A pty like the client's terminal.
fn open_terminal(kernel: &Kernel, user: u32, screen: &Screen) -> SysResult<Arc<Master>> {
    let master = kernel.terminals.open_pty(user, user)?;
    master.set_locked(false);
    let terminal: &Terminal = master.terminal();
    terminal.set_termios(Termios::from_host(&screen.settings), false);
    terminal.set_window_size(screen.size);
    Ok(master)
}

/// The program's side of it, as an open file.
fn terminal_file(master: &Master, fs: &FsContext) -> SysResult<Arc<OpenFile>> {
    let slave = master.terminal().open(true)?;
    let name = format!("/dev/pts/{}", master.number());
    let place = ops::resolve(fs, None, name.as_bytes(), LookupFlags::FOLLOW).ok();
    Ok(OpenFile::from_file(slave, place, raw::O_RDWR))
}

/// What has happened to a program.
enum Event {
    Said(Result<Message, Broken>),
    Ended(ExitStatus),
    Stopped(Signal),
    /// The terminal has something to show, or room.
    Terminal,
}

impl Running {
    /// Passes on what there is until the program has ended.
    async fn attend(&mut self, talk: &mut Talk) -> Result<ExitStatus, Broken> {
        loop {
            self.type_on();
            let shown = self.show(talk).await?;
            let event = if shown { None } else { Some(self.next(talk).await) };
            match event {
                None | Some(Event::Terminal) => {}
                Some(Event::Ended(status)) => {
                    // Others may go on writing there.
                    for _ in 0..LAST_WORDS {
                        if !self.show(talk).await? {
                            break;
                        }
                    }
                    return Ok(status);
                }
                Some(Event::Stopped(signal)) => talk.say(&Message::Stopped(signal.raw())).await?,
                Some(Event::Said(message)) => self.obey(message?)?,
            }
        }
    }

    async fn next(&self, talk: &mut Talk) -> Event {
        let Self { process, master, typed } = self;
        let mut wanted = PollEvents::READABLE | PollEvents::HUP;
        wanted.set(PollEvents::WRITABLE, !typed.is_empty());
        let terminal = async {
            let Some((master, queue)) =
                master.as_ref().and_then(|master| Some((master, master.wait_queue()?)))
            else {
                return std::future::pending().await;
            };
            let mut changed = queue.wait_for(wanted.bits());
            changed.arm();
            let now = master.poll();
            let ready =
                now.contains(PollEvents::IN) || !typed.is_empty() && now.contains(PollEvents::OUT);
            if !ready {
                changed.await;
            }
        };
        let (ended, stopped) = (pin!(process.wait_ended()), pin!(process.stop.next()));
        let fate = select(ended, stopped);
        // Who types and types is not heard, until some of it was read.
        let hears = typed.len() < 2 * CHUNK;
        let said = async { if hears { talk.hear().await } else { std::future::pending().await } };
        match select(select(pin!(said), pin!(terminal)), fate).await {
            Either::Left((Either::Left((message, _)), _)) => Event::Said(message),
            Either::Left((Either::Right(_), _)) => Event::Terminal,
            Either::Right((Either::Left((status, _)), _)) => Event::Ended(status),
            Either::Right((Either::Right((signal, _)), _)) => Event::Stopped(signal),
        }
    }

    /// Sends what the terminal shows. Whether it was anything.
    async fn show(&self, talk: &Talk) -> Result<bool, Broken> {
        let Some(master) = &self.master else { return Ok(false) };
        let mut bytes = vec![0; CHUNK];
        let count = master.read(0, &mut IoDst::kernel(&mut bytes)).unwrap_or(0);
        if count > 0 {
            bytes.truncate(count);
            talk.say(&Message::Bytes(bytes)).await?;
        }
        Ok(count > 0)
    }

    /// Types what there is, as far as there is room.
    fn type_on(&mut self) {
        while let (Some(master), false) = (&self.master, self.typed.is_empty()) {
            let count = master.write(0, &mut IoSrc::kernel(self.typed.as_slices().0));
            match count {
                Ok(count @ 1..) => drop(self.typed.drain(..count)),
                _ => break,
            }
        }
    }

    fn obey(&mut self, message: Message) -> Result<(), Broken> {
        match message {
            Message::Bytes(bytes) if self.master.is_some() => self.typed.extend(bytes),
            Message::Resize(size) => {
                if let Some(master) = &self.master {
                    master.terminal().set_window_size(size);
                }
            }
            Message::Signal(number) => {
                let signal =
                    Signal::from_raw(number).ok_or(Broken::Malformed(Malformed::Nonsense))?;
                match signal {
                    // A shell lets the whole group go on, of which it knows one process.
                    Signal::SIGCONT => {
                        let kernel = &self.process.kernel;
                        kernel.pids.signal_group(self.process.pgid(), signal);
                    }
                    // A full queue drops none of these: no standard signal needs an entry.
                    _ => drop(self.process.send_signal(signal, SigInfo::kernel(signal))),
                }
            }
            _ => return Err(Broken::Malformed(Malformed::Nonsense)),
        }
        Ok(())
    }
}
