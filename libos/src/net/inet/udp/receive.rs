//! Receiving datagrams, and what is told beside them.
//!
//! The one idea: what came with a datagram is made into control messages only if the socket has asked for it, in Linux's order.

use std::net::IpAddr;

use linux_raw_sys::net as raw;
use zerocopy::IntoBytes;

use super::{
    End,
    inbox::{Datagram, Failure},
    send::{PacketInfo4, PacketInfo6},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Ancillary, Incoming, MessageFlags, Shutdown,
        inet::{
            address::{Family, Name, to_v6},
            options::{IP, IPV6, UDP, UDP_GRO},
            route::{ETHERNET_INDEX, Reach},
        },
        message::ExtendedError,
    },
};

/// Says an ICMP message, and one of ICMPv6.
const ORIGINS: (u8, u8) = (2, 3);
/// No such port: type and code of ICMP, and of ICMPv6.
const UNREACHABLE: ((u8, u8), (u8, u8)) = ((3, 3), (1, 4));

impl End {
    /// Receives a datagram.
    pub(super) fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        if into.flags.bits() & raw::MSG_ERRQUEUE != 0 {
            return self.receive_failure(into);
        }
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        let peek = into.flags.contains(MessageFlags::PEEK);
        let skip = usize::try_from(self.options.peek_offset()).unwrap_or(0);
        let mut inbox = self.inbox.lock();
        let Some((datagram, before, skip)) = inbox.look(if peek { skip } else { 0 }) else {
            let ended = self.shut().contains(Shutdown::RECEIVE) && !into.nonblocking;
            return if ended { Ok(0) } else { Err(Errno::EAGAIN) };
        };
        let left = datagram.len - skip.min(datagram.len);
        let chunk = left.min(into.data.remaining());
        let copied = inbox.copy(before + skip, chunk, into.data);
        if !peek {
            // Whatever of it was read, all of it is gone.
            inbox.pop();
        }
        drop(inbox);
        copied?;
        self.options.move_peek_offset(peek, if peek { chunk } else { datagram.len });
        if chunk < left {
            into.result |= MessageFlags::TRUNC;
        }
        if into.wants_address {
            into.address = Some(datagram.from.to_address(self.family()));
        }
        into.time = Some(datagram.time);
        self.tell(&datagram, &mut into.control.ancillary);
        Ok(if into.flags.contains(MessageFlags::TRUNC) { left } else { chunk })
    }

    /// What the socket has asked to be told of each datagram.
    fn tell(&self, datagram: &Datagram, told: &mut Vec<Ancillary>) {
        if !self.numbers.is_any_set() {
            return;
        }
        let asked = |level, name| self.numbers.is_set(level, name);
        let mut tell = |level, kind, data: &[u8]| {
            told.push(Ancillary { level, kind, data: data.to_vec() });
        };
        let number = |byte: u8| i32::from(byte).to_ne_bytes();
        if datagram.segment > 0 {
            tell(UDP, UDP_GRO, &i32::from(datagram.segment).to_ne_bytes());
        }
        let routes = self.stack().routes();
        let own = match routes.ethernet() {
            _ if routes.reach(datagram.to) == Reach::Unicast => datagram.to,
            Some(plan) if datagram.device == ETHERNET_INDEX => plan.v4.into(),
            _ => datagram.from.ip,
        };
        if self.family() == Family::V6 {
            if asked(IPV6, raw::IPV6_RECVPKTINFO) {
                let to = to_v6(datagram.to).octets();
                let info = PacketInfo6 { to, device: datagram.device };
                tell(IPV6, raw::IPV6_PKTINFO, info.as_bytes());
            }
            if datagram.to.is_ipv6() {
                if asked(IPV6, raw::IPV6_RECVHOPLIMIT) {
                    tell(IPV6, raw::IPV6_HOPLIMIT, &number(datagram.ttl));
                }
                if asked(IPV6, raw::IPV6_RECVTCLASS) {
                    tell(IPV6, raw::IPV6_TCLASS, &number(datagram.tos));
                }
                return;
            }
        }
        if let (IpAddr::V4(to), IpAddr::V4(own)) = (datagram.to, own) {
            if asked(IP, raw::IP_PKTINFO) {
                let (source, to) = (own.octets(), to.octets());
                let info = PacketInfo4 { device: datagram.device, source, to };
                tell(IP, raw::IP_PKTINFO, info.as_bytes());
            }
            if asked(IP, raw::IP_RECVTTL) {
                tell(IP, raw::IP_TTL, &number(datagram.ttl));
            }
            if asked(IP, raw::IP_RECVTOS) {
                tell(IP, raw::IP_TOS, &[datagram.tos]);
            }
        }
    }

    /// Receives what came back: the datagram as it was sent, and why. `EAGAIN` when there is nothing, whether it may wait or not.
    fn receive_failure(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        let failure = {
            let mut inbox = self.inbox.lock();
            let failure = inbox.failures.pop_front().ok_or(Errno::EAGAIN)?;
            if inbox.failures.is_empty() {
                self.take_error();
            }
            failure
        };
        let Failure { to, by, bytes } = failure;
        let done = into.data.write(&bytes)?;
        into.result |= MessageFlags::from_bits_retain(raw::MSG_ERRQUEUE);
        if done < bytes.len() {
            into.result |= MessageFlags::TRUNC;
        }
        if into.wants_address {
            into.address = Some(to.to_address(self.family()));
        }
        let v4 = to.ip.is_ipv4();
        let (kind, code) = if v4 { UNREACHABLE.0 } else { UNREACHABLE.1 };
        let error = ExtendedError {
            errno: Errno::ECONNREFUSED.raw() as u32,
            origin: if v4 { ORIGINS.0 } else { ORIGINS.1 },
            kind,
            code,
            ..ExtendedError::default()
        };
        let mut data = error.as_bytes().to_vec();
        data.extend_from_slice(&Name::new(by, 0).to_address(self.family()));
        let (level, kind) = match self.family() {
            Family::V4 => (IP, raw::IP_RECVERR),
            Family::V6 => (IPV6, raw::IPV6_RECVERR),
        };
        into.control.ancillary.push(Ancillary { level, kind, data });
        Ok(done)
    }
}
