//! /sys: the few files that programs ask for how many CPUs there are and how they lie, and for the network devices.

use std::sync::Arc;

use hal::host::HostNode;

use super::node::{Directory, Node, Row, Table, What};
use crate::errno::{Errno, SysResult};
use crate::net::inet::Stack;
use crate::net::inet::interface::{FLAG_RUNNING, Interface, QUEUE_LEN};
use crate::vfs::inode::{FileSystem, Inode};
use crate::vfs::metadata::{DeviceNumber, FileType, StatFs};
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

/// What the files are about.
#[derive(Clone)]
struct Machine {
    cpus: Cpus,
    network: Arc<Stack>,
}

const ENTRIES: &[Row<Machine>] = &[
    ("class/net", |machine| What::Directory(Arc::new(Devices(Arc::clone(&machine.network))))),
    ("devices/system/cpu", |machine| What::Directory(Arc::new(CpuDirectory(machine.cpus)))),
    ("devices/system/node/online", |_| What::fixed("0\n")),
    ("devices/system/node/possible", |_| What::fixed("0\n")),
    // Where a hierarchy of control groups would be mounted.
    ("fs/cgroup", |_| {
        What::Directory(Arc::new(Table::<()> { context: (), entries: &[], prefix: "" }))
    }),
    ("kernel/mm/transparent_hugepage/enabled", |_| What::fixed("always madvise [never]\n")),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", |_| What::fixed("2097152\n")),
];

/// /sys/class/net: a directory for each network device.
struct Devices(Arc<Stack>);

impl Directory for Devices {
    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let entry = |device: &Interface| (device.name.into(), FileType::Directory);
        Ok(self.0.interfaces().iter().map(entry).collect())
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        let devices = self.0.interfaces();
        let device = devices.into_iter().find(|device| device.name.as_bytes() == name);
        let context = device.ok_or(Errno::ENOENT)?;
        Ok(What::Directory(Arc::new(Table { context, entries: DEVICE_ENTRIES, prefix: "" })))
    }
}

/// A network device. Its flags are those that were set, without those that its state adds.
const DEVICE_ENTRIES: &[Row<Interface>] = &[
    ("addr_len", |_| What::fixed("6\n")),
    ("address", |device| card(device.hardware.0)),
    ("broadcast", |device| card(device.hardware.1)),
    ("carrier", |device| match device.is_up() {
        true => What::fixed("1\n"),
        // Whether there is one is not known.
        false => What::text(|| Err(Errno::EINVAL)),
    }),
    ("flags", |device| What::fixed(format!("{:#x}\n", device.flags & !FLAG_RUNNING))),
    ("ifindex", |device| What::fixed(format!("{}\n", device.index))),
    ("iflink", |device| What::fixed(format!("{}\n", device.index))),
    ("mtu", |device| What::fixed(format!("{}\n", device.mtu))),
    ("operstate", |device| {
        What::fixed(match (device.is_up(), device.has_cable) {
            (false, _) => "down\n",
            (true, false) => "unknown\n",
            (true, true) => "up\n",
        })
    }),
    ("tx_queue_len", |_| What::fixed(format!("{QUEUE_LEN}\n"))),
    ("type", |device| What::fixed(format!("{}\n", device.kind))),
];

fn card(address: [u8; 6]) -> What {
    let parts: Vec<_> = address.iter().map(|byte| format!("{byte:02x}")).collect();
    What::fixed(parts.join(":") + "\n")
}

/// /sys/devices/system/cpu: files about all CPUs, and a directory for each.
struct CpuDirectory(Cpus);

const CPU_ENTRIES: &[Row<Cpus>] = &[
    ("kernel_max", |_| What::fixed("255\n")),
    ("offline", |_| What::fixed("\n")),
    ("online", |cpus| range(*cpus)),
    ("possible", |cpus| range(*cpus)),
    ("present", |cpus| range(*cpus)),
];

impl CpuDirectory {
    fn table(&self) -> Table<Cpus> {
        Table { context: self.0, entries: CPU_ENTRIES, prefix: "" }
    }
}

impl Directory for CpuDirectory {
    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let mut names = self.table().list()?;
        names.extend((0..self.0).map(|n| (format!("cpu{n}").into_bytes(), FileType::Directory)));
        Ok(names)
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        let number = name.strip_prefix(b"cpu").and_then(number_from_zero);
        match number.filter(|&number| number < self.0) {
            Some(number) => {
                let cpu = Cpu { number, cpus: self.0 };
                let table = Table { context: cpu, entries: TOPOLOGY_ENTRIES, prefix: "" };
                Ok(What::Directory(Arc::new(table)))
            }
            None => self.table().find(name),
        }
    }
}

