//! Requests that change the network (rtnetlink(7)): `lo` comes up and goes down, and gets and loses its addresses.
//!
//! The one idea: whatever is asked for is checked in Linux's order and ends in a change of one state,
//! [`Loopback`](crate::net::inet::loopback::Loopback)'s. What a request wants besides is refused as a whole, unless it is so already.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::message::Request;
use crate::{
    errno::{Errno, SysResult},
    net::inet::{
        Stack,
        address::Family,
        interface::{Interface, QUEUE_LEN},
        loopback::Change,
        route::LOOPBACK_INDEX,
    },
};

// `RTM_*`
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;

/// The length of `struct ifinfomsg`, and of `struct ifaddrmsg`.
const LINK_LEN: usize = 16;
const ADDRESS_LEN: usize = 8;

// `NLM_F_*` of requests that make something.
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

// `IFLA_*`
const MTU: u16 = 4;
const NAME: u16 = 3;
const QUEUE: u16 = 13;
const EXTRAS: u16 = 29;

// `IFA_*`
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

/// Whether a request wants something changed: of four types in a row, only the third asks.
pub(super) fn is_meant(request: &Request<'_>) -> bool {
    request.kind & 3 != 2
}

/// Does what a request wants: what has changed, if it is `lo`. `EPERM` unless its sender may; `EOPNOTSUPP` for what cannot be changed.
pub(super) fn make(stack: &Stack, request: &Request<'_>, may: bool) -> SysResult<Option<Change>> {
    if !may {
        return Err(Errno::EPERM);
    }
    match request.kind {
        NEW_LINK | SET_LINK => set_link(stack, request),
        DELETE_LINK => match find_link(stack, request)? {
            // What is there stays.
            Some(_) => Err(Errno::EOPNOTSUPP),
            None => Err(Errno::ENODEV),
        },
        NEW_ADDRESS => change_address(stack, request, true),
        // Of many at once nothing is deleted.
        DELETE_ADDRESS if request.flags & EXCLUSIVE == 0 => change_address(stack, request, false),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn word(bytes: &[u8], at: usize) -> SysResult<u32> {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    bytes.map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
}

/// The device that a request about one names. `EINVAL` if it names none but has to.
fn find_link(stack: &Stack, request: &Request<'_>) -> SysResult<Option<Interface>> {
    let payload = request.payload().get(..LINK_LEN).ok_or(Errno::EINVAL)?;
    let (index, name) = (word(payload, 4)?, request.attribute(LINK_LEN, NAME));
    if i32::try_from(index).is_err() || index == 0 && name.is_none() && request.kind != NEW_LINK {
        return Err(Errno::EINVAL);
    }
    Ok(stack.interfaces().into_iter().find(|device| match index {
        0 => name.is_some_and(|name| is_name(device, name)),
        _ => device.index == index,
    }))
}

fn is_name(device: &Interface, name: &[u8]) -> bool {
    name.strip_suffix(b"\0").unwrap_or(name) == device.name.as_bytes()
}

fn set_link(stack: &Stack, request: &Request<'_>) -> SysResult<Option<Change>> {
    let found = find_link(stack, request)?;
    let made = request.kind == NEW_LINK;
    let Some(device) = found else {
        let creates = made && request.flags & CREATE != 0;
        return Err(if creates { Errno::EOPNOTSUPP } else { Errno::ENODEV });
    };
    if made && request.flags & EXCLUSIVE != 0 {
        return Err(Errno::EEXIST);
    }
    if made && request.flags & REPLACE != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_so = |(kind, value): (u16, &[u8])| match kind {
        NAME => is_name(&device, value),
        MTU => word(value, 0) == Ok(device.mtu),
        QUEUE => word(value, 0) == Ok(QUEUE_LEN),
        EXTRAS => true,
        _ => false,
    };
    if !request.attributes(LINK_LEN).all(is_so) {
        return Err(Errno::EOPNOTSUPP);
    }
    let payload = request.payload();
    let (flags, changed) = (word(payload, 8)?, word(payload, 12)?);
    match (flags, changed) {
        (0, 0) => Ok(None),
        (flags, 0) => stack.set_flags(&device, flags).map(Some),
        _ => stack.set_flags(&device, flags & changed | device.flags & !changed).map(Some),
    }
}

/// Gives `lo` an address or takes it away.
fn change_address(stack: &Stack, request: &Request<'_>, add: bool) -> SysResult<Option<Change>> {
    let payload = request.payload().get(..ADDRESS_LEN).ok_or(Errno::EINVAL)?;
    let (prefix, index) = (payload[1], word(payload, 4)?);
    let family = match u16::from(payload[0]) {
        family if family == Family::V4.raw() => Family::V4,
        family if family == Family::V6.raw() => Family::V6,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let given = |kind| request.attribute(ADDRESS_LEN, kind);
    let (own, len, most) = match family {
        Family::V4 => (given(LOCAL), 4, 32),
        Family::V6 => (given(LOCAL).or(given(ADDRESS)), 16, 128),
    };
    if own.is_some_and(|own| own.len() < len) {
        return Err(Errno::ERANGE);
    }
    let needs = add || family == Family::V6;
    if needs && (own.is_none() || prefix > most) {
        return Err(Errno::EINVAL);
    }
    let device = stack.interfaces().into_iter().find(|device| device.index == index);
    device.ok_or(Errno::ENODEV)?;
    let lo = stack.routes().loopback();
    let (the_one, its_prefix) = match family {
        Family::V4 => (&Ipv4Addr::LOCALHOST.octets()[..], 8),
        Family::V6 => (&Ipv6Addr::LOCALHOST.octets()[..], 128),
    };
    let means_it = index == LOOPBACK_INDEX && own.is_none_or(|own| own == the_one);
    // Who deletes need not say all of it.
    let whole = prefix == its_prefix || !add && own.is_some() && given(ADDRESS).is_none();
    match (means_it && whole, add) {
        (true, true) => match lo.add_address(family) {
            Err(Errno::EEXIST) if request.flags & (REPLACE | EXCLUSIVE) == REPLACE => Ok(None),
            change => change.map(Some),
        },
        (true, false) => lo.remove_address(family).map(Some),
        (false, true) => Err(Errno::EOPNOTSUPP),
        (false, false) => Err(Errno::EADDRNOTAVAIL),
    }
}
