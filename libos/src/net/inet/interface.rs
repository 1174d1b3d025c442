//! Network devices, as programs ask for them: by ioctl(2) (netdevice(7)), by netlink, in /proc and in /sys.
//!
//! The one idea: what there is to say about a device is said here once, and the ways to ask only differ in how they write it down.

use std::net::{Ipv4Addr, Ipv6Addr};

use linux_raw_sys::ioctl;
use smallvec::SmallVec;

use super::{
    Stack,
    address::{Family, Name},
    loopback::{Change, State},
    route::{ETHERNET_INDEX, ETHERNET_NAME, LOOPBACK_INDEX, LOOPBACK_MTU, LOOPBACK_NAME},
};
use crate::{
    config::Network,
    errno::{Errno, SysResult},
    net::{
        Caller,
        ethernet::{
            MTU,
            plan::{Plan, mask_of},
        },
    },
    vfs::{Capabilities, GuestMemory},
};

/// `ARPHRD_ETHER`, `ARPHRD_LOOPBACK`
const KINDS: (u16, u16) = (1, 772);
/// `IFF_UP`
pub const FLAG_UP: u32 = 1;
/// `IFF_LOOPBACK`
const FLAG_LOOPBACK: u32 = 8;
/// `IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_NOARP | IFF_MULTICAST`: cards are known by the addresses of their machines.
const FLAGS_ETHERNET: u32 = 0x10c3;
/// The flags that can be set: `IFF_UP`, `IFF_DEBUG`, `IFF_NOTRAILERS`, `IFF_NOARP`, `IFF_PROMISC`, `IFF_ALLMULTI`, `IFF_MULTICAST`, `IFF_PORTSEL`,
/// `IFF_AUTOMEDIA`, `IFF_DYNAMIC`.
const FLAGS_SET: u32 = 0xf3a5;
/// `IFF_RUNNING`
pub const FLAG_RUNNING: u32 = 0x40;
/// `IFF_LOWER_UP`, which only newer ways to ask tell.
pub const FLAGS_MORE: u32 = 0x10000;
/// How many packets may wait.
pub const QUEUE_LEN: u32 = 1000;

/// How far an address of IPv6 counts (`RT_SCOPE_*`): everywhere, on its wire, on its machine.
pub const SCOPE_GLOBAL: u8 = 0;
/// See [`SCOPE_GLOBAL`].
pub const SCOPE_LINK: u8 = 253;
/// See [`SCOPE_GLOBAL`].
pub const SCOPE_HOST: u8 = 254;

/// What there is to say about a device.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub index: u32,
    /// `ARPHRD_*`
    pub kind: u16,
    /// `IFF_*`
    pub flags: u32,
    /// The most bytes of a packet.
    pub mtu: u32,
    /// The address of its card, and that of all cards.
    pub hardware: ([u8; 6], [u8; 6]),
    /// Its address, with the length of its network's prefix, if it has one.
    pub v4: Option<(Ipv4Addr, u8)>,
    /// The address of all machines of its network, if it has one.
    pub broadcast: Option<Ipv4Addr>,
    /// The same of IPv6, each with how far it counts.
    pub v6: SmallVec<[(Ipv6Addr, u8, u8); 2]>,
    /// Whether there is a cable whose state is known.
    pub has_cable: bool,
    /// Whether it was up at least once.
    pub was_up: bool,
    /// Frames and bytes received, and sent.
    pub traffic: ((u64, u64), (u64, u64)),
}

impl Interface {
    /// `lo` in that state.
    pub fn loopback(state: State) -> Self {
        let up = if state.contains(State::UP) { FLAG_UP | FLAG_RUNNING } else { 0 };
        let v6 = (Ipv6Addr::LOCALHOST, 128, SCOPE_HOST);
        Self {
            name: LOOPBACK_NAME,
            index: LOOPBACK_INDEX,
            kind: KINDS.1,
            flags: FLAG_LOOPBACK | up,
            mtu: LOOPBACK_MTU,
            hardware: ([0; 6], [0; 6]),
            v4: state.contains(State::V4).then_some((Ipv4Addr::LOCALHOST, 8)),
            broadcast: None,
            v6: state.contains(State::V6).then_some(v6).into_iter().collect(),
            has_cable: false,
            was_up: state.contains(State::STARTED),
            // What goes over it is no packets.
            traffic: ((0, 0), (0, 0)),
        }
    }

    fn ethernet(plan: &Plan, traffic: ((u64, u64), (u64, u64))) -> Self {
        let (global, local) = (plan.v6(), plan.link_local());
        Self {
            name: ETHERNET_NAME,
            index: ETHERNET_INDEX,
            kind: KINDS.0,
            flags: FLAGS_ETHERNET,
            mtu: MTU as u32,
            hardware: (plan.card().0, [0xff; 6]),
            v4: Some((plan.v4, plan.prefix)),
            broadcast: Some(plan.broadcast()),
            v6: SmallVec::from_iter([
                (global.0, global.1, SCOPE_GLOBAL),
                (local.0, local.1, SCOPE_LINK),
            ]),
            has_cable: true,
            was_up: true,
            traffic,
        }
    }

