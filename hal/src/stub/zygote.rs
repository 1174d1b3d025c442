//! The zygote: a process with nothing in it, from which stubs are cloned.
//!
//! It is a program of its own, a few hundred bytes long, so that it costs the same however large the kernel has grown; and it is a stub
//! itself as far as the kernel has to do with it: it waits for commands, and a clone is one. A keeper thread starts it, is
//! the parent of it and of all its clones, and tells who has died. When that is the zygote itself, which the host may kill as any other process, the
//! next clone is of a new one.
//!
//! A few clones are made before anybody asks for them, by a thread of their own.

use std::{
    collections::HashMap,
    ffi::CString,
    fs::File,
    io::{self, Write},
    mem,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
    sync::{Arc, LazyLock, Weak, mpsc},
    thread,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use parking_lot::Mutex;

use super::{
    Lost, Stub, code, filter, image,
    layout::{CODE, CONTROL, Command, OWN, REGION},
    region::Region,
};
use crate::pmem::GUEST_END;

/// Stubs that are there before they are needed.
const POOL: usize = 3;
/// How often a stub is tried to be made that does not come to be.
const TRIES: usize = 16;
/// Regions that the control file has room for: as many as there can be processes.
const REGIONS: u64 = 1 << 15;
/// End of what user mode can have mapped.
/// The descriptors that a stub has: [`super::MEMORY_FD`], and that of the control file, which its code names.
const CONTROL_FD: RawFd = 4;
/// Bytes of the stack of a process that is about to become a zygote.
const LAUNCH_STACK: usize = 64 << 10;

/// Who has which process id, for the keepers.
static STUBS: LazyLock<Mutex<Census>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Census {
    /// Each with what it has of the control file, which nobody else may have before it is gone.
    alive: HashMap<libc::pid_t, (Weak<Stub>, Lease)>,
    /// Those that died before anybody heard of them, with their status.
    early: Vec<(libc::pid_t, i32)>,
}

/// A region of the control file, given back with the last of those who use it: the kernel's side, and the process.
pub(super) type Lease = Arc<Leased>;

#[derive(Debug)]
pub(super) struct Leased {
    zygote: Weak<Zygote>,
    index: u64,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(zygote) = self.zygote.upgrade() {
            zygote.regions.lock().free.push(self.index);
        }
    }
}

/// Where the stubs of one physical memory come from.
#[derive(Debug)]
pub(crate) struct Zygote {
    memory: OwnedFd,
    control: Arc<File>,
    /// Itself, as a stub. One clone at a time.
    stub: Mutex<Arc<Stub>>,
    regions: Mutex<Regions>,
    /// Stubs that nobody has yet.
    pool: Mutex<Vec<Arc<Stub>>>,
    /// Asks for more of them.
    ask: mpsc::SyncSender<()>,
}

#[derive(Debug, Default)]
struct Regions {
    next: u64,
    free: Vec<u64>,
}

impl Zygote {
    /// Starts one for the memory behind `memory`.
    ///
    /// # Errors
    /// When the host has no process, memory or seccomp for it.
    pub(crate) fn start(memory: BorrowedFd<'_>) -> io::Result<Arc<Self>> {
        super::check_host()?;
        let control = File::from(memfd_create("libos-control", MFdFlags::MFD_CLOEXEC)?);
        control.set_len(REGION * REGIONS)?;
        let control = Arc::new(control);
        let memory = memory.try_clone_to_owned()?;
        let stub = hatch(&memory, &control).or_else(|_| hatch(&memory, &control))?;
        let (ask, asked) = mpsc::sync_channel(1);
        let zygote = Arc::new(Self {
            memory,
            control,
            stub: Mutex::new(stub),
            regions: Mutex::new(Regions { next: 1, free: Vec::new() }),
            pool: Mutex::default(),
            ask,
        });
        let weak = Arc::downgrade(&zygote);
        let make = move || {
            while asked.recv().is_ok() {
                if let Some(zygote) = weak.upgrade() {
                    zygote.fill_pool();
                }
            }
        };
        thread::Builder::new().name("stub-maker".into()).spawn(make)?;
        Ok(zygote)
    }

    /// Makes stubs until there are enough of them, or no more can be made.
    fn fill_pool(self: &Arc<Self>) {
        while self.pool.lock().len() < POOL {
            let Ok(stub) = self.make() else { return };
            self.pool.lock().push(stub);
        }
    }

