//! Handles that are closed while somebody uses them.

use super::*;
use crate::{
    Error, Event, EventPair, Handle, HandleTable, HandleValue, KernelObject, Port, Rights, Signals,
    port::WaitAsync,
};

const A: Signals = Signals::SIGNALED;

fn event(table: &HandleTable) -> (Arc<Event>, HandleValue) {
    let event = Event::create();
    (event.clone(), table.insert(Handle::new(event)).unwrap())
}

#[test]
fn a_wait_through_a_handle_that_is_closed_ends() {
    model(|| {
        let table = HandleTable::new();
        let (event, value) = event(&table);
        race!(
            || {
                let ended = block_on(table.wait_one(value, A));
                assert!(matches!(ended, Err(Error::Canceled | Error::BadHandle)));
            },
            || assert_eq!(table.close(value), Ok(())),
        );
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}

#[test]
fn an_operation_through_a_handle_that_is_closed_is_over() {
    model(|| {
        let (table, port) = (HandleTable::new(), Port::create());
        let (event, value) = event(&table);
        race!(|| _ = table.wait_async(value, &port, 1, A, WaitAsync::empty()), || assert_eq!(
            table.close(value),
            Ok(())
        ),);
        assert_eq!(event.base().signal_state().watchers(), 0);
        assert_eq!(port.cancel_key(1), Err(Error::NotFound));
    });
}

#[test]
fn of_two_who_close_a_handle_one_does() {
    model(|| {
        let table = HandleTable::new();
        let (event, value) = event(&table);
        let (mut closed, mut taken) = (None, None);
        race!(|| closed = Some(table.close(value)), || taken = Some(table.take(value).map(drop)));
        assert_eq!([closed, taken].iter().filter(|r| **r == Some(Ok(()))).count(), 1);
        assert_eq!((event.handle_count(), table.len()), (0, 0));
    });
}

/// A peer learns of the close when the last handle goes, and not before.
#[test]
fn a_duplicate_made_while_the_handle_is_closed_keeps_the_object_open() {
    model(|| {
        let (table, (end, other)) = (HandleTable::new(), EventPair::create());
        let value = table.insert(Handle::new(end.clone())).unwrap();
        let mut copy = None;
        race!(|| copy = Some(table.duplicate(value, Rights::SAME_RIGHTS)), || assert_eq!(
            table.close(value),
            Ok(())
        ),);
        let copied = copy.unwrap();
        assert_eq!(end.handle_count(), u32::from(copied.is_ok()));
        assert_eq!(other.signals().contains(Signals::PEER_CLOSED), copied.is_err());
        assert_eq!(copied.map_or(Ok(()), |copy| table.close(copy)), Ok(()));
        assert!(other.signals().contains(Signals::PEER_CLOSED));
    });
}

#[test]
fn a_value_that_is_used_while_it_is_replaced_names_the_object_or_nothing() {
    model(|| {
        let table = HandleTable::new();
        let (event, value) = event(&table);
        race!(
            || match table.get::<Event>(value, Rights::SIGNAL) {
                Ok(found) => assert_eq!(found.koid(), event.koid()),
                Err(error) => assert_eq!(error, Error::BadHandle),
            },
            || {
                let weak = table.replace(value, Rights::WAIT).unwrap();
                let found = table.get::<Event>(weak, Rights::SIGNAL);
                assert_eq!(found.err(), Some(Error::AccessDenied));
            },
        );
        assert_eq!((event.handle_count(), table.len()), (1, 1));
    });
}
