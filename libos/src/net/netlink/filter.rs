//! The programs by which who asks about Internet sockets says which it means (`INET_DIAG_REQ_BYTECODE`).
//!
//! The one idea: an operation says where to go on when it holds and where when not, always forward, and a socket is meant if that ends exactly at the
//! program's end.

use std::net::IpAddr;

use linux_raw_sys::net as raw;

use crate::{
    errno::{Errno, SysResult},
    net::inet::{
        address::{Family, Name, to_v6},
        diag::Told,
    },
};

/// The attribute that holds a program.
pub(super) const BYTECODE: u16 = 1;

/// The length of an operation, without what it compares with.
const OP: usize = 4;
/// The length of `struct inet_diag_hostcond` without an address.
const CONDITION: usize = 8;

/// `INET_DIAG_BC_*`
mod code {
    pub(super) const NOP: u8 = 0;
    pub(super) const JMP: u8 = 1;
    pub(super) const S_GE: u8 = 2;
    pub(super) const S_LE: u8 = 3;
    pub(super) const D_GE: u8 = 4;
    pub(super) const D_LE: u8 = 5;
    pub(super) const AUTO: u8 = 6;
    pub(super) const S_COND: u8 = 7;
    pub(super) const D_COND: u8 = 8;
    pub(super) const DEV_COND: u8 = 9;
    pub(super) const MARK_COND: u8 = 10;
    pub(super) const S_EQ: u8 = 11;
    pub(super) const D_EQ: u8 = 12;
}

/// A program whose operations are whole and lead forward.
pub(super) struct Program<'a>(&'a [u8]);

/// An operation.
#[derive(Clone, Copy)]
struct Op<'a> {
    code: u8,
    yes: usize,
    no: usize,
    /// What follows it.
    rest: &'a [u8],
}

impl<'a> Op<'a> {
    fn at(bytes: &'a [u8]) -> Option<Self> {
        let (&[code, yes, low, high], rest) = bytes.split_first_chunk::<OP>()?;
        let no = usize::from(u16::from_ne_bytes([low, high]));
        Some(Self { code, yes: usize::from(yes), no, rest })
    }

    /// How many bytes it has. `None` for one that is not known.
    fn len(&self) -> Option<usize> {
        Some(match self.code {
            code::NOP | code::JMP | code::AUTO => OP,
            code::S_GE..=code::D_LE | code::S_EQ | code::D_EQ => 2 * OP,
            code::DEV_COND => OP + 4,
            code::MARK_COND => OP + 8,
            code::S_COND | code::D_COND => {
                let address = match u32::from(*self.rest.first()?) {
                    raw::AF_UNSPEC => 0,
                    raw::AF_INET => 4,
                    raw::AF_INET6 => 16,
                    _ => return None,
                };
                let prefix = usize::from(*self.rest.get(1)?);
                if prefix > 8 * address {
                    return None;
                }
                OP + CONDITION + address
            }
            _ => return None,
        })
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.rest.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// Whether it holds of a socket.
    fn holds(&self, told: &Told) -> bool {
        let port = || (self.word(0) >> 16) as u16;
        match self.code {
            code::JMP => false,
            code::S_EQ => told.local.port == port(),
            code::S_GE => told.local.port >= port(),
            code::S_LE => told.local.port <= port(),
            code::D_EQ => told.peer.port == port(),
            code::D_GE => told.peer.port >= port(),
            code::D_LE => told.peer.port <= port(),
            code::AUTO => !told.bound_port,
            code::S_COND => self.is_at(told.family, told.local),
            code::D_COND => self.is_at(told.family, told.peer),
            code::DEV_COND => told.device == self.word(0),
            code::MARK_COND => told.mark as u32 & self.word(4) == self.word(0),
            _ => true,
        }
    }

    /// Whether a socket of `family` has a name that the condition is about.
    fn is_at(&self, family: Family, name: Name) -> bool {
        let (about, prefix) = (self.word(0) as u8, (self.word(0) >> 8) as u8);
        let port = self.word(4) as i32;
        if port != -1 && port != i32::from(name.port) {
            return false;
        }
        let v4 = match name.ip {
            IpAddr::V4(ip) => Some(ip.octets()),
            IpAddr::V6(_) => None,
        };
        let bytes = match u32::from(about) {
            raw::AF_INET => match v4 {
                Some(bytes) => bytes.to_vec(),
                None => return false,
            },
            raw::AF_INET6 if family == Family::V4 => return false,
            raw::AF_INET6 => to_v6(name.ip).octets().to_vec(),
            _ => return true,
        };
        let wanted = self.rest.get(CONDITION..).unwrap_or_default();
        let (whole, bits) = (usize::from(prefix) / 8, u32::from(prefix) % 8);
        let mask = !(0xff_u8.checked_shr(bits).unwrap_or(0));
        bytes.get(..whole) == wanted.get(..whole)
            && (bits == 0
                || bytes.get(whole).map(|byte| byte & mask)
                    == wanted.get(whole).map(|byte| byte & mask))
    }
}

impl<'a> Program<'a> {
    /// `EINVAL` for what is none.
    pub(super) fn parse(bytes: &'a [u8]) -> SysResult<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let op = Op::at(rest).ok_or(Errno::EINVAL)?;
            let len = op.len().filter(|&len| len <= rest.len()).ok_or(Errno::EINVAL)?;
            let leads = |to: usize| to >= OP && to <= rest.len() + OP && to.is_multiple_of(OP);
            if op.yes < len || !leads(op.yes) || !leads(op.no) {
                return Err(Errno::EINVAL);
            }
            rest = rest.get(op.yes..).ok_or(Errno::EINVAL)?;
        }
        Ok(Self(bytes))
    }

