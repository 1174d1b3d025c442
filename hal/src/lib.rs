//! The emulated hardware: the only part of the kernel that touches the host.
//!
//! Physical memory, address spaces, user mode, CPUs, clocks, interrupts, the console: what a kernel finds on a
//! machine is here made of what a host process can have. The one idea: everything that is *not deterministic*
//! or *not safe* lives in this crate, behind interfaces that are both; the crates above forbid `unsafe` and make no host calls.
//!
//! For those who know zCore's hardware abstraction layer, its names and ours:
//!
//! | zCore | here |
//! |---|---|
//! | `thread_spawn` | [`cpu::spawn`], [`cpu::Handle::spawn_on`] |
//! | `pmem_read`, `pmem_write`, `pmem_copy`, `pmem_zero` | [`pmem::PhysicalMemory::read`], [`write`](pmem::PhysicalMemory::write), [`copy`](pmem::PhysicalMemory::copy), [`zero`](pmem::PhysicalMemory::zero) |
//! | `frame_alloc`, `frame_dealloc` | [`pmem::PhysicalMemory::allocate`] and the drop of its [`pmem::Extent`] |
//! | `pt_map`, `pt_unmap`, `pt_protect`, `pt_query` | [`aspace::AddressSpace::map`], [`unmap`](aspace::AddressSpace::unmap), [`protect`](aspace::AddressSpace::protect), [`query`](aspace::AddressSpace::query) |
//! | `context_run` | [`context::UserContext::run`] |
//! | `timer_now` | [`time::monotonic`] |
//! | `timer_set` | [`time::sleep_until`] |
//! | `timer_tick` | a CPU's look at its timers between tasks; [`context::Trap::Timer`] for a guest |
//! | `serial_read`, `serial_write` | [`console::Console::read`], [`write`](console::Console::write) |
//! | `irq_enable`, `irq_disable` | [`irq::Line::enable`], [`disable`](irq::Line::disable) |
//! | `irq_handle` | [`irq::Line::handle`], or the line as a stream |
//! | `fill_random` | [`random::fill`] |

#![cfg_attr(
    loom,
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "models use less than the kernel does"
    )
)]

#[cfg(not(loom))]
pub mod aspace;
#[cfg(not(loom))]
pub mod console;
#[cfg(not(loom))]
pub mod context;
#[cfg(not(loom))]
pub mod cpu;
#[cfg(not(loom))]
pub mod fault;
#[cfg(not(loom))]
pub mod host;
#[cfg(not(loom))]
pub mod irq;
#[cfg(not(loom))]
pub mod pmem;
#[cfg(not(loom))]
pub mod random;
#[cfg(not(loom))]
mod raw_call;
#[cfg(not(loom))]
pub mod reactor;
#[cfg(not(loom))]
pub mod ring;
#[cfg(not(loom))]
pub mod seed;
#[cfg(not(loom))]
pub(crate) mod stub;
pub mod sync;
#[cfg(not(loom))]
pub mod time;

// For the models, the protocols that live with what they serve; nothing else has a meaning without the host.
#[cfg(loom)]
#[path = "context/gate.rs"]
mod gate;
#[cfg(loom)]
#[path = "context/kick.rs"]
mod kick;
#[cfg(loom)]
#[path = "cpu/park.rs"]
mod park;
#[cfg(loom)]
#[path = "stub/turn.rs"]
mod turn;