/// One CPU of the machine: a core of its own in the one package, as far as is known.
#[derive(Clone, Copy)]
struct Cpu {
    number: usize,
    cpus: Cpus,
}

const TOPOLOGY_ENTRIES: &[Row<Cpu>] = &[
    ("topology/core_cpus", |cpu| mask(cpu.number..cpu.number + 1, cpu.cpus)),
    ("topology/core_cpus_list", |cpu| What::fixed(format!("{}\n", cpu.number))),
    ("topology/core_id", |cpu| What::fixed(format!("{}\n", cpu.number))),
    ("topology/core_siblings", |cpu| mask(0..cpu.cpus, cpu.cpus)),
    ("topology/core_siblings_list", |cpu| range(cpu.cpus)),
    ("topology/die_id", |_| What::fixed("0\n")),
    ("topology/package_cpus", |cpu| mask(0..cpu.cpus, cpu.cpus)),
    ("topology/package_cpus_list", |cpu| range(cpu.cpus)),
    ("topology/physical_package_id", |_| What::fixed("0\n")),
    ("topology/thread_siblings", |cpu| mask(cpu.number..cpu.number + 1, cpu.cpus)),
    ("topology/thread_siblings_list", |cpu| What::fixed(format!("{}\n", cpu.number))),
];

/// A decimal number without leading zeros.
fn number_from_zero(name: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(name).ok()?;
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A bit for each of `set` of the machine's CPUs, in words of 32 bits, the highest first and no longer than it must be.
fn mask(set: std::ops::Range<usize>, cpus: Cpus) -> What {
    let words: Vec<_> = (0..cpus.div_ceil(32))
        .rev()
        .map(|word| {
            let bits = (0..32).filter(|bit| set.contains(&(word * 32 + bit)));
            let value = bits.fold(0_u32, |value, bit| value | 1 << bit);
            let width = (cpus - word * 32).min(32).div_ceil(4);
            format!("{value:0width$x}")
        })
        .collect();
    What::fixed(words.join(",") + "\n")
}

fn range(cpus: usize) -> What {
    What::fixed(match cpus.saturating_sub(1) {
        0 => "0\n".to_owned(),
        last => format!("0-{last}\n"),
    })
}

impl SysFs {
    /// That of a machine with `cpus` CPUs and the devices of `network`. Its root shows the attributes of the host directory `like`, which it covers.
    pub fn new(cpus: usize, network: Arc<Stack>, like: Option<Arc<HostNode>>) -> Arc<Self> {
        let device = anonymous_device();
        let machine = Machine { cpus, network };
        let table = Table { context: machine, entries: ENTRIES, prefix: "" };
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
    use crate::config::Network;
    use crate::process::UserNamespace;
    use crate::vfs::buf::IoDst;
    use hal::pmem::PhysicalMemory;

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
        let memory = PhysicalMemory::new(None).unwrap();
        let network = Stack::new(Network::Loopback, None, &memory, &Arc::default())
            .another(&UserNamespace::FIRST);
        let fs = SysFs::new(4, Arc::clone(&network), None);
        assert_eq!(read(&fs, "devices/system/cpu/online").as_deref(), Ok("0-3\n"));
        assert_eq!(read(&fs, "devices/system/cpu/cpu3/topology/core_id").as_deref(), Ok("3\n"));
        let siblings = read(&fs, "devices/system/cpu/cpu1/topology/core_siblings");
        assert_eq!(siblings.as_deref(), Ok("f\n"));
        let state = "class/net/lo/operstate";
        assert_eq!(read(&fs, state).as_deref(), Ok("down\n"));
        network.routes().loopback().set_up(true);
        assert_eq!(read(&fs, state).as_deref(), Ok("unknown\n"));
        for absent in ["cpu4", "cpu01", "cpu", "isolated"] {
            let path = format!("devices/system/cpu/{absent}");
            assert_eq!(read(&fs, &path), Err(Errno::ENOENT));
        }
        assert_eq!(read(&fs, "devices/system"), Err(Errno::EISDIR));
        let mut names = Vec::new();
        let root = fs.root();
        root.read_dir(2, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })
        .unwrap();
        assert_eq!(names, ["class", "devices", "fs", "kernel"]);
        assert!(root.lookup(b"fs").unwrap().lookup(b"cgroup").unwrap().kind().is_dir());
        assert_eq!(root.lookup(b"devices").unwrap().metadata().unwrap().mode, 0o555);
    }
}
