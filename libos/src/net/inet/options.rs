//! The options of `IPPROTO_IP`, `IPPROTO_IPV6`, `IPPROTO_TCP` and `IPPROTO_UDP` that are numbers.
//!
//! The one idea: an option is a row of a table: what it is at first and which values it takes. Most have no effect where there are no
//! packets; they are kept and reported, which is all that a program can see of them. What has an effect is asked for by name.

use std::collections::BTreeMap;

use linux_raw_sys::net as raw;
use parking_lot::Mutex;

use super::{address::Family, endpoint::Inet, route::LOOPBACK_MTU};
use crate::{
    errno::{Errno, SysResult},
    net::Caller,
    vfs::Capabilities,
};

/// `IPPROTO_IP`
pub const IP: u32 = 0;
/// `IPPROTO_IPV6`
pub const IPV6: u32 = 41;
/// `IPPROTO_TCP`
pub const TCP: u32 = 6;
/// `IPPROTO_UDP`
pub const UDP: u32 = 17;
/// `IPPROTO_UDPLITE`
pub const UDPLITE: u32 = 136;

// Options of UDP.
/// What is sent is one datagram until this is not set any more.
pub const UDP_CORK: u32 = 1;
const UDPLITE_SEND_CSCOV: u32 = 10;
const UDPLITE_RECV_CSCOV: u32 = 11;
const UDP_NO_CHECK6_TX: u32 = 101;
const UDP_NO_CHECK6_RX: u32 = 102;
/// What is sent is cut into datagrams of this size.
pub const UDP_SEGMENT: u32 = 103;
/// Datagrams that were cut of the same piece come as one.
pub const UDP_GRO: u32 = 104;

/// The largest packet of IPv4.
const IP_MTU_MAX: i32 = 65535;

/// What a value becomes, or that it is not one.
type Check = fn(i32) -> SysResult<i32>;

/// What kind of socket has the option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    All,
    Streams,
    Others,
}

/// An option: level, name, value at first, values, sockets.
type Row = (u32, u32, i32, Check, Who);

fn truth(value: i32) -> SysResult<i32> {
    Ok(i32::from(value != 0))
}

fn any(value: i32) -> SysResult<i32> {
    Ok(value)
}

fn byte(value: i32) -> SysResult<i32> {
    Ok(value & 0xff)
}

fn within<const FIRST: i32, const LAST: i32>(value: i32) -> SysResult<i32> {
    if (FIRST..=LAST).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
}

/// A number within bounds, where -1 stands for `DEFAULT`.
fn or_default<const DEFAULT: i32, const FIRST: i32>(value: i32) -> SysResult<i32> {
    if value == -1 { Ok(DEFAULT) } else { within::<FIRST, 255>(value) }
}

fn segment(value: i32) -> SysResult<i32> {
    if value == 0 { Ok(0) } else { within::<88, 32767>(value) }
}

/// How many bytes of a datagram of UDP-Lite are checked: all, or at least its header.
fn coverage(value: i32) -> SysResult<i32> {
    Ok(match value {
        0 => 0,
        ..8 => 8,
        _ => value.min(0xffff),
    })
}

fn linger(value: i32) -> SysResult<i32> {
    Ok(match value {
        ..0 => -1,
        0 => 60,
        _ => value.min(120),
    })
}

/// So many seconds become so many attempts, of which there are at most 255 and which take longer and longer.
fn defer(value: i32) -> SysResult<i32> {
    let (mut time, mut step) = (0, 1);
    for _ in 0..255 {
        if time >= value {
            break;
        }
        time += step;
        step = (step * 2).min(120);
    }
    Ok(time)
}

use Who::{All, Others, Streams};

