//! Files made of events: eventfd(2), timerfd_create(2), signalfd(2), pidfd_open(2), epoll(7), inotify(7).
//!
//! The one idea: they are ordinary [`File`](crate::vfs::File)s with a wait queue, so reading them,
//! polling them and putting them into an epoll set needs nothing of their own. [`aio`] has events without a file.

pub mod aio;
pub mod epoll;
pub mod eventfd;
pub mod inotify;
pub mod pidfd;
pub mod signalfd;
pub mod timerfd;

pub use self::{
    epoll::Epoll, eventfd::EventFd, inotify::Inotify, pidfd::PidFd, signalfd::SignalFd,
    timerfd::TimerFd,
};
