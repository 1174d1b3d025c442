//! /proc/net, as a process sees it, and /proc/sys/net.

use std::sync::Arc;

use super::node::{Row, Table, What};
use super::process::{Subject, text};
use crate::net::inet::options::{UDP, UDPLITE};
use crate::net::inet::{Stack, address::Family, ports::EPHEMERAL, tcp};
use crate::net::options::{DEFAULT_BUFFER, MAX_BUFFER};
use crate::net::unix::DATAGRAMS_MAX;
use crate::syscall::socket::BACKLOG_MAX;

const ARP: &str =
    "IP address       HW type     Flags       HW address            Mask     Device\n";

/// Of sockets of packets there are none.
const PACKETS: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";

const ENTRIES: &[Row<Subject>] = &[
    ("arp", |_| What::fixed(ARP)),
    ("dev", |s| inet(s, Stack::device_table)),
    ("if_inet6", |s| inet(s, Stack::address_table)),
    ("netlink", |s| inet(s, Stack::netlink_table)),
    ("packet", |_| What::fixed(PACKETS)),
    ("raw", |s| inet(s, |stack| stack.raw_table(Family::V4))),
    ("raw6", |s| inet(s, |stack| stack.raw_table(Family::V6))),
    ("route", |s| inet(s, Stack::route_table)),
    ("snmp", |s| inet(s, Stack::counters_table)),
    ("sockstat", |s| inet(s, |stack| stack.socket_table(Family::V4))),
    ("sockstat6", |s| inet(s, |stack| stack.socket_table(Family::V6))),
    ("tcp", |s| inet(s, |stack| stack.tcp_table(Family::V4))),
    ("tcp6", |s| inet(s, |stack| stack.tcp_table(Family::V6))),
    ("udp", |s| inet(s, |stack| stack.udp_table(Family::V4, UDP))),
    ("udp6", |s| inet(s, |stack| stack.udp_table(Family::V6, UDP))),
    ("udplite", |s| inet(s, |stack| stack.udp_table(Family::V4, UDPLITE))),
    ("udplite6", |s| inet(s, |stack| stack.udp_table(Family::V6, UDPLITE))),
    ("unix", |s| text(s, |thread| Ok(thread.net().unix.table()))),
];

/// The directory that a process sees as /proc/net.
pub(super) fn directory(subject: &Subject) -> What {
    let table = Table { context: subject.clone(), entries: ENTRIES, prefix: "" };
    What::Directory(Arc::new(table))
}

fn inet(subject: &Subject, table: fn(&Stack) -> String) -> What {
    text(subject, move |thread| Ok(table(&thread.net().inet)))
}

const SETTINGS: &[Row<()>] = &[
    ("core/rmem_default", |_| number(DEFAULT_BUFFER)),
    ("core/rmem_max", |_| number(MAX_BUFFER)),
    ("core/somaxconn", |_| number(BACKLOG_MAX)),
    ("core/wmem_default", |_| number(DEFAULT_BUFFER)),
    ("core/wmem_max", |_| number(MAX_BUFFER)),
    ("ipv4/icmp_echo_ignore_all", |_| number(0)),
    ("ipv4/ip_default_ttl", |_| number(64)),
    ("ipv4/ip_forward", |_| number(0)),
    ("ipv4/ip_local_port_range", |_| What::fixed(format!("{}\t{}\n", EPHEMERAL.0, EPHEMERAL.1))),
    ("ipv4/ip_nonlocal_bind", |_| number(0)),
    ("ipv4/ip_unprivileged_port_start", |_| number(1024)),
    ("ipv4/ping_group_range", |_| What::fixed("1\t0\n")),
    ("ipv4/tcp_available_congestion_control", |_| What::fixed("cubic\n")),
    ("ipv4/tcp_congestion_control", |_| What::fixed("cubic\n")),
    ("ipv4/tcp_fin_timeout", |_| number(60)),
    ("ipv4/tcp_keepalive_intvl", |_| number(75)),
    ("ipv4/tcp_keepalive_probes", |_| number(9)),
    ("ipv4/tcp_keepalive_time", |_| number(7200)),
    ("ipv4/tcp_max_syn_backlog", |_| number(BACKLOG_MAX)),
    ("ipv4/tcp_rmem", |_| buffers(tcp::BUFFERS.1)),
    ("ipv4/tcp_sack", |_| number(1)),
    ("ipv4/tcp_syn_retries", |_| number(6)),
    ("ipv4/tcp_timestamps", |_| number(1)),
    ("ipv4/tcp_tw_reuse", |_| number(2)),
    ("ipv4/tcp_window_scaling", |_| number(1)),
    ("ipv4/tcp_wmem", |_| buffers(tcp::BUFFERS.0)),
    ("ipv6/bindv6only", |_| number(0)),
    ("ipv6/conf/all/disable_ipv6", |_| number(0)),
    ("ipv6/conf/default/disable_ipv6", |_| number(0)),
    ("ipv6/conf/lo/disable_ipv6", |_| number(0)),
    ("unix/max_dgram_qlen", |_| number(DATAGRAMS_MAX)),
];

/// The directory /proc/sys/net.
pub(super) fn settings() -> What {
    What::Directory(Arc::new(Table { context: (), entries: SETTINGS, prefix: "" }))
}

fn number(number: usize) -> What {
    What::fixed(format!("{number}\n"))
}

/// The least, the first and the largest size of a buffer.
fn buffers(first: usize) -> What {
    What::fixed(format!("4096\t{first}\t{}\n", tcp::SEND_BUFFER))
}
