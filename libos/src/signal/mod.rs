//! Signals: what is sent, what is pending, what a guest wants done about it, and how it is done.
//!
//! The one idea: everything about signals that is only data (sets, infos, queues, actions, frames) knows nothing of threads, so that it can be tested by
//! itself; the rest is the few verbs that join it to them. See signal(7).

pub mod action;
pub mod altstack;
pub mod async_io;
mod deliver;
mod frame;
pub mod info;
pub mod number;
pub mod pending;
pub mod restorer;
mod send;
pub mod state;
pub mod stop;

pub use self::{
    action::{SigAction, SignalActions},
    altstack::{AltStack, StackT},
    info::SigInfo,
    number::{DefaultAction, SigSet, Signal},
    pending::PendingSignals,
    state::{ProcessSignals, ThreadSignals},
    stop::Stop,
};
pub(crate) use self::{
    deliver::{deliver, force_exception, force_fault, sigreturn},
    frame::{LEGACY_XSTATE, MAGIC2_SIZE, SOFTWARE_WORDS},
    send::{broken_pipe, file_too_large},
};