    /// A stub with an empty address space, nothing of which runs.
    ///
    /// # Errors
    /// [`Lost`] when the host has no more processes or memory.
    pub(crate) fn spawn(self: &Arc<Self>) -> Result<Arc<Stub>, Lost> {
        let ready = self.pool.lock().pop().filter(|stub| !stub.is_dead());
        // If that was asked already, it is well.
        let _ = self.ask.try_send(());
        // One that somebody kills at once is no reason to have none, and neither is a zygote that somebody kills.
        ready.or_else(|| (0..TRIES).find_map(|_| self.make().ok())).ok_or(Lost)
    }

    fn make(self: &Arc<Self>) -> Result<Arc<Stub>, Lost> {
        let lease = self.lease()?;
        let offset = lease.index * REGION;
        let region = Region::new(&self.control, offset).map_err(|_| Lost)?;
        super::prepare(&region);
        let flags = libc::CLONE_PARENT as u64;
        let clone = Command::new(libc::SYS_clone, [flags, 0, 0, 0, 0, offset]);
        let mut zygote = self.stub.lock();
        if zygote.is_dead() {
            *zygote = hatch(&self.memory, &self.control).map_err(|error| {
                log::warn!("there is no new zygote: {error}");
                Lost
            })?;
        }
        let Ok(pid) = zygote.execute(&[clone]) else {
            // There may be a clone that nobody knows, so nobody else may have its region. It waits there until the kernel ends.
            mem::forget(lease);
            return Err(Lost);
        };
        drop(zygote);
        let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| pid > 0).ok_or(Lost)?;
        let stub = Arc::new(Stub::new(pid, region, lease));
        register(pid, &stub);
        stub.await_leader()?;
        // Its first thread.
        drop(stub.take_seat()?);
        Ok(stub)
    }

    /// A region that nobody has.
    fn lease(self: &Arc<Self>) -> Result<Lease, Lost> {
        let mut regions = self.regions.lock();
        let index = match regions.free.pop() {
            Some(index) => index,
            None if regions.next < REGIONS => {
                regions.next += 1;
                regions.next - 1
            }
            None => return Err(Lost),
        };
        Ok(Arc::new(Leased { zygote: Arc::downgrade(self), index }))
    }
}

/// Starts a zygote for the memory behind `memory`, with the first region of `control`, which no other may have meanwhile.
fn hatch(memory: &OwnedFd, control: &Arc<File>) -> io::Result<Arc<Stub>> {
    let mut program = File::from(memfd_create("libos-stub", MFdFlags::MFD_CLOEXEC)?);
    program.write_all(&image::image())?;
    let region = Region::new(control, 0)?;
    super::prepare(&region);
    let pid = keep(memory.try_clone()?, control.try_clone()?, program)?;
    let lease = Arc::new(Leased { zygote: Weak::new(), index: 0 });
    let stub = Arc::new(Stub::new(pid, region, lease));
    register(pid, &stub);
    stub.await_leader().map_err(|_| io::Error::other("a stub has died at once"))?;
    set_up(&stub).map_err(|_| io::Error::other("the host has no seccomp filters"))?;
    Ok(stub)
}

/// Makes a bare process a zygote: handlers, filter, and nothing else mapped.
fn set_up(stub: &Stub) -> Result<(), Lost> {
    let len = code::bytes().len() as u64;
    let scratch = stub.scratch();
    let mask = scratch.put(&0_u64.to_le_bytes());
    let mut commands = vec![
        Command::new(libc::SYS_setsid, [0; 6]),
        Command::new(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as u64, mask, 0, 8, 0, 0]),
    ];
    let name = scratch.put(b"libos-stub\0\0\0\0\0\0");
    commands.push(Command::new(libc::SYS_prctl, [libc::PR_SET_NAME as u64, name, 0, 0, 0, 0]));
    const SA_RESTORER: u64 = 0x0400_0000;
    let mut handle = |signal: i32, flags: i32| {
        let flags = (libc::SA_SIGINFO | libc::SA_ONSTACK | flags) as u64 | SA_RESTORER;
        let action = [CODE + code::handler(), flags, CODE + code::restorer(), 0];
        let action = scratch.put(&action.map(u64::to_le_bytes).concat());
        let args = [signal as u64, action, 0, 8, 0, 0];
        commands.push(Command::new(libc::SYS_rt_sigaction, args));
    };
    // The handler of a trap may not return. One of a kick may be interrupted by nothing but traps.
    super::TRAPS.into_iter().for_each(|signal| handle(signal, libc::SA_NODEFER));
    handle(super::KICK, 0);
    stub.execute(&commands)?;
    let filter = filter::of_process(len);
    let steps: Vec<u8> =
        filter.iter().flat_map(|step| filter::packed(step).to_le_bytes()).collect();
    let steps = scratch.put(&steps);
    let program = scratch.put(&[(filter.len() as u64).to_le_bytes(), steps.to_le_bytes()].concat());
    let end = CODE + len.next_multiple_of(4096);
    const SET_FILTER: u64 = 1;
    const SPEC_ALLOW: u64 = 4;
    stub.execute(&[
        Command::new(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0]),
        Command::new(libc::SYS_seccomp, [SET_FILTER, SPEC_ALLOW, program, 0, 0, 0]),
        Command::unmap(0, CODE),
        Command::unmap(end, CONTROL - end),
        Command::unmap(OWN.end, GUEST_END - OWN.end),
    ])?;
    Ok(())
}

