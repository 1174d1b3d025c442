//! What is told, without being asked, to those who have joined a group (`RTNLGRP_*`): that the network has changed.
//!
//! The one idea: a message of news is the answer that a question would have got, sent to all sockets of the namespace that listen for its kind.

use super::{
    asker::Asker,
    message::Request,
    route::{DELETE_ADDRESS, NEW_ADDRESS},
};
use crate::net::inet::{
    Stack,
    address::Family,
    loopback::{Change, State},
};

// `RTNLGRP_*`
const LINKS: u32 = 1;
const ADDRESSES_V4: u32 = 5;
const ADDRESSES_V6: u32 = 9;

/// The bit of a group.
pub(super) const fn bit(group: u32) -> u64 {
    1 << (group - 1)
}

/// What there is to tell of a change of `lo`, each message with its group, in Linux's order but for what is about routes.
fn messages(stack: &Stack, change: Change) -> Vec<(u32, Vec<u8>)> {
    let request = Request { bytes: &[], kind: 0, flags: 0, sequence: 0 };
    let asker = Asker { request: &request, port: 0, user: 0 };
    let mut found = Vec::new();
    let Some(lo) = stack.interfaces().into_iter().next() else { return found };
    let changed = change.from ^ change.to;
    if changed.contains(State::UP) {
        found.push((LINKS, asker.link(&lo)));
    }
    for (state, family, group) in
        [(State::V4, Family::V4, ADDRESSES_V4), (State::V6, Family::V6, ADDRESSES_V6)]
    {
        if changed.contains(state) {
            let there = change.to.contains(state);
            let kind = if there { NEW_ADDRESS } else { DELETE_ADDRESS };
            found.push((group, asker.loopback_address(kind, family)));
        }
    }
    found
}

/// Tells of a change of `lo` whoever wants to know. No socket may be locked.
pub(super) fn tell(stack: &Stack, change: Change) {
    if change.from == change.to {
        return;
    }
    let messages = messages(stack, change);
    for socket in stack.netlink_sockets() {
        for (group, message) in &messages {
            socket.hear(*group, message);
        }
    }
}

impl Stack {
    /// Tells programs of a change of `lo`, which did not come by netlink.
    pub(in crate::net) fn tell_of(&self, change: Change) {
        tell(self, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Network,
        net::{
            Incoming, Outgoing, Socket,
            netlink::{self, NetlinkSocket},
            unix,
            unix::tests::anybody,
        },
        process::UserNamespace,
        vfs::{File, IoDst, IoSrc},
    };
    use hal::pmem::PhysicalMemory;
    use std::sync::Arc;

    /// A socket of a new namespace that has joined `groups`.
    fn socket(groups: u32) -> (Arc<Stack>, Arc<NetlinkSocket>) {
        let memory = PhysicalMemory::new(None).unwrap();
        let first = Stack::new(Network::Loopback, None, &memory, &Arc::default());
        let (stack, unix) =
            (first.another(&UserNamespace::FIRST), unix::Namespace::new(&memory, &Arc::default()));
        let socket = NetlinkSocket::new(&stack, &unix, &anybody(), 3, netlink::ROUTE).unwrap();
        socket.bind(&anybody(), &netlink::to_address((0, groups))).unwrap();
        (stack, socket)
    }

    /// The type of the next message.
    fn next(socket: &NetlinkSocket) -> Option<u16> {
        let mut bytes = [0; 2048];
        let mut data = IoDst::kernel(&mut bytes);
        socket.receive(&mut Incoming::bytes(&mut data)).ok()?;
        Some(u16::from_ne_bytes([bytes[4], bytes[5]]))
    }

    #[test]
    fn who_has_joined_hears_what_has_changed() {
        let (stack, socket) = socket(1 | 1 << 4 | 1 << 8);
        stack.tell_of(stack.routes().loopback().set_up(true));
        assert_eq!([(); 4].map(|()| next(&socket)), [Some(16), Some(20), Some(20), None]);
        stack.tell_of(stack.routes().loopback().set_up(true));
        assert_eq!(next(&socket), None);
        stack.tell_of(stack.routes().loopback().set_up(false));
        assert_eq!([(); 3].map(|()| next(&socket)), [Some(16), Some(21), None]);
    }

    #[test]
    fn who_has_not_joined_hears_nothing() {
        let (stack, socket) = socket(0);
        stack.tell_of(stack.routes().loopback().set_up(true));
        assert_eq!(next(&socket), None);
    }

    #[test]
    fn requests_that_are_cut_short_or_make_no_sense_are_refused() {
        let (stack, socket) = socket(0);
        for kind in 16..128_u16 {
            for len in 0..40_u32 {
                let mut request = (len + 16).to_ne_bytes().to_vec();
                request.extend_from_slice(&kind.to_ne_bytes());
                request.extend_from_slice(&[0xff; 50]);
                request.truncate(len as usize + 16);
                socket.write(0, &mut IoSrc::kernel(&request)).unwrap();
                while next(&socket).is_some() {}
                let mut data = IoSrc::kernel(&request);
                socket.send(&anybody(), &mut Outgoing::bytes(&mut data)).unwrap();
                while next(&socket).is_some() {}
            }
        }
        assert_eq!(stack.routes().loopback().state(), State::NEW);
    }
}