const ROWS: &[Row] = &[
    (IP, raw::IP_TOS, 0, byte, All),
    (IP, raw::IP_TTL, 64, or_default::<64, 1>, All),
    (IP, raw::IP_RECVOPTS, 0, truth, All),
    (IP, raw::IP_RETOPTS, 0, truth, All),
    (IP, raw::IP_PKTINFO, 0, truth, All),
    (IP, raw::IP_MTU_DISCOVER, 1, within::<0, 5>, All),
    (IP, raw::IP_RECVERR, 0, truth, All),
    (IP, raw::IP_RECVTTL, 0, truth, All),
    (IP, raw::IP_RECVTOS, 0, truth, All),
    (IP, raw::IP_FREEBIND, 0, truth, All),
    (IP, raw::IP_TRANSPARENT, 0, truth, All),
    (IP, raw::IP_MINTTL, 0, within::<0, 255>, All),
    (IP, raw::IP_BIND_ADDRESS_NO_PORT, 0, truth, All),
    (IP, raw::IP_MULTICAST_TTL, 1, or_default::<1, 0>, Others),
    (IP, raw::IP_MULTICAST_LOOP, 1, truth, All),
    (IP, raw::IP_MULTICAST_ALL, 1, within::<0, 1>, All),
    (IPV6, raw::IPV6_UNICAST_HOPS, 64, or_default::<64, 0>, All),
    (IPV6, raw::IPV6_MULTICAST_HOPS, 1, or_default::<1, 0>, Others),
    (IPV6, raw::IPV6_MULTICAST_LOOP, 1, within::<0, 1>, All),
    (IPV6, raw::IPV6_MULTICAST_ALL, 1, within::<0, 1>, All),
    (IPV6, raw::IPV6_MTU_DISCOVER, 1, within::<0, 5>, All),
    (IPV6, raw::IPV6_RECVERR, 0, truth, All),
    (IPV6, raw::IPV6_V6ONLY, 0, truth, All),
    (IPV6, raw::IPV6_RECVPKTINFO, 0, truth, All),
    (IPV6, raw::IPV6_RECVHOPLIMIT, 0, truth, All),
    (IPV6, raw::IPV6_RECVTCLASS, 0, truth, All),
    (IPV6, raw::IPV6_TCLASS, 0, or_default::<0, 0>, All),
    (IPV6, raw::IPV6_DONTFRAG, 0, truth, All),
    (IPV6, raw::IPV6_AUTOFLOWLABEL, 1, truth, All),
    (IPV6, raw::IPV6_FREEBIND, 0, truth, All),
    (IPV6, raw::IPV6_TRANSPARENT, 0, truth, All),
    (TCP, raw::TCP_NODELAY, 0, truth, Streams),
    (TCP, raw::TCP_MAXSEG, 0, segment, Streams),
    (TCP, raw::TCP_CORK, 0, truth, Streams),
    (TCP, raw::TCP_KEEPIDLE, 7200, within::<1, 32767>, Streams),
    (TCP, raw::TCP_KEEPINTVL, 75, within::<1, 32767>, Streams),
    (TCP, raw::TCP_KEEPCNT, 9, within::<1, 127>, Streams),
    (TCP, raw::TCP_SYNCNT, 6, within::<1, 127>, Streams),
    (TCP, raw::TCP_LINGER2, 60, linger, Streams),
    (TCP, raw::TCP_DEFER_ACCEPT, 0, defer, Streams),
    (TCP, raw::TCP_WINDOW_CLAMP, 0, within::<0, { i32::MAX }>, Streams),
    (TCP, raw::TCP_QUICKACK, 1, truth, Streams),
    (TCP, raw::TCP_THIN_LINEAR_TIMEOUTS, 0, within::<0, 1>, Streams),
    (TCP, raw::TCP_THIN_DUPACK, 0, within::<0, 1>, Streams),
    (TCP, raw::TCP_USER_TIMEOUT, 0, within::<0, { i32::MAX }>, Streams),
    (TCP, raw::TCP_FASTOPEN, 0, within::<0, { i32::MAX }>, Streams),
    (TCP, raw::TCP_FASTOPEN_CONNECT, 0, within::<0, 1>, Streams),
    (TCP, raw::TCP_FASTOPEN_NO_COOKIE, 0, within::<0, 1>, Streams),
    (TCP, raw::TCP_NOTSENT_LOWAT, 0, any, Streams),
    (TCP, raw::TCP_SAVE_SYN, 0, within::<0, 2>, Streams),
    (TCP, raw::TCP_TIMESTAMP, 0, any, Streams),
    (UDP, UDP_CORK, 0, truth, Others),
    (UDP, UDPLITE_SEND_CSCOV, 0, coverage, Others),
    (UDP, UDPLITE_RECV_CSCOV, 0, coverage, Others),
    (UDP, UDP_NO_CHECK6_TX, 0, truth, Others),
    (UDP, UDP_NO_CHECK6_RX, 0, truth, Others),
    (UDP, UDP_SEGMENT, 0, within::<0, 0xffff>, Others),
    (UDP, UDP_GRO, 0, truth, Others),
];

