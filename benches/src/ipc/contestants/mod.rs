//! The contestants, a file each; and what those have in common that send frames over a stream.

mod evering;
mod frame;
mod iceoryx2;
mod limit;
mod monoio;
mod pipe;
mod shmipc;
mod stream;
mod tokio_uds;
mod tokio_uring;
mod versions;

use super::{Contestant, Result};

/// All of them, in the order of tables.
pub const ALL: [&dyn Contestant; 9] = [
    &evering::Processes,
    &evering::Threads,
    &shmipc::Shmipc,
    &iceoryx2::Iceoryx2,
    &tokio_uds::TokioUds,
    &tokio_uring::TokioUring,
    &monoio::Monoio,
    &pipe::Pipe,
    &limit::Limit,
];

/// The contestant of that name.
///
/// # Errors
///
/// There is none.
pub fn named(name: &str) -> Result<&'static dyn Contestant> {
    ALL.into_iter()
        .find(|contestant| contestant.name() == name)
        .ok_or_else(|| format!("no contestant is called {name}").into())
}
