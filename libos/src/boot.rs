//! Starting a machine: from a [`Config`] to a kernel whose first program has run.
//!
//! The one idea: whatever can be wrong with the configuration or the program is found here, in order, before the first
//! instruction of a guest runs, and becomes one line and a shell's exit status.

use std::fmt;
use std::path::Path as HostPath;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::{Either, select};
use hal::cpu::{self, Cpus, Observer};
use hal::fault::{self, Rules};
use hal::host::local::Folder;
use hal::host::stdio::Inherited;
use hal::host::{self, FileKind, HostNode, HostStream};
use hal::irq::HostSignals;
use hal::pmem::{PhysicalMemory, Shortage};
use kernel_objects::Job;
use linux_raw_sys::general as raw;

use crate::config::{Config, Network, Publish, Strace};
use crate::control::Server;
use crate::errno::{Errno, SysResult};
use crate::gdb::Debugger;
use crate::kernel::Kernel;
use crate::loader::{LoadError, search};
use crate::net::{ethernet::Ethernet, inet, publish::Listener, unix};
use crate::process::namespaces::Kind;
use crate::process::{
    Command, Descriptor, ExitStatus, FdTable, Ids, Limits, Namespaces, NetNamespace, Process,
    Surroundings, UserNamespace,
};
use crate::signal::{SigInfo, Signal};
use crate::supervisor::Supervisor;
use crate::syscall::{argument::Fd, strace};
use crate::trace::Trace;
use crate::tty::{self, Terminals};
use crate::vfs::lock::LockTable;
use crate::vfs::mqueuefs::MqueueFs;
use crate::vfs::procfs::{ProcFs, SysFs};
use crate::vfs::stdio::{self, HostStdio};
use crate::vfs::{
    AttributeChange, Capabilities, Credentials, FsContext, LookupFlags, Mount, MountFlags,
    MountNamespace, OpenFile, Path, Superblock, namespace, ops,
};

/// For how long the host's terminals are waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Makes a kernel, runs the first program in it and says how that ended. What the program leaves running ends with it, as the
/// processes of a pid namespace do.
pub fn run(config: &Config) -> Result<ExitStatus, BootError> {
    // Before the kernel opens anything of its own.
    let inherited = host::stdio::inherited();
    let kernel = start(config)?;
    let fs = first_context(&kernel, config)?;
    let files = inherited_files(&kernel, &fs, config, inherited);
    // To find it out again while others make files would lend them another umask.
    let first = FsContext { cwd: fs.root.clone(), ..fs.clone() };
    let init = config.init.then(|| kernel.start_init(Ids::of(&fs.cred), host_limits()));
    let init = init.transpose().map_err(|errno| BootError::Option("--init".to_owned(), errno))?;
    let process = launch_with(&kernel, config, fs, files)?;
    let server = open_server(config)?;
    if let Some(server) = &server {
        server.serve(&kernel, first);
    }
    let debugged = kernel.debugger.clone().map(|debugger| {
        let process = Arc::clone(&process);
        kernel.cpus.spawn(async move { debugger.serve(process).await })
    });
    let status = match init {
        None => with_signals(&kernel, until_ended(&process), |signal| forward(&process, signal)),
        Some(init) => {
            let supervisor = Supervisor::new(init, Arc::clone(&process));
            let pass = |signal| supervisor.signal(signal, || forward(&process, signal));
            let over = supervisor.run(until_ended(&process), pass);
            with_signals(&kernel, over, pass)
        }
    };
    fault::arm(false);
    // What is still waited for is the host.
    let _hold = hal::time::hold();
    if let Some(debugged) = debugged {
        // The debugger is told how it ended.
        let _ = kernel.cpus.block_on(hal::time::timeout(LAST_WORDS, debugged));
    }
    if let Some(server) = server {
        server.close();
    }
    kernel.shut_down();
    if let Some(ethernet) = kernel.namespaces.net.inet.ethernet() {
        kernel.cpus.block_on(ethernet.leave());
    }
    // A terminal at which nobody looks shows the rest to nobody.
    let shown = hal::time::timeout(LAST_WORDS, kernel.terminals.drained());
    let _ = kernel.cpus.block_on(shown);
    for mount in kernel.mounts.top().tree() {
        // Whoever wanted to know of an error has asked for it with fsync(2).
        let _ = mount.superblock().fs().sync();
    }
    // The host takes everything back at once; doing it piece by piece would only take longer.
    std::mem::forget((kernel, process));
    Ok(status)
}