/// The options of one socket.
pub struct Numbers {
    family: Family,
    protocol: u32,
    /// Those that have been set.
    set: Mutex<BTreeMap<(u32, u32), i32>>,
}

impl Numbers {
    /// Those of a new socket of a protocol.
    pub fn new(family: Family, protocol: u32) -> Self {
        Self { family, protocol, set: Mutex::default() }
    }

    /// The same as now, for a socket that is accepted.
    pub fn copy(&self) -> Self {
        Self {
            family: self.family,
            protocol: self.protocol,
            set: Mutex::new(self.set.lock().clone()),
        }
    }

    /// Whether they are a stream's.
    pub fn is_stream(&self) -> bool {
        self.protocol == TCP
    }

    /// The protocol.
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    fn row(&self, level: u32, name: u32) -> SysResult<&'static Row> {
        let known = match level {
            IP => true,
            IPV6 => self.family == Family::V6,
            UDP if matches!(name, UDPLITE_SEND_CSCOV | UDPLITE_RECV_CSCOV) => {
                self.protocol == UDPLITE
            }
            UDP => !self.is_stream(),
            _ => level == TCP && self.is_stream(),
        };
        let row = ROWS.iter().find(|row| (row.0, row.1) == (level, name));
        row.filter(|_| known).ok_or(Errno::ENOPROTOOPT)
    }

    /// The value of an option. `ENOPROTOOPT`.
    pub fn get(&self, level: u32, name: u32) -> SysResult<i32> {
        let row = self.row(level, name)?;
        let mut value = row.2;
        if (level, name, self.family) == (IP, raw::IP_MULTICAST_ALL, Family::V6) {
            value = 0;
        }
        Ok(self.set.lock().get(&(level, name)).copied().unwrap_or(value))
    }

    /// Whether an option that says yes or no is set.
    pub fn is_set(&self, level: u32, name: u32) -> bool {
        self.set.lock().get(&(level, name)).is_some_and(|&value| value != 0)
    }

    /// Whether any option has been set at all.
    pub fn is_any_set(&self) -> bool {
        !self.set.lock().is_empty()
    }

    /// Sets an option. `ENOPROTOOPT`; `EINVAL` for a value that it does not take.
    pub fn set(&self, level: u32, name: u32, value: i32) -> SysResult<()> {
        let (_, _, _, check, who) = *self.row(level, name)?;
        if self.is_stream() && who == Others {
            return Err(if level == IP { Errno::EINVAL } else { Errno::ENOPROTOOPT });
        }
        let mut value = check(value)?;
        let service = matches!((level, name), (IP, raw::IP_TOS) | (IPV6, raw::IPV6_TCLASS));
        if service && self.is_stream() {
            // The two lowest bits are the protocol's.
            value &= !3;
        }
        self.set.lock().insert((level, name), value);
        Ok(())
    }

    /// `IPV6_V6ONLY`
    pub fn only_v6(&self) -> bool {
        self.family == Family::V6 && self.is_set(IPV6, raw::IPV6_V6ONLY)
    }

    /// Whether it may be bound to an address that is not the machine's.
    pub fn binds_freely(&self) -> bool {
        [
            (IP, raw::IP_FREEBIND),
            (IP, raw::IP_TRANSPARENT),
            (IPV6, raw::IPV6_FREEBIND),
            (IPV6, raw::IPV6_TRANSPARENT),
        ]
        .into_iter()
        .any(|(level, name)| self.is_set(level, name))
    }
}

impl Inet {
    /// Both protocols of datagrams take options at either one's level.
    fn level(&self, level: u32) -> u32 {
        if level == UDPLITE && !self.numbers.is_stream() { UDP } else { level }
    }

