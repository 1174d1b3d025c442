//! Starting programs: the first one, and execve(2).
//!
//! The one idea: a program is loaded into new memory beside the old, so that a failure changes nothing; only then does the thread
//! take over what was loaded.

use std::{
    ops::Range,
    sync::{Arc, Weak, atomic::Ordering},
};

use hal::{aspace::Prot, context::UserContext};

use super::{
    Current, FdTable, FsState, Ids, Limits, Process, Resource, Thread, ThreadAttributes,
    ThreadParts, work,
};
use crate::{
    errno::{Errno, SysResult},
    kernel::Kernel,
    loader::{
        self, LoadError, OpenError, ProgramFile,
        image::{Purpose, Target},
        stack,
    },
    memory::{Backing, Image, MapRequest, Placement, UserMemory},
    signal::{ProcessSignals, SigSet, ThreadSignals},
    vfs::{Access, FileType, FsContext, IoDst, LookupFlags, OpenFile, ops},
};

impl loader::Files for FsContext {
    type File = Arc<OpenFile>;

    fn open(&self, path: &[u8]) -> Result<Self::File, OpenError> {
        let place = ops::resolve(self, None, path, LookupFlags::FOLLOW).map_err(OpenError::Path)?;
        let metadata = place.inode().metadata().map_err(OpenError::Path)?;
        match metadata.kind {
            FileType::Regular => {}
            FileType::Directory => return Err(OpenError::Directory),
            _ => return Err(OpenError::NotRegular),
        }
        let nobody_may = metadata.mode & 0o111 == 0;
        if nobody_may || self.cred.check(&metadata, Access::EXEC).is_err() {
            return Err(OpenError::NotExecutable);
        }
        Ok(OpenFile::from_path(place, 0))
    }
}