/// Starts the program that `config` names in `kernel`, with the standard streams and limits of this process; it has no parent.
pub fn launch(kernel: &Arc<Kernel>, config: &Config) -> Result<Arc<Process>, BootError> {
    let fs = first_context(kernel, config)?;
    let files = standard_files(kernel, &fs);
    launch_with(kernel, config, fs, files)
}

fn launch_with(
    kernel: &Arc<Kernel>,
    config: &Config,
    fs: FsContext,
    files: Arc<FdTable>,
) -> Result<Arc<Process>, BootError> {
    let path = search::find(&fs, &config.program, &config.env)
        .map_err(|error| BootError::Program(config.program.clone(), error))?;
    let command = Command { path, args: config.args.clone(), env: config.env.clone(), found: None };
    if kernel.terminals.console().is_none()
        && let Ok(terminal) = host::stdio::terminal()
    {
        // No stream is a terminal, but /dev/tty is one.
        drop(kernel.terminals.adopt(terminal));
    }
    let surroundings = Surroundings {
        fs,
        files,
        limits: host_limits(),
        terminal: kernel.terminals.controlling(),
        debugger: kernel.debugger.clone(),
    };
    // Not later: it runs at once.
    fault::arm(true);
    kernel
        .start(command, surroundings)
        .map_err(|error| BootError::Program(config.program.clone(), error))
}

/// Waits for `over`, and passes on what the host sends meanwhile.
fn with_signals<T>(kernel: &Kernel, over: impl Future<Output = T>, pass: impl Fn(Signal)) -> T {
    match HostSignals::catch(&FORWARDED) {
        Ok(signals) => kernel.cpus.block_on_with_signals(over, &signals, |number| {
            if let Some(signal) = Signal::from_raw(number) {
                pass(signal);
            }
        }),
        Err(error) => {
            log::error!("signals of the host do not reach the program: {error}");
            kernel.cpus.block_on(over)
        }
    }
}

/// Waits for the end of `process`. When a signal stops it, this process stops too, for whoever started us has to see that.
async fn until_ended(process: &Process) -> ExitStatus {
    loop {
        let (ended, stopped) = (pin!(process.wait_ended()), pin!(process.stop.next()));
        match select(ended, stopped).await {
            Either::Left((status, _)) => return status,
            Either::Right((signal, _)) => {
                process.kernel.terminals.give_back();
                host::process::stop_by(signal.raw());
                process.kernel.terminals.take_again();
                // A shell sends SIGCONT, which does this; but the host may have had a reason not to stop us.
                process.resume();
            }
        }
    }
}

/// The signals that the host sends us and the first program gets: a Ctrl-C or a Ctrl-Z at the terminal, a kill(1), a changed
/// window. Not those for the use of a terminal in the background: what the guests do there is our doing.
pub(crate) const FORWARDED: [i32; 10] = [
    Signal::SIGHUP.raw(),
    Signal::SIGINT.raw(),
    Signal::SIGQUIT.raw(),
    Signal::SIGUSR1.raw(),
    Signal::SIGUSR2.raw(),
    Signal::SIGALRM.raw(),
    Signal::SIGTERM.raw(),
    Signal::SIGCONT.raw(),
    Signal::SIGTSTP.raw(),
    Signal::SIGWINCH.raw(),
];

/// Passes a signal of the host on: one that is about the terminal to those whom it is for there, others to the first program.
fn forward(process: &Process, signal: Signal) {
    let terminals = &process.kernel.terminals;
    if signal == Signal::SIGCONT {
        terminals.take_again();
        // A shell lets the whole group go on, of which it knows one process.
        return process.kernel.pids.signal_group(process.pgid(), signal);
    }
    if terminals.host_signal(signal) {
        return;
    }
    if let Err(errno) = process.send_signal(signal, SigInfo::kernel(signal)) {
        log::warn!("signal {} did not reach the program: {errno:?}", signal.raw());
    }
}

