//! Roles that are chosen at run time.

use super::{Requester, Responder};
use crate::Entry;

/// Who asks, and who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends requests and receives answers.
    Requester,
    /// Receives requests and sends answers.
    Responder,
}

impl Role {
    /// The other one's.
    pub fn other(self) -> Role {
        match self {
            Role::Requester => Role::Responder,
            Role::Responder => Role::Requester,
        }
    }
}

/// An end of a connection with requests `Q` and answers `A`, in a role that was chosen at run time.
#[derive(Debug)]
pub enum End<Q: Entry, A: Entry> {
    /// The one that asks.
    Requester(Requester<Q, A>),
    /// The one that answers.
    Responder(Responder<Q, A>),
}

impl<Q: Entry, A: Entry> End<Q, A> {
    /// Its role.
    pub fn role(&self) -> Role {
        match self {
            End::Requester(_) => Role::Requester,
            End::Responder(_) => Role::Responder,
        }
    }
}
