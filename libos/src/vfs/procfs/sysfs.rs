//! /sys: the few files that programs ask for how many CPUs there are.

use std::sync::Arc;

use hal::host::HostNode;

use super::node::{Node, Row, Table, What};
use crate::errno::SysResult;
use crate::vfs::inode::{FileSystem, Inode};
use crate::vfs::metadata::{DeviceNumber, StatFs};
use crate::vfs::tmpfs::anonymous_device;

/// The magic number of statfs(2).
const SYSFS_MAGIC: u64 = 0x6265_6572;

/// The file system of /sys.
pub struct SysFs {
    root: Arc<Node>,
    device: DeviceNumber,
}

/// How many CPUs the machine has.
type Cpus = usize;

const ENTRIES: &[Row<Cpus>] = &[
    ("devices/system/cpu/kernel_max", |_| What::fixed("255\n")),
    ("devices/system/cpu/online", |cpus| range(*cpus)),
    ("devices/system/cpu/possible", |cpus| range(*cpus)),
    ("devices/system/cpu/present", |cpus| range(*cpus)),
    ("devices/system/node/online", |_| What::fixed("0\n")),
    ("devices/system/node/possible", |_| What::fixed("0\n")),
    ("kernel/mm/transparent_hugepage/enabled", |_| What::fixed("always madvise [never]\n")),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", |_| What::fixed("2097152\n")),
];

fn range(cpus: usize) -> What {
    What::fixed(match cpus.saturating_sub(1) {
        0 => "0\n".to_owned(),
        last => format!("0-{last}\n"),
    })
}

impl SysFs {
    /// That of a machine with `cpus` CPUs. Its root shows the attributes of the host directory `like`, which it covers.
    pub fn new(cpus: usize, like: Option<Arc<HostNode>>) -> Arc<Self> {
        let device = anonymous_device();
        let table = Table { context: cpus, entries: ENTRIES, prefix: "" };
        Arc::new(Self { root: Node::root(Arc::new(table), device, like), device })
    }
}

impl FileSystem for SysFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        "sysfs"
    }

    fn statfs(&self) -> SysResult<StatFs> {
        let stat =
            StatFs { magic: SYSFS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() };
        Ok(stat)
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::vfs::buf::IoDst;

    fn read(fs: &SysFs, path: &str) -> SysResult<String> {
        let mut inode = fs.root();
        for name in path.split('/') {
            inode = inode.lookup(name.as_bytes())?;
        }
        let file = inode.open(0)?.ok_or(Errno::EISDIR)?;
        let mut buf = vec![0; 100];
        let n = file.read(0, &mut IoDst::kernel(&mut buf))?;
        Ok(String::from_utf8_lossy(&buf[..n]).into_owned())
    }

    #[test]
    fn the_table_makes_a_tree() {
        let fs = SysFs::new(4, None);
        assert_eq!(read(&fs, "devices/system/cpu/online").as_deref(), Ok("0-3\n"));
        assert_eq!(read(&fs, "devices/system/cpu/offline"), Err(Errno::ENOENT));
        assert_eq!(read(&fs, "devices/system"), Err(Errno::EISDIR));
        let mut names = Vec::new();
        let root = fs.root();
        root.read_dir(2, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })
        .unwrap();
        assert_eq!(names, ["devices", "kernel"]);
        assert_eq!(root.lookup(b"devices").unwrap().metadata().unwrap().mode, 0o555);
    }
}