/// A kernel without processes.
pub fn start(config: &Config) -> Result<Arc<Kernel>, BootError> {
    // Before there are threads: it is much faster then.
    hal::context::prepare().map_err(|error| BootError::host("it cannot run guests", &error))?;
    let cpus = choose_time_and_cpus(config)?;
    plan_faults(config)?;
    let memory = PhysicalMemory::new(config.memory)
        .map_err(|error| BootError::host("it gives no memory", &error))?;
    if let Some(micros) = config.spin {
        hal::context::limit_spinning(micros);
    }
    let strace = open_strace(config)?;
    let debugger = open_debugger(config)?;
    let root = mount_root(config, &memory)?;
    let trace = open_trace(config, cpus)?;
    let observer = trace.as_ref().map(|trace| Arc::clone(trace.recorder()) as Arc<dyn Observer>);
    let cpus = cpu::Config { cpus, stealing: true, observer, ..cpu::Config::default() };
    let published = listen_for_guests(config)?;
    let ethernet = join_wire(config, &memory)?;
    let cpus = Cpus::start(cpus).map_err(|error| BootError::host("it gives no threads", &error))?;
    let terminals = Terminals::new(&memory);
    let queues = MqueueFs::new(&memory);
    let mqueues = Mount::new_root(Superblock::new(queues.clone()), MountFlags::empty(), "mqueue");
    namespace::mount_system(&root, b"/dev/mqueue", queues, "mqueue")
        .map_err(|errno| BootError::Option("/dev/mqueue".to_owned(), errno))?;
    let job = Job::root();
    let shortage: Weak<dyn Shortage> = Arc::<Job>::downgrade(&job);
    memory.tell_of_shortage(shortage);
    let inodes = Arc::default();
    let inet = inet::Stack::new(config.network, ethernet, &memory, &inodes);
    let net = NetNamespace::first(inet, unix::Namespace::new(&memory, &inodes));
    let kernel = Arc::new(Kernel {
        memory,
        terminals,
        cpus: Arc::new(cpus),
        job,
        mounts: MountNamespace::new(Kind::Mount.first_number(), root),
        futexes: Default::default(),
        locks: LockTable::new(),
        namespaces: Namespaces::first(Default::default(), net),
        ipcs: Default::default(),
        mqueues,
        inotify: Default::default(),
        log: Default::default(),
        aio: Default::default(),
        pids: Default::default(),
        isolation: config.isolation,
        debugger,
        strace,
        trace,
        started: hal::time::boottime(),
    });
    kernel.terminals.attach(&kernel);
    namespace::mount_ptys(&kernel.mounts.top(), &kernel.terminals)
        .map_err(|errno| BootError::Option("/dev/pts".to_owned(), errno))?;
    mount_views(&kernel).map_err(|errno| BootError::Option("/proc and /sys".to_owned(), errno))?;
    let network = &kernel.namespaces.net.inet;
    for listener in published {
        listener.serve(network, &kernel.cpus);
    }
    if let Some(ethernet) = network.ethernet() {
        let served = ethernet.serve(network, &kernel.cpus);
        served.map_err(|error| BootError::host("--ethernet", &error))?;
    }
    Ok(kernel)
}

/// The ports of `--publish`, which lead to the guests' own network.
fn listen_for_guests(config: &Config) -> Result<Vec<Listener>, BootError> {
    if !config.publish.is_empty() && config.network != Network::Loopback {
        let why = "ports are published of the guests' own network (leave --net out)";
        return Err(BootError::Conflict("--publish --net".to_owned(), why.to_owned()));
    }
    let listen = |&publish: &Publish| {
        let refused = |error: host::HostError| {
            BootError::Option(format!("--publish {publish}"), Errno::from_raw(error.errno()))
        };
        Listener::bind(publish).map_err(refused)
    };
    config.publish.iter().map(listen).collect()
}

