//! Waits for several objects whose signals come at the same time, or whose handle is closed meanwhile.

use super::*;
use crate::{Error, Event, Handle, HandleTable, KernelObject, Signals, wait_many::wait_many};

const A: Signals = Signals::SIGNALED;

fn watchers(events: &[Arc<Event>]) -> usize {
    events.iter().map(|event| event.base().signal_state().watchers()).sum()
}

fn items(events: &[Arc<Event>]) -> impl Iterator<Item = (&dyn KernelObject, Signals)> {
    events.iter().map(|event| (&**event as &dyn KernelObject, A))
}

#[test]
fn the_first_signal_of_several_ends_it_and_no_watcher_stays() {
    model(|| {
        let events = [(); 3].map(|()| Event::create());
        race!(
            || {
                let pending = block_on(wait_many(items(&events))).unwrap();
                assert!(pending.iter().any(|seen| seen.contains(A)));
            },
            || events[0].base().signal_state().set(A),
            || events[2].base().signal_state().set(A),
        );
        assert_eq!(watchers(&events), 0);
    });
}

#[test]
fn it_wakes_the_task_that_polled_last_and_none_once_given_up() {
    model(|| {
        let events = [(); 2].map(|()| Event::create());
        let (mut moved, mut given_up) = (wait_many(items(&events)), wait_many(items(&events)));
        assert!(poll_once(&mut moved).is_pending() && poll_once(&mut given_up).is_pending());
        race!(|| assert!(block_on(moved).is_ok()), || drop(given_up), || events[1]
            .base()
            .signal_state()
            .set(A),);
        assert_eq!(watchers(&events), 0);
    });
}

#[test]
fn a_handle_that_is_closed_meanwhile_ends_it() {
    model(|| {
        let (table, events) = (HandleTable::new(), [(); 2].map(|()| Event::create()));
        let [a, b] = [0, 1].map(|i| table.insert(Handle::new(events[i].clone())).unwrap());
        race!(
            || {
                let ended = block_on(table.wait_many(&[(a, A), (b, A)]));
                assert!(matches!(ended, Err(Error::Canceled | Error::BadHandle)));
            },
            || assert_eq!(table.close(b), Ok(())),
        );
        assert_eq!(watchers(&events), 0);
    });
}
