//! The options of TCP that are more than a number: what is known about a connection, the congestion control, and those that depend on the state.
//!
//! The one idea: what a connection over `lo` has no use for, it has as Linux has it at first: nothing is lost there, and nothing is late.

use linux_raw_sys::net as raw;
use zerocopy::{Immutable, IntoBytes};

use super::{End, State, TcpSocket};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Caller,
        inet::options::{TCP, number, to_bytes},
    },
    vfs::Capabilities,
};

/// The congestion control that there is (`net.ipv4.tcp_congestion_control`).
pub(in crate::net::inet) const CONGESTION: &[u8] = b"cubic";
/// The room that names of it have.
const CONGESTION_MAX: usize = 16;

/// The bytes of a segment that is not known yet, and of one of `lo`.
const SEGMENTS: (i32, i32) = (536, 65483);

/// `struct tcp_info`, as far as there is something to tell.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Info {
    state: u8,
    _ca_state: u8,
    _retransmits: u8,
    _probes: u8,
    _backoff: u8,
    options: u8,
    window_scales: u8,
    _flags: u8,
    retransmission_timeout: u32,
    ack_timeout: u32,
    send_segment: u32,
    receive_segment: u32,
    unacknowledged: u32,
    sacked: u32,
    _lost: [u32; 3],
    _last: [u32; 4],
    path_mtu: u32,
    _receive_threshold: u32,
    round_trip: u32,
    round_trip_variance: u32,
    send_threshold: u32,
    congestion_window: u32,
    advertised_segment: u32,
    reordering: u32,
    _receive_round_trip: u32,
    receive_space: u32,
    _retransmitted: u32,
    _rates: [u64; 2],
    _bytes: [u64; 2],
    _segments: [u32; 2],
    not_sent: u32,
    _rest: [u32; 25],
}

/// Timestamps, selective acknowledgements, window scaling.
const NEGOTIATED: u8 = 1 | 2 | 4;

impl TcpSocket {
    /// Sets an option that is not of `SOL_SOCKET`.
    pub(super) fn set_own_option(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        let end = &self.end;
        if level != TCP {
            return end.set_number(caller, level, name, value);
        }
        match name {
            raw::TCP_CONGESTION => {
                if value.is_empty() {
                    return Err(Errno::EINVAL);
                }
                let name = value.get(..CONGESTION_MAX - 1).unwrap_or(value);
                let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
                return if name == CONGESTION { Ok(()) } else { Err(Errno::ENOENT) };
            }
            raw::TCP_ULP => {
                return Err(if value.is_empty() { Errno::EINVAL } else { Errno::ENOENT });
            }
            _ => {}
        }
        let number = number(level, value)?;
        match name {
            raw::TCP_REPAIR if !end.stack().allows(caller, Capabilities::NET_ADMIN) => {
                return Err(Errno::EPERM);
            }
            raw::TCP_FASTOPEN | raw::TCP_FASTOPEN_CONNECT | raw::TCP_SAVE_SYN
                if number != 0 && !matches!(end.state(), State::Close | State::Listen) =>
            {
                end.numbers.get(level, name)?;
                return Err(Errno::EINVAL);
            }
            _ => {}
        }
        end.numbers.set(level, name, number)
    }

    /// The value of an option that is not of `SOL_SOCKET`.
    pub(super) fn own_option(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        let end = &self.end;
        if level != TCP {
            return end.number(level, name, room);
        }
        let value = match name {
            raw::TCP_CONGESTION => {
                let mut name = CONGESTION.to_vec();
                name.resize(CONGESTION_MAX.min(room), 0);
                return Ok(name);
            }
            raw::TCP_ULP => return Ok(Vec::new()),
            raw::TCP_INFO => return Ok(end.info_bytes()),
            raw::TCP_MAXSEG => end.segment(),
            _ => end.numbers.get(level, name)?,
        };
        Ok(to_bytes(level, value, room))
    }
}

impl End {
    fn segment(&self) -> i32 {
        let asked = self.numbers.get(TCP, raw::TCP_MAXSEG).unwrap_or(0);
        match self.state() {
            State::Close | State::Listen if asked > 0 => asked,
            State::Close | State::Listen | State::SynSent => SEGMENTS.0,
            _ if asked > 0 => asked.min(SEGMENTS.1),
            _ => SEGMENTS.1,
        }
    }

    /// `struct tcp_info`
    pub(in crate::net::inet) fn info_bytes(&self) -> Vec<u8> {
        self.info().as_bytes().to_vec()
    }

    fn info(&self) -> Info {
        let state = self.state();
        let connected = matches!(state, State::Established | State::CloseWait | State::FinWait2);
        let segment = self.segment() as u32;
        let (pending, limit) = self.fill().unwrap_or_default();
        let (unsent, _) = self.queues();
        let receive_space = (self.options.receive_buffer() / 2) as u32;
        Info {
            state: state as u8,
            options: if connected { NEGOTIATED } else { 0 },
            window_scales: if connected { 0x77 } else { 0 },
            retransmission_timeout: if connected { 201_000 } else { 1_000_000 },
            ack_timeout: if connected { 40_000 } else { 0 },
            send_segment: segment,
            receive_segment: if connected { 65483 } else { 536 },
            // Of a socket that listens: how many wait, and how many may.
            unacknowledged: pending as u32,
            sacked: limit as u32,
            path_mtu: if connected { 65535 } else { 0 },
            round_trip: if connected { 15 } else { 0 },
            round_trip_variance: if connected { 7 } else { 250_000 },
            send_threshold: i32::MAX as u32,
            congestion_window: 10,
            advertised_segment: if connected { 65483 } else { 536 },
            reordering: 3,
            receive_space,
            not_sent: unsent as u32,
            ..Info::default()
        }
    }
}