/// The wire of `--ethernet`, at which the machine has an address from now on.
fn join_wire(
    config: &Config,
    memory: &Arc<PhysicalMemory>,
) -> Result<Option<Arc<Ethernet>>, BootError> {
    let Some(segment) = &config.ethernet else { return Ok(None) };
    let option = format!("--ethernet {segment}");
    let conflict = |with: &str, why: &str| {
        Err(BootError::Conflict(format!("{option} {with}"), why.to_owned()))
    };
    if config.network != Network::Loopback {
        return conflict("--net", "the wire is for the guests' own network (leave --net out)");
    } else if config.seed.is_some() || config.virtual_time {
        let why = "what comes over the wire comes at its own time";
        return conflict("--virtual-time or --seed", why);
    }
    let refused = |error: host::HostError| match Errno::from_raw(error.errno()) {
        Errno::EADDRINUSE => {
            let why = "another kernel has that address, or there is none left".to_owned();
            BootError::Conflict(option.clone(), why)
        }
        errno => BootError::Option(option.clone(), errno),
    };
    let folder = Folder::open().map_err(refused)?;
    Ethernet::join(&folder, segment, memory).map(Some).map_err(refused)
}

/// Chooses what the clocks of the process are, `--virtual-time` and `--seed`; says how many CPUs there are.
fn choose_time_and_cpus(config: &Config) -> Result<usize, BootError> {
    let Some(seed) = config.seed else {
        if config.virtual_time {
            hal::time::make_virtual().map_err(|error| BootError::host("--virtual-time", &error))?;
        }
        return Ok(config.cpus.unwrap_or_else(host::system::online_cpus).min(cpu::MAX_CPUS));
    };
    if let Some(cpus) = config.cpus.filter(|&cpus| cpus != 1) {
        let both = format!("--seed {seed} --cpus {cpus}");
        let why = "what several CPUs do at a time does not repeat (leave --cpus out)";
        return Err(BootError::Conflict(both, why.to_owned()));
    }
    hal::seed::plant(seed).map_err(|error| BootError::host("--seed", &error))?;
    Ok(1)
}

/// What `--fault` asks for, from the start of the first program on.
fn plan_faults(config: &Config) -> Result<(), BootError> {
    let mut faults = config.faults.iter().cloned();
    let Some(first) = faults.next() else { return Ok(()) };
    let rules = faults.try_fold(first, Rules::and);
    rules.map(fault::plan).map_err(|why| BootError::Conflict("--fault".to_owned(), why))
}

/// The file tree: the host's, or that below `--root`, under a layer in memory, with what `--bind` adds.
fn mount_root(config: &Config, memory: &Arc<PhysicalMemory>) -> Result<Arc<Mount>, BootError> {
    let host_root = config.root.as_deref().unwrap_or(HostPath::new("/"));
    let refused = |errno| BootError::Option(format!("--root {}", host_root.display()), errno);
    let lower =
        HostNode::open(host_root).map_err(|error| refused(Errno::from_raw(error.errno())))?;
    let root = namespace::build(memory, lower).map_err(refused)?;
    for bind in &config.binds {
        let option = || format!("--bind {}:{}", bind.host.display(), bind.guest.display());
        namespace::bind(&root, memory, bind).map_err(|errno| BootError::Option(option(), errno))?;
    }
    Ok(root)
}

/// The file systems that show the kernel itself.
fn mount_views(kernel: &Arc<Kernel>) -> SysResult<()> {
    let proc = ProcFs::new(namespace::covered(&kernel.mounts.top(), b"proc"));
    proc.attach(kernel);
    namespace::mount_system(&kernel.mounts.top(), b"/proc", proc, "proc")?;
    let network = Arc::clone(&kernel.namespaces.net.inet);
    let sys =
        SysFs::new(kernel.cpus.count(), network, namespace::covered(&kernel.mounts.top(), b"sys"));
    namespace::mount_system(&kernel.mounts.top(), b"/sys", sys, "sysfs")
}

