//! Datagrams that are sent in parts (`MSG_MORE`, `UDP_CORK`).
//!
//! The one idea: the parts are kept with what the first of them said about where they go, and the last one sends them as any message is sent.

use std::sync::Arc;

use super::{
    End,
    send::{LENGTH_MAX, PAYLOAD_MAX, read_all},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Address, Ancillary, Control, MessageFlags, Outgoing,
        inet::options::{UDP, UDP_CORK},
    },
    vfs::IoSrc,
};

/// The parts of a datagram.
pub(super) struct Corked {
    to: Option<Address>,
    ancillary: Vec<Ancillary>,
    bytes: Vec<u8>,
}

impl End {
    /// Sends a datagram, or a part of one.
    pub(super) fn send(self: &Arc<Self>, message: &mut Outgoing<'_, '_>) -> SysResult {
        let more = message.flags.contains(MessageFlags::MORE) || self.is_corked();
        let mut corked = self.corked.lock();
        if !more && corked.is_none() {
            drop(corked);
            return self.send_whole(message);
        }
        let len = message.data.remaining();
        if len > LENGTH_MAX {
            return Err(Errno::EMSGSIZE);
        }
        if corked.is_none() && message.to.is_none() && self.names().peer.is_none() {
            return Err(Errno::EDESTADDRREQ);
        }
        let mut part = vec![0; len];
        let before = corked.as_ref().map_or(0, |corked| corked.bytes.len());
        let fits = if before + len > PAYLOAD_MAX.0 { Err(Errno::EMSGSIZE) } else { Ok(()) };
        // With a part that is lost all are.
        fits.and_then(|()| read_all(message.data, &mut part)).inspect_err(|_| *corked = None)?;
        let all = corked.get_or_insert_with(|| Corked {
            to: message.to.map(Address::from_slice),
            ancillary: std::mem::take(&mut message.control.ancillary),
            bytes: Vec::new(),
        });
        all.bytes.extend_from_slice(&part);
        let whole = if more { None } else { corked.take() };
        drop(corked);
        match whole {
            Some(whole) => self.send_corked(whole).map(|()| len),
            None => Ok(len),
        }
    }

    fn is_corked(&self) -> bool {
        self.numbers.is_set(UDP, UDP_CORK)
    }

    /// Sends what is kept, if nothing says any more that more comes.
    pub(super) fn uncork(self: &Arc<Self>) -> SysResult<()> {
        if self.is_corked() {
            return Ok(());
        }
        let kept = self.corked.lock().take();
        kept.map_or(Ok(()), |whole| self.send_corked(whole))
    }

    fn send_corked(self: &Arc<Self>, whole: Corked) -> SysResult<()> {
        let Corked { to, ancillary, bytes } = whole;
        let mut data = IoSrc::kernel(&bytes);
        let mut message = Outgoing {
            to: to.as_deref(),
            control: Control { ancillary, ..Control::default() },
            ..Outgoing::bytes(&mut data)
        };
        self.send_whole(&mut message).map(drop)
    }
}
