//! Channels, sockets and what else carries bytes.

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// The message of `zx_channel_call` and the room for its answer.
    ChannelCallArgs = "zx_channel_call_args", 48 {
        /// The bytes.
        wr_bytes: ConstBytes,
        /// The handles.
        wr_handles: ConstHandles,
        /// Where the answer's bytes go.
        rd_bytes: MutBytes,
        /// Where the answer's handles go.
        rd_handles: MutHandles,
        /// How many bytes.
        wr_num_bytes: u32,
        /// How many handles.
        wr_num_handles: u32,
        /// Room for how many bytes.
        rd_num_bytes: u32,
        /// Room for how many handles.
        rd_num_handles: u32,
    }
    /// The message of `zx_channel_call_etc` and the room for its answer.
    ChannelCallEtcArgs = "zx_channel_call_etc_args", 48 {
        /// The bytes.
        wr_bytes: ConstBytes,
        /// The handles and what is done with them.
        wr_handles: MutDispositions,
        /// Where the answer's bytes go.
        rd_bytes: MutBytes,
        /// Where the answer's handles go.
        rd_handles: MutHandleInfos,
        /// How many bytes.
        wr_num_bytes: u32,
        /// How many handles.
        wr_num_handles: u32,
        /// Room for how many bytes.
        rd_num_bytes: u32,
        /// Room for how many handles.
        rd_num_handles: u32,
    }
    /// A part of a message.
    ChannelIovec = "zx_channel_iovec", 16 {
        /// Its bytes.
        buffer: ConstBytes,
        /// How many.
        capacity: u32,
        /// 0.
        reserved: u32,
    }
    /// `ZX_INFO_SOCKET`.
    InfoSocket = "zx_info_socket", 48 {
        /// What it carries.
        options: u32,
        /// 0.
        padding1: u32,
        /// How many bytes its buffer has room for.
        rx_buf_max: usize,
        /// How many there are in it.
        rx_buf_size: usize,
        /// How many of them one read can get.
        rx_buf_available: usize,
        /// How many bytes the other end's buffer has room for.
        tx_buf_max: usize,
        /// How many there are in it.
        tx_buf_size: usize,
    }
}