    /// Its address. `EADDRNOTAVAIL`
    fn own(&self) -> SysResult<(Ipv4Addr, u8)> {
        self.v4.ok_or(Errno::EADDRNOTAVAIL)
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.flags & FLAG_UP != 0
    }
}

impl Stack {
    /// The devices of the guests' own network: `lo` first, if there is a network.
    pub fn interfaces(&self) -> SmallVec<[Interface; 2]> {
        let mut all = SmallVec::new();
        if self.network != Network::None {
            all.push(Interface::loopback(self.routes().loopback().state()));
        }
        if let Some(ethernet) = self.ethernet() {
            let traffic = ethernet.traffic();
            let traffic = (traffic.received.get(), traffic.sent.get());
            all.push(Interface::ethernet(ethernet.plan(), traffic));
        }
        all
    }

    /// Gives a device these flags (`IFF_*`): `lo` comes up or goes down. `EOPNOTSUPP` for what else would change.
    pub fn set_flags(&self, device: &Interface, flags: u32) -> SysResult<Change> {
        let lo = self.routes().loopback();
        match (flags ^ device.flags) & FLAGS_SET {
            0 => Ok(Change::none(lo.state())),
            FLAG_UP if device.index == LOOPBACK_INDEX => Ok(lo.set_up(flags & FLAG_UP != 0)),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// One of them, by its name.
    fn interface(&self, name: &[u8]) -> SysResult<Interface> {
        let found = self.interfaces().into_iter().find(|one| one.name.as_bytes() == name);
        found.ok_or(Errno::ENODEV)
    }
}

/// The room for a name in `struct ifreq`, and all of it.
const NAME_LEN: usize = 16;
const REQUEST_LEN: usize = 40;

/// The requests that linux-raw-sys has no names for.
const FIRST: u32 = 0x8910;
const LAST: u32 = 0x8970;

/// A request that is about devices, on whatever socket. `None` for others.
pub fn control(
    stack: &Stack,
    caller: &dyn Caller,
    command: u32,
    arg: u64,
    memory: &dyn GuestMemory,
) -> Option<SysResult> {
    if !(FIRST..=LAST).contains(&command) {
        return None;
    }
    let done = match command {
        ioctl::SIOCGIFCONF => list(stack, arg, memory),
        ioctl::SIOCGIFNAME => name(stack, arg, memory),
        ioctl::SIOCGIFFLAGS
        | ioctl::SIOCGIFADDR
        | ioctl::SIOCGIFDSTADDR
        | ioctl::SIOCGIFBRDADDR
        | ioctl::SIOCGIFNETMASK
        | ioctl::SIOCGIFMETRIC
        | ioctl::SIOCGIFMTU
        | ioctl::SIOCGIFHWADDR
        | ioctl::SIOCGIFINDEX
        | ioctl::SIOCGIFTXQLEN
        | ioctl::SIOCGIFMAP => ask(stack, command, arg, memory),
        ioctl::SIOCSIFFLAGS
        | ioctl::SIOCSIFADDR
        | ioctl::SIOCSIFDSTADDR
        | ioctl::SIOCSIFBRDADDR
        | ioctl::SIOCSIFNETMASK
        | ioctl::SIOCSIFMETRIC
        | ioctl::SIOCSIFMTU
        | ioctl::SIOCSIFHWADDR
        | ioctl::SIOCSIFNAME
        | ioctl::SIOCSIFTXQLEN => set(stack, caller, command, arg, memory),
        _ => return None,
    };
    Some(done.map(|()| 0))
}

/// An address as part of a structure.
fn address(ip: Ipv4Addr) -> Vec<u8> {
    Name::new(ip.into(), 0).to_address(Family::V4).to_vec()
}

/// The device that a `struct ifreq` is about. `ENODEV`
fn named(stack: &Stack, arg: u64, memory: &dyn GuestMemory) -> SysResult<Interface> {
    let mut name = [0; NAME_LEN];
    memory.read(arg, &mut name)?;
    // Of an alias the device is meant.
    let name = name.split(|&byte| byte == 0 || byte == b':').next().unwrap_or_default();
    stack.interface(name)
}

/// Brings `lo` up or takes it down, or gives it the address that it may have. `EPERM`; `EOPNOTSUPP` for what else would change.
fn set(
    stack: &Stack,
    caller: &dyn Caller,
    command: u32,
    arg: u64,
    memory: &dyn GuestMemory,
) -> SysResult<()> {
    let mut value = [0; 16];
    memory.read(arg.wrapping_add(NAME_LEN as u64), &mut value)?;
    // The host's devices are not the guests' to change.
    if !stack.allows(caller, Capabilities::NET_ADMIN) || stack.network == Network::Host {
        return Err(Errno::EPERM);
    }
    let device = named(stack, arg, memory)?;
    let is_so = |same| if same { Ok(()) } else { Err(Errno::EOPNOTSUPP) };
    let [a, b, c, d, e, f, g, h, ..] = value;
    let (half, word) = (u16::from_ne_bytes([a, b]), u32::from_ne_bytes([a, b, c, d]));
    let ip = Ipv4Addr::new(e, f, g, h);
    let change = match command {
        ioctl::SIOCSIFFLAGS => stack.set_flags(&device, half.into())?,
        ioctl::SIOCSIFMTU => return is_so(word == device.mtu),
        ioctl::SIOCSIFTXQLEN => return is_so(word == QUEUE_LEN),
        ioctl::SIOCSIFADDR | ioctl::SIOCSIFNETMASK if half != Family::V4.raw() => {
            return Err(Errno::EINVAL);
        }
        ioctl::SIOCSIFNETMASK => return is_so(mask_of(device.own()?.1) == ip),
        ioctl::SIOCSIFADDR if device.v4.is_some_and(|own| own.0 == ip) => return Ok(()),
        ioctl::SIOCSIFADDR if device.index == LOOPBACK_INDEX && ip == Ipv4Addr::LOCALHOST => {
            match stack.routes().loopback().add_address(Family::V4) {
                Ok(change) => change,
                // Somebody was faster.
                Err(_) => return Ok(()),
            }
        }
        _ => return Err(Errno::EOPNOTSUPP),
    };
    stack.tell_of(change);
    Ok(())
}

fn ask(stack: &Stack, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult<()> {
    let device = named(stack, arg, memory)?;
    let number = |number: u32| number.to_ne_bytes().to_vec();
    let bytes = match command {
        ioctl::SIOCGIFFLAGS => (device.flags as u16).to_ne_bytes().to_vec(),
        ioctl::SIOCGIFADDR | ioctl::SIOCGIFDSTADDR => address(device.own()?.0),
        ioctl::SIOCGIFBRDADDR => {
            device.own()?;
            address(device.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
        ioctl::SIOCGIFNETMASK => address(mask_of(device.own()?.1)),
        ioctl::SIOCGIFMTU => number(device.mtu),
        ioctl::SIOCGIFINDEX => number(device.index),
        ioctl::SIOCGIFTXQLEN => number(QUEUE_LEN),
        ioctl::SIOCGIFHWADDR => {
            [&device.kind.to_ne_bytes()[..], &device.hardware.0, &[0; 8]].concat()
        }
        ioctl::SIOCGIFMAP => vec![0; REQUEST_LEN - NAME_LEN],
        _ => number(0),
    };
    memory.write(arg.wrapping_add(NAME_LEN as u64), &bytes)
}

/// The name of the device of a number.
fn name(stack: &Stack, arg: u64, memory: &dyn GuestMemory) -> SysResult<()> {
    let mut index = [0; 4];
    memory.read(arg.wrapping_add(NAME_LEN as u64), &mut index)?;
    let index = u32::from_ne_bytes(index);
    let device = stack.interfaces().into_iter().find(|one| one.index == index);
    memory.write(arg, &name_bytes(device.ok_or(Errno::ENODEV)?.name))
}

fn name_bytes(name: &str) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// `struct ifconf`: as many devices with IPv4 addresses as there is room for, or how much room they need.
fn list(stack: &Stack, arg: u64, memory: &dyn GuestMemory) -> SysResult<()> {
    let (mut len, mut buffer) = ([0; 4], [0; 8]);
    memory.read(arg, &mut len)?;
    memory.read(arg.wrapping_add(8), &mut buffer)?;
    let (len, buffer) = (i32::from_ne_bytes(len), u64::from_ne_bytes(buffer));
    let room = if buffer == 0 { usize::MAX } else { usize::try_from(len).unwrap_or(0) };
    let mut entries = Vec::new();
    let devices = stack.interfaces();
    let named = devices.iter().filter_map(|device| Some((device.name, device.v4?.0)));
    for (name, ip) in named.take(room / REQUEST_LEN) {
        let end = entries.len() + REQUEST_LEN;
        entries.extend_from_slice(&name_bytes(name));
        entries.extend_from_slice(&address(ip));
        entries.resize(end, 0);
    }
    if buffer != 0 && !entries.is_empty() {
        memory.write(buffer, &entries)?;
    }
    memory.write(arg, &(entries.len() as i32).to_ne_bytes())
}