/// Who and where the first program is: as this process, but root has all capabilities that matter for files.
pub(crate) fn first_context(kernel: &Kernel, config: &Config) -> Result<FsContext, BootError> {
    let identity = host::process::identity();
    let root = Path::root_of(&kernel.mounts.top());
    let privileged = identity.euid == 0;
    let cred = Credentials {
        fsuid: identity.euid,
        fsgid: identity.egid,
        groups: identity.groups.iter().copied().collect(),
        caps: if privileged { Capabilities::FULL } else { Capabilities::empty() },
        namespace: UserNamespace::FIRST,
    };
    let cwd = root.clone();
    let mut fs = FsContext {
        root,
        cwd,
        umask: identity.umask,
        mounts: Arc::clone(&kernel.mounts),
        cred: Arc::new(cred),
        pid: 0,
    };
    match &config.cwd {
        Some(dir) => {
            let option = || format!("--cwd {}", dir.escape_ascii());
            change_dir(&mut fs, dir).map_err(|errno| BootError::Option(option(), errno))?;
        }
        None => {
            // A directory that the guest's tree does not have is no reason not to start.
            let dir = host::process::environment().cwd;
            let _ = dir.map(|dir| change_dir(&mut fs, &dir));
        }
    }
    Ok(fs)
}

pub(crate) fn change_dir(fs: &mut FsContext, dir: &[u8]) -> SysResult<()> {
    let place = ops::resolve(fs, None, dir, LookupFlags::FOLLOW)?;
    ops::change_dir(fs, place)
}

/// A stream of the host as an open file of the guest. A terminal is the guest's console, or another one beside it.
fn open_stream(kernel: &Kernel, fs: &FsContext, stream: HostStream) -> Arc<OpenFile> {
    if !stream.is_tty() {
        return HostStdio::open(stream);
    }
    let flags = stdio::status_flags(&stream);
    match kernel.terminals.adopt(stream) {
        Ok(slave) => {
            let is_console = slave.terminal().device() == tty::table::CONSOLE;
            let place = || ops::resolve(fs, None, b"/dev/console", LookupFlags::FOLLOW).ok();
            let place = if is_console { place() } else { None };
            if let Some(place) = &place {
                // It is the user's, as a login would have it; that it cannot be given is nobody's concern.
                let change = AttributeChange { uid: Some(fs.cred.fsuid), ..Default::default() };
                let _ = place.inode().set_attributes(&change);
            }
            OpenFile::from_file(slave, place, flags)
        }
        Err(stream) => HostStdio::open(stream),
    }
}

/// Descriptors 0, 1 and 2: those of this process, as far as it has them.
fn standard_files(kernel: &Kernel, fs: &FsContext) -> Arc<FdTable> {
    let files = FdTable::new();
    let streams = [host::stdio::stdin(), host::stdio::stdout(), host::stdio::stderr()];
    for (fd, stream) in (0..).zip(streams) {
        if let Ok(stream) = stream {
            // The table is empty, and 3 is its limit.
            let _ = files.insert(open_stream(kernel, fs, stream), false, fd, 3);
        }
    }
    files
}

/// All descriptors that this process was started with. A directory is the guest's own of that path, since a descriptor of it
/// is there to find files with; not so with `--root`, where the path would mean another.
fn inherited_files(
    kernel: &Kernel,
    fs: &FsContext,
    config: &Config,
    inherited: Vec<Inherited>,
) -> Arc<FdTable> {
    let files = FdTable::new();
    for Inherited { number, stream, same_as } in inherited {
        let shared = same_as.and_then(|lower| files.get(Fd(lower)).ok());
        let directory = || match stream.kind() {
            FileKind::Directory if config.root.is_none() => {
                let place = ops::resolve(fs, None, &stream.path().ok()?, LookupFlags::FOLLOW);
                Some(OpenFile::from_path(place.ok()?, raw::O_DIRECTORY))
            }
            _ => None,
        };
        let file = shared.or_else(directory).unwrap_or_else(|| open_stream(kernel, fs, stream));
        // The host has bounded the number already.
        let _ = files.replace(Fd(number), Descriptor { file, close_on_exec: false }, u64::MAX);
    }
    files
}

