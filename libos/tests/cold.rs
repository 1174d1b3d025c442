//! What has to wait for a disk waits off the CPUs: on one CPU, a thread that uses a file whose bytes do not come leaves turns to
//! the thread that makes them come.
//!
//! The disk is a file system of the test's own. Its slow file is fetched only when the other file is written to, which in turn
//! waits (as `EAGAIN`, for it may not block) for somebody to fetch.

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicBool, Ordering},
};

use hal::pmem::PhysicalMemory;
use kernel_objects::{
    Vmo, WaitQueue,
    vmo::{PageSink, PageSource},
};
use libos::{
    boot,
    config::Config,
    errno::{Errno, SysResult},
    process::ExitStatus,
    vfs::{
        DeviceNumber, File, FileSystem, FileType, Inode, IoDst, IoSrc, Metadata, MountFlags,
        PollEvents, StatFs, namespace,
    },
};
use tests::guests::{self, Build};

const SIZE: usize = 4096;

/// The disk: who waits for it, and whether it has answered.
struct Disk {
    /// What page caches are made of.
    memory: Arc<PhysicalMemory>,
    state: Mutex<(bool, bool)>,
    changed: Condvar,
    answered: AtomicBool,
    waited_for: WaitQueue,
}

impl Disk {
    /// What a read of the disk does: blocks its thread until the bell rings.
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.waited_for.notify_all_for(PollEvents::all().bits());
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
        self.answered.store(true, Ordering::Release);
    }

    fn ring(&self) -> SysResult<()> {
        let mut state = self.state.lock().unwrap();
        if !state.0 {
            return Err(Errno::EAGAIN);
        }
        state.1 = true;
        self.changed.notify_all();
        Ok(())
    }

    fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }
}

enum Node {
    Root(Arc<Disk>),
    Slow(Arc<Disk>),
    Bell(Arc<Disk>),
}

impl Inode for Node {
    fn kind(&self) -> FileType {
        match self {
            Node::Root(_) => FileType::Directory,
            Node::Slow(_) | Node::Bell(_) => FileType::Regular,
        }
    }

    fn metadata(&self) -> SysResult<Metadata> {
        Ok(Metadata {
            dev: DeviceNumber::new(0, 99),
            ino: 1,
            kind: self.kind(),
            mode: 0o777,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: DeviceNumber(0),
            size: SIZE as u64,
            block_size: 4096,
            blocks: 8,
            atime: Default::default(),
            mtime: Default::default(),
            ctime: Default::default(),
            btime: None,
        })
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        let Node::Root(disk) = self else { return Err(Errno::ENOTDIR) };
        match name {
            b"slow" => Ok(Arc::new(Node::Slow(disk.clone()))),
            b"bell" => Ok(Arc::new(Node::Bell(disk.clone()))),
            _ => Err(Errno::ENOENT),
        }
    }

    fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let Node::Slow(disk) = self else { return Err(Errno::EINVAL) };
        let left = SIZE.saturating_sub(offset as usize);
        let ready = if disk.has_answered() { left } else { 0 };
        let len = dst.limit_to_ready(ready, left)?;
        if len > ready {
            disk.wait();
        }
        dst.write(&[b's'; SIZE][..len])
    }

    fn fetch(&self, _offset: u64, _len: u64) -> SysResult<()> {
        let Node::Slow(disk) = self else { return Err(Errno::EINVAL) };
        disk.wait();
        Ok(())
    }

    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        let Node::Slow(disk) = self else { return Err(Errno::ENODEV) };
        let pages = Arc::new(Pages(disk.clone()));
        Vmo::create_with_source(&disk.memory, SIZE as u64, pages).map_err(|_| Errno::ENOMEM)
    }

    fn open(&self, _flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        match self {
            Node::Bell(disk) => Ok(Some(Arc::new(Bell(disk.clone())))),
            _ => Ok(None),
        }
    }
}

struct Pages(Arc<Disk>);

impl PageSource for Pages {
    fn fill(&self, offset: u64, _: u64, sink: &mut PageSink<'_>) -> kernel_objects::Result<()> {
        self.0.wait();
        sink.write(offset, &[b's'; SIZE]);
        Ok(())
    }
}

struct Bell(Arc<Disk>);

impl File for Bell {
    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.0.ring()?;
        Ok(src.skip(src.remaining()))
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.waited_for)
    }
}

struct Cold(Arc<Disk>);

impl FileSystem for Cold {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Node::Root(self.0.clone()))
    }

    fn type_name(&self) -> &'static str {
        "cold"
    }

    fn statfs(&self) -> SysResult<StatFs> {
        Ok(StatFs::default())
    }

    fn device(&self) -> DeviceNumber {
        DeviceNumber::new(0, 99)
    }
}

#[test]
fn a_thread_that_waits_for_a_disk_leaves_the_only_cpu_to_others() {
    let program = guests::build("cold.c", Build::C, &[]).unwrap();
    let program = program.into_os_string().into_encoded_bytes();
    for how in ["read", "map", "send", "exec"] {
        let config = Config { cpus: Some(1), ..Config::default() };
        let kernel = boot::start(&config).unwrap();
        let cold = Arc::new(Cold(Arc::new(Disk {
            memory: kernel.memory.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
            answered: AtomicBool::new(false),
            waited_for: WaitQueue::new(),
        })));
        namespace::mount_with(&kernel.mounts.top(), b"/cold", cold, MountFlags::RELATIME, "cold")
            .unwrap();
        let config = Config {
            program: program.clone(),
            args: vec![program.clone(), how.as_bytes().to_vec()],
            cwd: Some(b"/".to_vec()),
            ..Config::default()
        };
        let process = boot::launch(&kernel, &config).unwrap();
        let status = kernel.cpus.block_on(process.wait_ended());
        assert_eq!(status, ExitStatus::Exited(0), "{how}");
    }
}