impl ProgramFile for Arc<OpenFile> {
    fn len(&self) -> SysResult<u64> {
        self.metadata().map(|metadata| metadata.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> SysResult<usize> {
        OpenFile::read_at(self, offset, &mut IoDst::kernel(buf))
    }
}

impl Target for UserMemory {
    type File = Arc<OpenFile>;

    fn window(&self) -> Range<u64> {
        self.address_space().window()
    }

    fn claim(&self, range: Range<u64>) -> SysResult<()> {
        self.address_space().claim(range).map_err(|_| Errno::ENOMEM)
    }

    fn find_free(&self, len: u64, align: u64) -> SysResult<u64> {
        UserMemory::find_free(self, len, align)
    }

    fn map_file(
        &self,
        pages: Range<u64>,
        file: &Self::File,
        offset: u64,
        prot: Prot,
    ) -> SysResult<()> {
        let backing = Backing::File { file: Arc::clone(file), offset };
        self.map_fixed(pages, prot, backing, true)
    }

    fn map_zero(&self, pages: Range<u64>, prot: Prot, purpose: Purpose) -> SysResult<()> {
        self.map_fixed(pages, prot, Backing::Anonymous, purpose != Purpose::StackGuard)
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> SysResult<()> {
        self.write_bytes(addr, bytes)
    }

    fn zero(&self, range: Range<u64>) -> SysResult<()> {
        self.with_faults(|space| space.zero(range.start, range.end - range.start))
    }
}

impl UserMemory {
    fn map_fixed(
        &self,
        pages: Range<u64>,
        prot: Prot,
        backing: Backing,
        reserve: bool,
    ) -> SysResult<()> {
        let request = MapRequest {
            placement: Placement::Replace(pages.start),
            len: pages.end - pages.start,
            prot,
            shared: false,
            backing,
            populate: false,
            reserve,
        };
        self.map(request).map(drop)
    }
}

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
}

fn load(
    kernel: &Kernel,
    fs: &FsContext,
    ids: &Ids,
    stack_limit: u64,
    command: Command,
) -> Result<Started, LoadError> {
    let memory = UserMemory::new(&kernel.memory).map_err(LoadError::System)?;
    let mut random = [0; 16];
    hal::random::fill(&mut random);
    let request = loader::Request {
        path: command.path,
        args: command.args,
        env: command.env,
        ids: stack::Ids {
            uid: ids.users[0],
            euid: ids.users[1],
            gid: ids.groups[0],
            egid: ids.groups[1],
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
    let loaded = loader::load(fs, &*memory, request)?;
    let executable = match loaded.exe.path() {
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
    memory.set_image(image, loaded.brk_start);
    let mut context = UserContext::new();
    context.regs_mut().rip = loaded.entry;
    context.regs_mut().rsp = loaded.stack_pointer;
    Ok(Started { memory, context, name: loaded.name })
}

impl Kernel {
    /// Starts `command` as the first process, or as another one beside it without a parent, with `files` as its descriptors.
    pub fn start(
        self: &Arc<Self>,
        command: Command,
        fs: FsContext,
        files: Arc<FdTable>,
        limits: Limits,
    ) -> Result<Arc<Process>, LoadError> {
        let ids = Ids::of(&fs.cred);
        let started = load(self, &fs, &ids, limits.get(Resource::Stack).soft, command)?;
        let pid = self.pids.allocate().map_err(LoadError::System)?;
        let process =
            Process::new(Arc::clone(self), pid, Weak::new(), ProcessSignals::new(), ids, limits);
        let parts = ThreadParts {
            process: Arc::clone(&process),
            memory: started.memory,
            files,
            fs: Arc::new(FsState::new(FsContext { pid: process.pid, ..fs })),
            signals: ThreadSignals::new(SigSet::EMPTY),
            cpu_time: Arc::default(),
            name: started.name,
            attributes: ThreadAttributes::new(self.online_cpus()),
        };
        let thread = Thread::new(pid, parts, started.context.kicker());
        process.adopt(&thread);
        self.pids.register_thread(&thread);
        self.pids.register_process(&process);
        self.cpus.spawn(Current::new(thread, started.context).run()).detach();
        Ok(process)
    }
}

impl Current {
    /// Replaces the program of the calling process, execve(2). On success the registers are those of the new one.
    pub(crate) async fn execute(&mut self, command: Command) -> SysResult<()> {
        let old = Arc::clone(&self.thread);
        let process = &old.process;
        let started = {
            let fs = old.fs.read().clone();
            let ids = process.ids.lock().clone();
            let stack_limit = process.limit(Resource::Stack);
            load(&process.kernel, &fs, &ids, stack_limit, command).map_err(|error| error.errno())?
        };
        // From here on there is no way back: the other threads end, and the caller becomes the first.
        process.leave_alone(&old).await?;
        drop(old.files.remove_close_on_exec());
        process.signals.reset_for_exec();
        process.timers.clear_posix();
        process.attributes.lock().dumpable = true;
        process.ids.lock().keep_capabilities = false;
        crate::futex::exit_robust_list(&old);
        old.signals.reset_for_exec();
        let signals = old.signals.for_clone(false);
        let parts = ThreadParts {
            process: Arc::clone(process),
            memory: started.memory,
            files: Arc::clone(&old.files),
            fs: Arc::clone(&old.fs),
            signals,
            cpu_time: Arc::clone(&old.cpu_time),
            name: started.name,
            attributes: old.attributes.lock().clone(),
        };
        let thread = Thread::new(process.pid, parts, started.context.kicker());
        thread.inherit_waker(&old);
        thread.favour();
        process.replace_threads(&thread);
        process.kernel.pids.register_thread(&thread);
        old.clear_child_tid.store(0, Ordering::Relaxed);
        self.context = started.context;
        self.thread = thread;
        Ok(())
    }
}

impl Process {
    /// Ends all threads but `survivor` and waits until they have left; `EINTR` when the process is exiting or another thread does the same.
    async fn leave_alone(&self, survivor: &Arc<Thread>) -> SysResult<()> {
        loop {
            let mut left = self.ended.wait();
            left.arm();
            let others: Vec<_> = self
                .threads()
                .into_iter()
                .filter(|thread| !Arc::ptr_eq(thread, survivor))
                .collect();
            if others.is_empty() && self.thread_count() == 1 {
                return Ok(());
            }
            for thread in others {
                thread.notify(work::EXIT);
            }
            survivor.interruptible(left).await.map_err(|_| Errno::EINTR)?;
        }
    }

    /// Makes `thread` the only one.
    fn replace_threads(&self, thread: &Arc<Thread>) {
        let mut threads = self.threads.lock();
        for tid in threads.keys().filter(|&&tid| tid != thread.tid) {
            self.kernel.pids.release(*tid);
        }
        threads.clear();
        threads.insert(thread.tid, Arc::downgrade(thread));
        *self.memory.lock() = Some(Arc::clone(&thread.memory));
    }
}
