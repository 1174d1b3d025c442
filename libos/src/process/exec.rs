//! Starting programs: the first one, and execve(2).
//!
//! The one idea: a program is loaded into new memory beside the old, so that a failure changes nothing; only then does the thread
//! take over what was loaded.
//!
//! The objects stay: execve(2) gives the process another root VMAR and the calling thread another [`Thread`] around its object.
//! What Linux keeps over it is then kept by itself: who waits for the process's end or holds a handle or a pidfd to it, its job, its running
//! time. An object for each program would have an end of its own, which nobody may see.

use std::sync::{Arc, atomic::Ordering};

use hal::context::UserContext;
use kernel_objects::{KernelObject, Signals};

use super::{
    Birth, Current, FdTable, FsState, Ids, Limits, Process, Resource, Share, Thread,
    ThreadAttributes, ThreadParts,
    program::{OnCold, Programs},
};
use crate::{
    config::Isolation,
    errno::{Errno, SysResult},
    gdb::Debugger,
    kernel::Kernel,
    loader::{self, LoadError, stack},
    memory::{Image, UserMemory},
    signal::{ProcessSignals, SigSet, ThreadSignals},
    tty::Terminal,
    vfs::{FsContext, Path},
};

/// The number of execve(2), which a tracer sees when a program is executed.
const EXECVE: u64 = 59;

/// A program in memory, with the registers to start it.
struct Started {
    memory: Arc<UserMemory>,
    context: UserContext,
    name: Vec<u8>,
}

/// What a program is given.
pub struct Command {
    /// Its path.
    pub path: Vec<u8>,
    /// Its arguments, `argv[0]` first.
    pub args: Vec<Vec<u8>>,
    /// Its environment.
    pub env: Vec<Vec<u8>>,
    /// The program itself, if the path is only how it can be reached.
    pub found: Option<ByDescriptor>,
}

/// A program that execveat(2) has found from a descriptor.
pub struct ByDescriptor {
    /// The program.
    pub place: Path,
    /// Its path, by way of the descriptor, leads to it still when it runs.
    pub reachable: bool,
    /// The descriptor is of the program itself, so its path has no name for it.
    pub unnamed: bool,
}

/// What a process has that the kernel starts, beside its program.
pub struct Surroundings {
    /// Who and where it is.
    pub fs: FsContext,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Its limits.
    pub limits: Limits,
    /// The terminal that controls it, with it in the foreground.
    pub terminal: Option<Arc<Terminal>>,
    /// Who wants to debug it from its first instruction on.
    pub(crate) debugger: Option<Arc<Debugger>>,
}

fn load(
    kernel: &Kernel,
    isolation: Isolation,
    fs: &FsContext,
    ids: &Ids,
    stack_limit: u64,
    command: &Command,
    on_cold: OnCold,
) -> Result<Started, LoadError> {
    let placed = |isolation| UserMemory::new(&kernel.memory, isolation);
    let mut memory = placed(isolation).map_err(LoadError::System)?;
    let mut random = [0; 16];
    hal::random::fill(&mut random);
    let request = loader::Request {
        path: command.path.clone(),
        args: command.args.clone(),
        env: command.env.clone(),
        ids: stack::Ids {
            uid: ids.namespace.shown_user(ids.users[0]),
            euid: ids.namespace.shown_user(ids.users[1]),
            gid: ids.namespace.shown_group(ids.groups[0]),
            egid: ids.namespace.shown_group(ids.groups[1]),
            secure: ids.users[0] != ids.users[1] || ids.groups[0] != ids.groups[1],
        },
        stack_limit,
        random,
        machine: stack::Machine {
            hwcap: hal::host::system::hwcap(),
            hwcap2: hal::host::system::hwcap2(),
            min_signal_stack: hal::host::system::min_signal_stack(),
        },
    };
    let found = command.found.as_ref().map(|found| (&*request.path, found));
    let programs = Programs::new(fs, found, on_cold);
    let loaded = match loader::load(&programs, &*memory, &request) {
        Err(_) if memory.has_clashed() && isolation == Isolation::Auto => {
            // Where it has all addresses for itself, then.
            memory = placed(Isolation::Always).map_err(LoadError::System)?;
            loader::load(&programs, &*memory, &request)
        }
        loaded => loaded,
    };
    if !loaded.as_ref().is_err_and(|error| on_cold.gives_up(error)) {
        programs.announce();
    }
    let mut loaded = loaded?;
    if let Some(ByDescriptor { place, unnamed: true, .. }) = &command.found {
        let path = place.to_bytes(&fs.root);
        loaded.name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
    }
    let executable = match loaded.exe.file.path() {
        Some(path) => path.to_bytes(&fs.root),
        None => loaded.exe_path,
    };
    let image = Image {
        executable,
        arguments: loaded.args,
        environment: loaded.env,
        auxv: loaded.auxv,
        stack: loaded.stack,
    };
    memory.set_image(image, loaded.exe.file, loaded.brk_start);
    let mut context = UserContext::new();
    context.regs_mut().rip = loaded.entry;
    context.regs_mut().rsp = loaded.stack_pointer;
    Ok(Started { memory, context, name: loaded.name })
}

