//! The thread that notices deaths.
//!
//! The one idea: who sleeps on a futex cannot wait for a process as well. So one thread of this process, started with the
//! first [`Watch`] that is set, sleeps on all of them at once, and does for each dead peer what it can no longer do itself.
//! It uses no CPU until somebody dies.

use alloc::sync::Arc;
use std::{
    collections::HashMap,
    io, process,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use super::{Watch, link::Signs};

/// A watch that the thread has an eye on, until this is dropped.
pub(super) struct Watched {
    watch: Watch,
    key: u64,
    watcher: Arc<Watcher>,
}

/// What the thread and the others share.
struct Watcher {
    epoll: Epoll,
    /// Whose peers are watched, by the number that epoll has been told.
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    by_key: HashMap<u64, Arc<Signs>>,
    last: u64,
}

/// The process's watcher, and which process that was: a child that was forked off has no such thread.
static WATCHER: Mutex<Option<(u32, Arc<Watcher>)>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under either lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    fn of_this_process() -> io::Result<Arc<Self>> {
        let mut known = lock(&WATCHER);
        if let Some((pid, watcher)) = &*known
            && *pid == process::id()
        {
            return Ok(watcher.clone());
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let watcher = Arc::new(Watcher { epoll, links: Mutex::default() });
        let watching = watcher.clone();
        thread::Builder::new().name("evering-deaths".into()).spawn(move || watching.run())?;
        *known = Some((process::id(), watcher.clone()));
        Ok(watcher)
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); 16];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                // The descriptor has been closed over our heads.
                Err(_) => return,
            };
            for event in &events[..count] {
                let link = lock(&self.links).by_key.get(&event.data()).cloned();
                if let Some(link) = link {
                    link.peer_is_dead();
                }
            }
        }
    }
}

impl Watched {
    pub(super) fn new(watch: Watch, link: Arc<Signs>) -> io::Result<Self> {
        let watcher = Watcher::of_this_process()?;
        let key = {
            let mut links = lock(&watcher.links);
            links.last += 1;
            let key = links.last;
            links.by_key.insert(key, link);
            key
        };
        let watched = Watched { watch, key, watcher };
        // Once: it stays readable.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        watched.watcher.epoll.add(&watched.watch, EpollEvent::new(flags, key))?;
        Ok(watched)
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A child that was forked off since may have the descriptor too, so closing it would not do.
        let _ = self.watcher.epoll.delete(&self.watch);
        lock(&self.watcher.links).by_key.remove(&self.key);
    }
}