/// The limits that this process has.
pub(crate) fn host_limits() -> Limits {
    let mut limits = Limits::default();
    for number in raw::RLIMIT_CPU..=raw::RLIMIT_RTTIME {
        if let Ok((soft, hard)) = host::process::limit(number) {
            let _ = limits.set(number, crate::process::Limit { soft, hard }, true);
        }
    }
    limits
}

/// Where other commands reach a kernel that has a name, or is an init.
fn open_server(config: &Config) -> Result<Option<Server>, BootError> {
    let refused = |name: &str, error: host::HostError| match Errno::from_raw(error.errno()) {
        Errno::EADDRINUSE => {
            let why = "another kernel has that name (libos ps shows it)";
            BootError::Conflict(format!("--name {name}"), why.to_owned())
        }
        errno => BootError::Option(format!("--name {name}"), errno),
    };
    match &config.name {
        Some(name) => Server::listen(name).map(Some).map_err(|error| refused(name, error)),
        None if config.init => {
            let name = host::process::identity().pid.to_string();
            let warn = |error: &host::HostError| log::warn!("libos exec will not work: {error}");
            Ok(Server::listen(&name).inspect_err(warn).ok())
        }
        None => Ok(None),
    }
}

/// The port of `--gdb`.
fn open_debugger(config: &Config) -> Result<Option<Arc<Debugger>>, BootError> {
    let Some(port) = config.gdb else { return Ok(None) };
    let refused = |error: host::HostError| {
        BootError::Option(format!("--gdb {port}"), Errno::from_raw(error.errno()))
    };
    Debugger::listen(port).map(|debugger| Some(Arc::new(debugger))).map_err(refused)
}

/// What `--trace` writes, of `cpus` CPUs.
fn open_trace(config: &Config, cpus: usize) -> Result<Option<Trace>, BootError> {
    let Some(path) = &config.trace else { return Ok(None) };
    let option = || format!("--trace {}", path.display());
    let refused =
        |error: host::HostError| BootError::Option(option(), Errno::from_raw(error.errno()));
    Trace::create(path, cpus).map(Some).map_err(refused)
}

/// Where `--strace` goes.
fn open_strace(config: &Config) -> Result<Option<strace::Log>, BootError> {
    let stream = match &config.strace {
        None => return Ok(None),
        Some(Strace::Stderr) => host::stdio::stderr(),
        Some(Strace::File(path)) => HostStream::create(path),
    };
    let option = || match &config.strace {
        Some(Strace::File(path)) => format!("--strace={}", path.display()),
        _ => "--strace".to_owned(),
    };
    let stream =
        stream.map_err(|error| BootError::Option(option(), Errno::from_raw(error.errno())))?;
    Ok(Some(strace::Log::new(move |line| {
        let _ = stream.write_all(line);
    })))
}

/// Why the first program did not start.
#[derive(Debug)]
pub enum BootError {
    /// The host refuses what a kernel needs; the text says what.
    Host(String),
    /// An option's value cannot be used: the option with its value, and what is wrong.
    Option(String, Errno),
    /// Options that do not go together: them, and why.
    Conflict(String, String),
    /// The program cannot be loaded: its name, and why.
    Program(Vec<u8>, LoadError),
}

impl BootError {
    fn host(what: &str, error: &dyn fmt::Display) -> Self {
        Self::Host(format!("the host is not fit: {what}: {error}"))
    }

    /// The exit status of the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Host(_) => 126,
            Self::Option(..) | Self::Conflict(..) => 2,
            Self::Program(_, error) => error.exit_code(),
        }
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(what) => f.write_str(what),
            Self::Option(option, Errno::ENOENT) => {
                write!(f, "{option}: No such file or directory (make it, or name another)")
            }
            Self::Option(option, Errno::ENOTDIR) => {
                write!(f, "{option}: Not a directory (name one)")
            }
            Self::Conflict(options, why) => write!(f, "{options}: {why}"),
            Self::Option(option, errno) => write!(f, "{option}: cannot be used: {errno}"),
            Self::Program(name, error) => write!(f, "{}: {error}", name.escape_ascii()),
        }
    }
}

impl std::error::Error for BootError {}