impl Kernel {
    /// Starts `command` as the first process or as another one beside it, without a parent but init.
    pub fn start(
        self: &Arc<Self>,
        command: Command,
        surroundings: Surroundings,
    ) -> Result<Arc<Process>, LoadError> {
        let Surroundings { fs, files, limits, terminal, debugger } = surroundings;
        let ids = Ids::of(&fs.cred);
        let stack_limit = limits.get(Resource::Stack).soft;
        let started = load(self, self.isolation, &fs, &ids, stack_limit, &command, OnCold::Wait)?;
        let numbers = &self.namespaces.pid;
        let pid = self.pids.allocate(numbers).map_err(LoadError::System)?;
        let (signals, numbers) = (ProcessSignals::new(), Arc::clone(numbers));
        let process = Process::new(Arc::clone(self), pid, numbers, signals, ids, limits);
        let thread = process.and_then(|process| {
            let parts = ThreadParts {
                process,
                memory: started.memory,
                files,
                fs: Arc::new(FsState::new(FsContext { pid, ..fs })),
                namespaces: self.namespaces.clone(),
                signals: ThreadSignals::new(SigSet::EMPTY),
                attributes: ThreadAttributes::new(self.online_cpus()),
            };
            Thread::create(pid, parts, &started.name, started.context.kicker())
        });
        let thread = thread.inspect_err(|_| self.pids.release(pid)).map_err(LoadError::System)?;
        let process = Arc::clone(&thread.process);
        process.enter_memory(&thread.memory);
        process.object.set_name_bytes(&started.name);
        process.executed.store(true, Ordering::Relaxed);
        self.pids.register_thread(&thread);
        self.pids.register_process(&process, &Birth::FIRST).map_err(LoadError::System)?;
        if let Some(terminal) = terminal {
            process.begin_with_terminal(terminal);
        }
        if let Some(debugger) = debugger {
            debugger.hold(&thread);
        }
        let run = Current::start(thread, started.context)
            .inspect_err(|_| self.pids.forget_process(&process))
            .map_err(LoadError::System)?;
        self.cpus.spawn(run).detach();
        Ok(process)
    }
}

impl Current {
    /// Replaces the program of the calling process, execve(2). On success the registers are those of the new one.
    pub(crate) async fn execute(&mut self, command: Command) -> SysResult<()> {
        let old = Arc::clone(&self.thread);
        let process = &old.process;
        let kernel = Arc::clone(&process.kernel);
        let fs = old.fs.read().clone();
        let ids = process.ids.lock().clone();
        let stack_limit = process.limit(Resource::Stack);
        let isolation = old.isolation_of_program();
        let load =
            move |on_cold| load(&kernel, isolation, &fs, &ids, stack_limit, &command, on_cold);
        let mut loaded = load(OnCold::GiveUp);
        if loaded.as_ref().is_err_and(|error| OnCold::GiveUp.gives_up(error)) {
            loaded = old.off_cpu(move || load(OnCold::Wait)).await;
        }
        let started = loaded.map_err(|error| error.errno())?;
        // From here on there is no way back: the other threads end, and the caller becomes the first.
        old.become_sole().await?;
        process.operations.end();
        let files = match old.files.is_shared() {
            true => old.files.duplicate(),
            false => Arc::clone(Share::get(&old.files)),
        };
        for descriptor in files.remove_close_on_exec() {
            process.kernel.locks.closed_by(&descriptor.file, process.pid);
        }
        process.signals.reset_for_exec();
        process.timers.clear_posix();
        process.executed.store(true, Ordering::Relaxed);
        process.attributes.lock().dumpable = true;
        old.privileges_of_program();
        process.renew_in_family(old.tid);
        process.membarrier.store(false, Ordering::Relaxed);
        old.leave_memory();
        let parts = ThreadParts {
            process: Arc::clone(process),
            memory: started.memory,
            files,
            fs: Arc::clone(Share::get(&old.fs)),
            namespaces: old.namespaces.read().clone(),
            signals: old.signals.for_exec(),
            attributes: old.attributes.lock().clone(),
        };
        let kicker = started.context.kicker();
        let charge = process.kernel.memory.no_charge();
        let thread = Thread::around(Arc::clone(&old.object), process.pid, parts, kicker, charge);
        thread.favour();
        thread.inherit_traces(&old);
        old.files.detach();
        process.enter_memory(&thread.memory);
        process.object.set_name_bytes(&started.name);
        thread.set_name(&started.name);
        if old.tid != thread.tid {
            process.kernel.pids.release(old.tid);
        }
        process.kernel.pids.register_thread(&thread);
        self.context = started.context;
        self.thread = thread;
        if self.thread.tracee().is_some() {
            Box::pin(self.tell_exec(&old, EXECVE)).await;
        }
        Ok(())
    }
}

impl Thread {
    /// Changes capabilities and ids to what a program gets.
    fn privileges_of_program(&self) {
        let (bounding, no_new_privs) = {
            let attributes = self.attributes.lock();
            (attributes.bounding, attributes.no_new_privs)
        };
        let mut fs = self.fs.write();
        self.process.ids.lock().execute(bounding, no_new_privs, Arc::make_mut(&mut fs.cred));
    }

    /// Ends all other threads of the process and waits until they have left. `EINTR` when another thread does the same, or the
    /// process is ending.
    async fn become_sole(&self) -> SysResult<()> {
        loop {
            let process = &self.process.object;
            let others = process.kill_others(&self.object).map_err(|_| Errno::EINTR)?;
            if others.is_empty() {
                return Ok(());
            }
            for other in others {
                // It fails for handles only.
                let _ = other.wait_one(Signals::TASK_TERMINATED).await;
            }
        }
    }
}

impl Process {
    /// Makes `memory` what the process is seen to have.
    pub(super) fn enter_memory(self: &Arc<Self>, memory: &UserMemory) {
        // A process that has ended needs none.
        let _ = self.object.set_root_vmar(Arc::clone(memory.vmar()));
        self.watch_host(memory);
    }
}
