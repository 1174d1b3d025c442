//! Clocks and timers.

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// How fast a clock runs.
    ClockRate = "zx_clock_rate", 8 {
        /// By how much it moves ...
        synthetic_ticks: u32,
        /// ... while its reference moves by this much.
        reference_ticks: u32,
    }
    /// A line from the times of a clock's reference to those of the clock.
    ClockTransformation = "zx_clock_transformation", 24 {
        /// A time of the reference ...
        reference_offset: i64,
        /// ... and what the clock shows then.
        synthetic_offset: i64,
        /// From there on.
        rate: ClockRate,
    }
    /// All about a clock.
    ClockDetailsV1 = "zx_clock_details_v1", 112 {
        /// `ZX_CLOCK_OPT_*`.
        options: u64,
        /// What it never goes below.
        backstop_time: ZxTime,
        /// From ticks of the processor.
        reference_ticks_to_synthetic: ClockTransformation,
        /// From nanoseconds of the reference.
        reference_to_synthetic: ClockTransformation,
        /// How wrong it may be, in nanoseconds.
        error_bound: u64,
        /// When this was asked.
        query_ticks: ZxTicks,
        /// When its value was last set; 0 for never, here and below.
        last_value_update_ticks: ZxTicks,
        /// When its rate was last set.
        last_rate_adjust_update_ticks: ZxTicks,
        /// When its error bound was last set.
        last_error_bounds_update_ticks: ZxTicks,
        /// Another number after each update.
        generation_counter: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// How a clock is made.
    ClockCreateArgsV1 = "zx_clock_create_args_v1", 8 {
        /// What it never goes below.
        backstop_time: ZxTime,
    }
    /// What of a clock is to change: each if the options say so.
    ClockUpdateArgsV1 = "zx_clock_update_args_v1", 24 {
        /// How much faster than its reference it is to run, in parts per million.
        rate_adjust: i32,
        /// 0.
        padding1: u32,
        /// What it is to show.
        value: i64,
        /// How wrong it may be.
        error_bound: u64,
    }
    /// What of a clock is to change: each if the options say so.
    ClockUpdateArgsV2 = "zx_clock_update_args_v2", 32 {
        /// How much faster than its reference it is to run, in parts per million.
        rate_adjust: i32,
        /// 0.
        padding1: u32,
        /// What it is to show ...
        synthetic_value: i64,
        /// ... when its reference shows this.
        reference_value: i64,
        /// How wrong it may be.
        error_bound: u64,
    }
    /// `ZX_INFO_TIMER`.
    InfoTimer = "zx_info_timer", 24 {
        /// In which direction its deadlines may be moved.
        options: u32,
        /// The clock of its deadlines.
        clock_id: ZxClock,
        /// When it will fire, 0 if it is not set.
        deadline: ZxTime,
        /// By how much that may be moved.
        slack: ZxDuration,
    }
}