    /// Whether it means this socket.
    pub(super) fn passes(&self, told: &Told) -> bool {
        let mut rest = Some(self.0);
        while let Some(bytes) = rest.filter(|bytes| !bytes.is_empty()) {
            let Some(op) = Op::at(bytes).filter(|op| op.yes >= OP && op.no >= OP) else {
                return false;
            };
            rest = bytes.get(if op.holds(told) { op.yes } else { op.no }..);
        }
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(code: u8, yes: u8, no: u16) -> Vec<u8> {
        [&[code, yes][..], &no.to_ne_bytes()].concat()
    }

    fn told(local: &str, port: u16) -> Told {
        Told {
            local: Name::new(local.parse().unwrap(), port),
            ..Told::unnamed(if local.contains(':') { Family::V6 } else { Family::V4 })
        }
    }

    #[test]
    fn ports_are_compared() {
        // What ss makes of "sport >= :80 and sport <= :90": no is past the end.
        let program =
            [op(code::S_GE, 8, 20), op(0, 0, 80), op(code::S_LE, 8, 12), op(0, 0, 90)].concat();
        let program = Program::parse(&program).unwrap();
        for (port, meant) in [(79, false), (80, true), (90, true), (91, false)] {
            assert_eq!(program.passes(&told("127.0.0.1", port)), meant, "{port}");
        }
    }

    #[test]
    fn addresses_are_compared_by_their_first_bits() {
        let about = |family: u32, prefix: u8, port: i32, ip: &[u8]| {
            let len = (OP + CONDITION + ip.len()) as u8;
            let condition = [family as u8, prefix, 0, 0];
            [&op(code::S_COND, len, u16::from(len) + 4)[..], &condition, &port.to_ne_bytes(), ip]
                .concat()
        };
        let passes = |program: &[u8], told: &Told| Program::parse(program).unwrap().passes(told);
        let v4 = about(raw::AF_INET, 9, -1, &[127, 0, 0, 0]);
        assert!(passes(&v4, &told("127.1.0.1", 1)));
        assert!(!passes(&v4, &told("127.128.0.1", 1)));
        assert!(!passes(&v4, &told("::1", 1)));
        let v6 = about(raw::AF_INET6, 128, 7, &[0; 16]);
        assert!(passes(&v6, &told("::", 7)));
        assert!(!passes(&v6, &told("::", 8)));
        assert!(!passes(&v6, &told("0.0.0.0", 7)));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bad in [
            vec![0],
            op(99, 4, 4),
            op(code::NOP, 0, 4),
            op(code::NOP, 4, 0),
            op(code::NOP, 4, 3),
            op(code::NOP, 12, 4),
            op(code::S_GE, 8, 8),
            [op(code::S_COND, 12, 12), vec![9; 8]].concat(),
        ] {
            assert_eq!(Program::parse(&bad).err(), Some(Errno::EINVAL), "{bad:?}");
        }
    }
}
