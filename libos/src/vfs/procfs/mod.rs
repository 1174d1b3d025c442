//! /proc: what programs ask about themselves, others and the machine (proc(5)).
//!
//! The one idea: every file is a function from the kernel's state to a text, called when the file is read. The file
//! system is made before the kernel that it tells about, and is [attached](ProcFs::attach) to it afterwards.

mod login;
mod machine;
mod maps;
mod memory;
mod namespaces;
mod net;
mod node;
mod oom;
mod process;
mod sysfs;
mod sysvipc;

use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};

use hal::host::HostNode;

pub use self::namespaces::NamespaceFile;
use self::node::{Directory, Node, Table, What};
pub(crate) use self::process::state_letter;
pub use self::sysfs::SysFs;
use super::inode::{FileSystem, Inode};
use super::metadata::{DeviceNumber, FileType, StatFs};
use super::tmpfs::anonymous_device;
use crate::errno::{Errno, SysResult};
use crate::kernel::Kernel;
use crate::process::{PidNamespace, Process, pid_namespace::Visible};

/// The magic number of statfs(2).
const PROC_MAGIC: u64 = 0x9fa0;

/// The kernel that the files tell about, and by what numbers.
#[derive(Clone, Default)]
struct Subject {
    kernel: Arc<OnceLock<Weak<Kernel>>>,
    /// The namespace that numbers processes; none is the kernel's first.
    numbers: Option<Arc<PidNamespace>>,
}

impl Subject {
    fn kernel(&self) -> SysResult<Arc<Kernel>> {
        self.kernel.get().and_then(Weak::upgrade).ok_or(Errno::ENOENT)
    }

    /// What a process is called that the kernel calls `pid`; 0 if it has no number here.
    fn shown(&self, pid: i32) -> i32 {
        self.numbers.as_ref().map_or(pid, |numbers| numbers.shown(pid))
    }

    fn numbers(&self, kernel: &Kernel) -> Arc<PidNamespace> {
        Arc::clone(self.numbers.as_ref().unwrap_or(&kernel.namespaces.pid))
    }
}

/// The file system of /proc.
pub struct ProcFs {
    subject: Subject,
    root: Arc<Node>,
    device: DeviceNumber,
}

impl ProcFs {
    /// One that tells nothing yet. Its root shows the attributes of the host directory `like`, which it covers.
    pub fn new(like: Option<Arc<HostNode>>) -> Arc<Self> {
        Self::around(Subject::default(), like)
    }

    /// One about the processes that have numbers in `numbers`.
    pub fn of_namespace(kernel: &Arc<Kernel>, numbers: &Arc<PidNamespace>) -> Arc<Self> {
        let numbers = Some(Arc::clone(numbers));
        let proc = Self::around(Subject { numbers, ..Subject::default() }, None);
        proc.attach(kernel);
        proc
    }

    fn around(subject: Subject, like: Option<Arc<HostNode>>) -> Arc<Self> {
        let device = anonymous_device();
        let root = Node::root(Arc::new(Root(subject.clone())), device, like);
        Arc::new(Self { subject, root, device })
    }

    /// Makes it tell about `kernel`; the first call counts.
    pub fn attach(&self, kernel: &Arc<Kernel>) {
        let _ = self.subject.kernel.set(Arc::downgrade(kernel));
    }
}

impl FileSystem for ProcFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        "proc"
    }

    fn statfs(&self) -> SysResult<StatFs> {
        let stat =
            StatFs { magic: PROC_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() };
        Ok(stat)
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }
}

/// The top directory: the machine's files and a directory for each process.
struct Root(Subject);

impl Root {
    fn machine(&self) -> Table<Subject> {
        Table { context: self.0.clone(), entries: machine::ENTRIES, prefix: "" }
    }
}

impl Directory for Root {
    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let mut names = self.machine().list()?;
        if let Ok(kernel) = self.0.kernel() {
            let processes = kernel.pids.processes();
            let shown = processes.iter().map(|process| self.0.shown(process.pid));
            let mut pids: Vec<i32> = shown.filter(|&pid| pid != 0).collect();
            pids.sort_unstable();
            let pids = pids.iter().map(|pid| (pid.to_string().into_bytes(), FileType::Directory));
            names.extend(pids);
        }
        Ok(names)
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        let Some(id) = number(name) else { return self.machine().find(name) };
        // The directory of a thread that leads no process is found, though not listed.
        let kernel = self.0.kernel()?;
        let numbers = self.0.numbers(&kernel);
        let process = Visible::new(&kernel.pids, &numbers).process_of(id).ok_or(Errno::ENOENT)?;
        Ok(process::directory(&process, numbers))
    }
}

/// The process whose directory of /proc `inode` is; not one that is only a thread's.
pub fn process_of(inode: &dyn Inode) -> Option<Weak<Process>> {
    (inode as &dyn Any).downcast_ref::<Node>()?.process()
}

/// A decimal number without leading zeros.
fn number(name: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(name).ok()?;
    let number: i32 = text.parse().ok()?;
    (number.to_string() == text && number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::testing::World;
    use hal::pmem::PhysicalMemory;

    #[test]
    fn numbers_are_decimal_without_zeros_in_front() {
        assert_eq!(number(b"12"), Some(12));
        for name in [&b"012"[..], b"0", b"-3", b"+3", b"x", b"", b"99999999999"] {
            assert_eq!(number(name), None);
        }
    }

    #[test]
    fn the_machine_shows_without_a_kernel_and_processes_do_not() {
        let world = World::of(PhysicalMemory::new(None).unwrap(), ProcFs::new(None));
        assert_eq!(world.read("/sys/kernel/ostype").unwrap(), b"Linux\n");
        assert_eq!(world.read("/sys/../sys/vm/overcommit_memory").unwrap(), b"0\n");
        assert_eq!(world.read("/uptime"), Err(Errno::ENOENT));
        assert_eq!(world.read("/7/stat"), Err(Errno::ENOENT));
        assert_eq!(world.write("/version", 0, b"x"), Err(Errno::EACCES));
        assert!(world.names("/").contains(&"cpuinfo".to_owned()));
        assert_eq!(world.names("/sys"), ["fs", "kernel", "net", "user", "vm"]);
        let own = crate::vfs::ops::read_link(&world.ctx, None, b"/self").unwrap();
        assert_eq!(own, b"7", "the process that looks");
        assert_eq!(world.mkdir("/x"), Err(Errno::EPERM));
        let a = world.stat("/version").unwrap();
        assert_eq!(a.ino, world.stat("/version").unwrap().ino);
        assert_ne!(a.ino, world.stat("/uptime").unwrap().ino);
    }
}