    /// Sets an option of `IPPROTO_IP` or `IPPROTO_IPV6`, or another one that is a number.
    pub(super) fn set_number(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        let level = self.level(level);
        self.numbers.get(level, name)?;
        let value = number(level, value)?;
        match (level, name) {
            (IPV6, raw::IPV6_V6ONLY) if self.names().held.is_some() => return Err(Errno::EINVAL),
            (IP, raw::IP_TRANSPARENT) | (IPV6, raw::IPV6_TRANSPARENT)
                if value != 0
                    && !self.stack().allows(caller, Capabilities::NET_ADMIN)
                    && !self.stack().allows(caller, Capabilities::NET_RAW) =>
            {
                return Err(Errno::EPERM);
            }
            _ => {}
        }
        self.numbers.set(level, name, value)
    }

    /// The value of such an option, for who has room for `room` bytes. `ENOPROTOOPT`; `ENOTCONN` for one of a connection.
    pub(super) fn number(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        let level = self.level(level);
        if !matches!(level, IP | UDP) && self.family() == Family::V4 {
            return Err(Errno::EOPNOTSUPP);
        }
        let value = match (level, name) {
            (IP, raw::IP_OPTIONS) => return Ok(Vec::new()),
            (IP, raw::IP_MTU) => match self.names().peer {
                Some(_) => IP_MTU_MAX,
                None => return Err(Errno::ENOTCONN),
            },
            (IPV6, raw::IPV6_MTU) if self.family() == Family::V6 => match self.names().peer {
                Some(_) => LOOPBACK_MTU as i32,
                None => return Err(Errno::ENOTCONN),
            },
            _ => self.numbers.get(level, name)?,
        };
        Ok(to_bytes(level, value, room))
    }
}

/// The number in what a guest sets at one of these levels. IPv4's options may be a single byte.
pub fn number(level: u32, value: &[u8]) -> SysResult<i32> {
    match (value.first_chunk::<4>(), value) {
        (Some(bytes), _) => Ok(i32::from_ne_bytes(*bytes)),
        (None, [first, ..]) if level == IP => Ok(i32::from(*first)),
        (None, []) if level == IP => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// The bytes that a guest gets who has room for `room`. IPv4's options may be a single byte.
pub fn to_bytes(level: u32, value: i32, room: usize) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(byte) if level == IP && (1..4).contains(&room) => vec![byte],
        _ => value.to_ne_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_bounds() {
        let numbers = Numbers::new(Family::V4, TCP);
        assert_eq!(numbers.get(IP, raw::IP_TTL), Ok(64));
        assert_eq!(numbers.set(IP, raw::IP_TTL, 0), Err(Errno::EINVAL));
        numbers.set(IP, raw::IP_TTL, 7).unwrap();
        assert_eq!(numbers.copy().get(IP, raw::IP_TTL), Ok(7));
        numbers.set(IP, raw::IP_TTL, -1).unwrap();
        assert_eq!(numbers.get(IP, raw::IP_TTL), Ok(64));
        assert_eq!(numbers.set(IPV6, raw::IPV6_V6ONLY, 1), Err(Errno::ENOPROTOOPT));
        assert_eq!(numbers.set(TCP, 999, 1), Err(Errno::ENOPROTOOPT));
        assert_eq!(Numbers::new(Family::V6, UDP).get(TCP, 1), Err(Errno::ENOPROTOOPT));
    }

    #[test]
    fn only_udp_lite_has_a_coverage() {
        let of = |protocol| Numbers::new(Family::V4, protocol).set(UDP, UDPLITE_SEND_CSCOV, 20);
        assert_eq!((of(UDP), of(UDPLITE)), (Err(Errno::ENOPROTOOPT), Ok(())));
        assert_eq!((coverage(0), coverage(-1), coverage(1 << 20)), (Ok(0), Ok(8), Ok(0xffff)));
    }

    #[test]
    fn a_byte_is_enough_for_ipv4() {
        assert_eq!(number(IP, &[7]), Ok(7));
        assert_eq!(number(TCP, &[7]), Err(Errno::EINVAL));
        assert_eq!(to_bytes(IP, 7, 1), [7]);
        assert_eq!(to_bytes(IP, -7, 1).len(), 4);
    }
}
