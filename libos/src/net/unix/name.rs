//! Names of Unix sockets (unix(7)): a path, or bytes of the abstract name space, or none.
//!
//! The one idea: a name leads to a socket in one of two ways. A path leads to an inode, and that has a [`Binding`]; an abstract name is found in a
//! table of the [`Namespace`](super::Namespace). Both hold the socket weakly, and a closed one is not there.

use std::sync::{Arc, Weak};

use linux_raw_sys::net::AF_UNIX;
use parking_lot::Mutex;

use super::endpoint::Endpoint;
use crate::{
    errno::{Errno, SysResult},
    net::Address,
    vfs::Path,
};

/// Bytes of the family at the front of an address.
const FAMILY: usize = 2;
/// The size of `struct sockaddr_un`.
const ADDRESS_MAX: usize = 110;

/// What a guest's address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alleged<'a> {
    /// A path.
    Path(&'a [u8]),
    /// A name of the abstract name space, with its leading zero.
    Abstract(&'a [u8]),
}

/// The family of an address, if it has one.
pub fn family(address: &[u8]) -> Option<u16> {
    address.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// Whether it is the family alone, by which bind(2) is asked to find a name.
pub fn is_unnamed(address: &[u8]) -> bool {
    address.len() == FAMILY && family(address) == Some(AF_UNIX as u16)
}

/// What `address` names. `EINVAL`.
pub fn parse(address: &[u8]) -> SysResult<Alleged<'_>> {
    if address.len() <= FAMILY
        || address.len() > ADDRESS_MAX
        || family(address) != Some(AF_UNIX as u16)
    {
        return Err(Errno::EINVAL);
    }
    let name = &address[FAMILY..];
    if name[0] == 0 {
        return Ok(Alleged::Abstract(name));
    }
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    Ok(Alleged::Path(&name[..end]))
}

/// A name that a socket has.
pub struct Name {
    /// `sun_path`: a path as it was given, or an abstract name with its leading zero.
    bytes: Box<[u8]>,
    /// Where the path led to, which stays in the kernel as long as the name.
    _place: Option<Path>,
}

impl Name {
    /// A path, which led to `place`.
    pub fn of_path(path: &[u8], place: Path) -> Self {
        Self { bytes: path.into(), _place: Some(place) }
    }

    /// A name of the abstract name space.
    pub fn of_abstract(name: &[u8]) -> Self {
        Self { bytes: name.into(), _place: None }
    }

    /// Its bytes, if it is one of the abstract name space.
    pub fn as_abstract(&self) -> Option<&[u8]> {
        (self.bytes.first() == Some(&0)).then_some(&self.bytes)
    }

    /// `sun_path`
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As /proc/net/unix shows it: zeros are `@`.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).replace('\0', "@")
    }
}

/// The address that a socket with such a name has.
pub fn address(name: Option<&Name>) -> Address {
    let mut address = Address::from_slice(&(AF_UNIX as u16).to_ne_bytes());
    if let Some(name) = name {
        address.extend_from_slice(&name.bytes);
        if name.as_abstract().is_none() {
            address.push(0);
        }
    }
    address
}

/// What a socket's inode keeps: the socket that is bound to it.
#[derive(Default)]
pub struct Binding(Mutex<Weak<Endpoint>>);

impl Binding {
    /// Binds `endpoint` to it.
    pub(super) fn set(&self, endpoint: &Arc<Endpoint>) {
        *self.0.lock() = Arc::downgrade(endpoint);
    }

    /// The socket that is bound to it, unless that was closed.
    pub(super) fn get(&self) -> Option<Arc<Endpoint>> {
        self.0.lock().upgrade().filter(|endpoint| !endpoint.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &[u8]) -> Vec<u8> {
        [&1_u16.to_ne_bytes()[..], path].concat()
    }

    #[test]
    fn an_address_is_a_path_up_to_its_end_or_abstract() {
        assert_eq!(parse(&of(b"/a/b\0junk")), Ok(Alleged::Path(b"/a/b")));
        assert_eq!(parse(&of(b"/a")), Ok(Alleged::Path(b"/a")));
        assert_eq!(parse(&of(b"\0a\0")), Ok(Alleged::Abstract(b"\0a\0")));
        assert_eq!(parse(&of(b"\0")), Ok(Alleged::Abstract(b"\0")));
        for bad in [&of(b"")[..], b"", b"\x01", &of(&[b'x'; 109]), &[2, 0, b'a']] {
            assert_eq!(parse(bad), Err(Errno::EINVAL));
        }
        assert!(is_unnamed(&of(b"")) && !is_unnamed(b"\x01") && !is_unnamed(&of(b"a")));
    }

    #[test]
    fn an_abstract_name_has_no_zero_behind_it() {
        assert_eq!(address(None).as_slice(), of(b""));
        assert_eq!(address(Some(&Name::of_abstract(b"\0ab"))).as_slice(), of(b"\0ab"));
        assert_eq!(Name::of_abstract(b"\0ab").to_text(), "@ab");
    }
}