fn register(pid: libc::pid_t, stub: &Arc<Stub>) {
    let mut census = STUBS.lock();
    if let Some(at) = census.early.iter().position(|&(dead, _)| dead == pid) {
        let (_, status) = census.early.swap_remove(at);
        stub.note_death(status);
        return;
    }
    census.alive.insert(pid, (Arc::downgrade(stub), stub.lease.clone()));
}

/// Starts a thread that starts the zygote, and waits for its children until it has none.
fn keep(memory: OwnedFd, control: File, program: File) -> io::Result<libc::pid_t> {
    let (tell, told) = mpsc::channel();
    let keeper = move || {
        let launched = launch(memory.as_raw_fd(), control.as_raw_fd(), program.as_raw_fd());
        drop((memory, control, program));
        let launched_well = launched.is_ok();
        let _ = tell.send(launched);
        if launched_well {
            reap();
        }
    };
    // libc clears the new thread's memory with registers that may be a guest's.
    crate::context::release_registers();
    thread::Builder::new().name("stub-keeper".into()).spawn(keeper)?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the keeper of stubs has died")))
}

/// Waits for the children of this thread: the zygote and its clones, which have the zygote's parent. Those of other threads are not touched.
fn reap() {
    loop {
        let mut status = 0;
        // SAFETY: writes the status.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if pid > 0 {
            let mut census = STUBS.lock();
            match census.alive.remove(&pid) {
                Some((stub, _lease)) => {
                    drop(census);
                    if let Some(stub) = stub.upgrade() {
                        stub.note_death(status);
                    }
                }
                None => census.early.push((pid, status)),
            }
        } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// What the child that becomes a zygote needs to know.
struct Launch {
    memory: RawFd,
    control: RawFd,
    program: RawFd,
    empty: CString,
}

/// Runs in the child, which shares the kernel's memory until it has another program.
extern "C" fn become_zygote(launch: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent waits (CLONE_VFORK), with `Launch` on its stack. Only host calls that are safe after fork(2) are made, and
    // the descriptors are the child's own copies.
    unsafe {
        let launch = &*launch.cast::<Launch>();
        let high = |fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 16);
        let (memory, control, program) =
            (high(launch.memory), high(launch.control), high(launch.program));
        if libc::dup2(memory, super::MEMORY_FD) < 0
            || libc::dup2(control, CONTROL_FD) < 0
            || libc::dup3(program, CONTROL_FD + 1, libc::O_CLOEXEC) < 0
        {
            return 1;
        }
        libc::syscall(libc::SYS_close_range, 0, 2, 0);
        libc::syscall(libc::SYS_close_range, CONTROL_FD + 2, u32::MAX, 0);
        let args: [*const libc::c_char; 2] = [launch.empty.as_ptr(), ptr::null()];
        libc::syscall(
            libc::SYS_execveat,
            CONTROL_FD + 1,
            launch.empty.as_ptr(),
            args.as_ptr(),
            args.as_ptr().add(1),
            libc::AT_EMPTY_PATH,
        );
    }
    1
}

fn launch(memory: RawFd, control: RawFd, program: RawFd) -> io::Result<libc::pid_t> {
    let mut stack = vec![0_u128; LAUNCH_STACK / 16];
    let mut launch = Launch { memory, control, program, empty: CString::default() };
    // The signals of a worker must not be handled by the child, which would act on the kernel's memory.
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut old = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the child runs on a stack of its own, which like `launch` outlives it: the parent goes on when it has another
    // program or has ended.
    let pid = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK;
        let pid = libc::clone(become_zygote, top, flags, (&raw mut launch).cast());
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        pid
    };
    drop(stack);
    Ok(pid)
}

impl Drop for Zygote {
    fn drop(&mut self) {
        self.pool.get_mut().clear();
        self.stub.get_mut().kill();
    }
}
