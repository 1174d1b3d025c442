//! Tests of handles and their tables.

use std::{collections::HashSet, task::Context};

use futures::task::noop_waker_ref;

use super::*;
use crate::{event::Event, eventpair::EventPair};

fn event(table: &HandleTable) -> HandleValue {
    table.insert(Handle::new(Event::create())).unwrap_or(HandleValue::INVALID)
}

#[test]
fn lookup_checks_value_then_type_then_rights() {
    let table = HandleTable::new();
    let value = event(&table);
    let weak = table.duplicate(value, Rights::WAIT);
    let weak = weak.unwrap_or(HandleValue::INVALID);
    let err = |value, rights| table.get::<Event>(value, rights).err();
    assert_eq!(err(value, Rights::SIGNAL), None);
    assert_eq!(err(HandleValue::INVALID, Rights::SIGNAL), Some(Error::BadHandle));
    assert_eq!(err(HandleValue(value.0 & !3), Rights::SIGNAL), Some(Error::BadHandle));
    assert_eq!(err(HandleValue(!0), Rights::SIGNAL), Some(Error::BadHandle));
    assert_eq!(err(weak, Rights::SIGNAL), Some(Error::AccessDenied));
    assert_eq!(table.get::<EventPair>(weak, Rights::SIGNAL).err(), Some(Error::WrongType));
    assert_eq!(table.get_any(weak, Rights::SIGNAL).err(), Some(Error::AccessDenied));
    let rights = table.get_with_rights::<Event>(weak, Rights::WAIT).map(|(_, rights)| rights);
    assert_eq!(rights.ok(), Some(Rights::WAIT));
}

#[test]
fn values_have_their_low_bits_set_and_return_late() {
    let table = HandleTable::new();
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        let value = event(&table);
        assert_eq!(value.0 & 3, 3);
        assert!(seen.insert(value), "{value:?} came twice");
        assert_eq!(table.close(value), Ok(()));
        assert_eq!(table.close(value), Err(Error::BadHandle));
    }
    assert!(table.slots.lock().slots.len() <= MIN_FREE + 2);
    assert!(table.is_empty());
}

#[test]
fn closing_the_invalid_value_does_nothing() {
    assert_eq!(HandleTable::new().close(HandleValue::INVALID), Ok(()));
}

#[test]
fn duplicate_needs_the_right_and_cannot_widen() {
    let table = HandleTable::new();
    let value = event(&table);
    let count = || table.get_any(value, Rights::empty()).map(|o| o.handle_count());
    assert_eq!(count(), Ok(1));
    let copy = table.duplicate(value, Rights::SAME_RIGHTS);
    assert!(copy.is_ok_and(|copy| table.info(copy) == table.info(value)));
    assert_eq!(count(), Ok(2));
    assert_eq!(table.duplicate(value, Rights::READ), Err(Error::InvalidArgs));
    assert_eq!(table.duplicate(HandleValue(!0), Rights::WAIT), Err(Error::BadHandle));
    let fixed = table.duplicate(value, Rights::WAIT).and_then(|v| table.duplicate(v, Rights::WAIT));
    assert_eq!(fixed, Err(Error::AccessDenied));
}

#[test]
fn replace_consumes_the_old_value_even_when_it_fails() {
    let table = HandleTable::new();
    let value = event(&table);
    let new = table.replace(value, Rights::WAIT | Rights::TRANSFER);
    assert!(new.is_ok_and(|new| new != value));
    assert_eq!(table.replace(value, Rights::SAME_RIGHTS), Err(Error::BadHandle));
    let new = new.unwrap_or(HandleValue::INVALID);
    assert_eq!(table.replace(new, Rights::SIGNAL), Err(Error::InvalidArgs));
    assert!(table.is_empty());
}

#[test]
fn a_transfer_takes_all_or_closes_all() {
    let (from, to) = (HandleTable::new(), HandleTable::new());
    let (a, b) = (event(&from), event(&from));
    let taken = from.take_to_transfer(&[a, b]);
    for handle in taken.unwrap_or_default() {
        assert!(to.insert(handle).is_ok());
    }
    assert_eq!((from.len(), to.len()), (0, 2));

    let (a, b) = (event(&from), event(&from));
    let fixed = from.replace(b, Rights::WAIT).unwrap_or(HandleValue::INVALID);
    assert_eq!(from.take_to_transfer(&[fixed, a]).err(), Some(Error::AccessDenied));
    assert!(from.is_empty());
    let a = event(&from);
    assert_eq!(from.take_to_transfer(&[a, a]).err(), Some(Error::BadHandle));
    assert!(from.is_empty());
}

#[test]
fn close_many_closes_the_valid_ones() {
    let table = HandleTable::new();
    let (a, b) = (event(&table), event(&table));
    let values = [a, HandleValue(0x33), b, HandleValue::INVALID];
    assert_eq!(table.close_many(&values), Err(Error::BadHandle));
    assert!(table.is_empty());
    assert_eq!(table.close_many(&[]), Ok(()));
}

#[test]
fn dropping_the_table_closes_its_handles() {
    let (a, b) = EventPair::create();
    let table = HandleTable::new();
    assert!(table.insert(Handle::new(a.clone())).is_ok());
    assert_eq!(b.signals(), Signals::empty());
    drop(table);
    assert_eq!(b.signals(), Signals::PEER_CLOSED);
    assert_eq!(a.handle_count(), 0);
}

#[test]
fn a_full_table_refuses_and_closes_the_handle() {
    let table = HandleTable::new();
    let object = Event::create();
    for _ in 0..MAX_HANDLES {
        assert!(table.insert(Handle::new(object.clone())).is_ok());
    }
    assert_eq!(table.insert(Handle::new(object.clone())), Err(Error::NoMemory));
    assert_eq!(object.handle_count() as usize, MAX_HANDLES);
    let value = table.list()[5].0;
    assert_eq!(table.close(value), Ok(()));
    assert!(table.insert(Handle::new(object)).is_ok_and(|new| new != value));
}

#[test]
fn closing_a_handle_cancels_the_waits_made_through_it() {
    let table = HandleTable::new();
    let value = event(&table);
    let copy = table.duplicate(value, Rights::SAME_RIGHTS).unwrap_or(HandleValue::INVALID);
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut one = Box::pin(table.wait_one(value, Signals::SIGNALED));
    let mut other = Box::pin(table.wait_one(copy, Signals::SIGNALED));
    let items = [(copy, Signals::USER_0), (value, Signals::USER_0)];
    let mut many = Box::pin(table.wait_many(&items));
    assert!(one.poll_unpin(&mut cx).is_pending());
    assert!(other.poll_unpin(&mut cx).is_pending());
    assert!(many.poll_unpin(&mut cx).is_pending());
    assert_eq!(table.close(value), Ok(()));
    assert_eq!(one.poll_unpin(&mut cx), Poll::Ready(Err(Error::Canceled)));
    assert_eq!(many.poll_unpin(&mut cx), Poll::Ready(Err(Error::Canceled)));
    assert!(other.poll_unpin(&mut cx).is_pending());
    let signaled = table.get::<Event>(copy, Rights::SIGNAL);
    assert!(signaled.is_ok_and(|e| e.signal(Signals::empty(), Signals::SIGNALED).is_ok()));
    assert_eq!(other.poll_unpin(&mut cx), Poll::Ready(Ok(Signals::SIGNALED)));
}

#[test]
fn what_was_signaled_before_the_handle_was_closed_ends_the_wait() {
    let table = HandleTable::new();
    let value = event(&table);
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut one = Box::pin(table.wait_one(value, Signals::USER_0));
    let items = [(value, Signals::USER_0)];
    let mut many = Box::pin(table.wait_many(&items));
    assert!(one.poll_unpin(&mut cx).is_pending() && many.poll_unpin(&mut cx).is_pending());
    let signaled = table.get::<Event>(value, Rights::SIGNAL).unwrap();
    assert_eq!(signaled.signal(Signals::empty(), Signals::USER_0), Ok(()));
    assert_eq!(table.close(value), Ok(()));
    assert_eq!(one.poll_unpin(&mut cx), Poll::Ready(Ok(Signals::USER_0)));
    let Poll::Ready(Ok(pending)) = many.poll_unpin(&mut cx) else { panic!("it has its signal") };
    assert_eq!(pending.to_vec(), [Signals::USER_0]);
}

#[test]
fn waiting_needs_a_valid_handle_with_the_right() {
    let table = HandleTable::new();
    let value = event(&table);
    let deaf = table.replace(value, Rights::SIGNAL).unwrap_or(HandleValue::INVALID);
    let wait = |value| table.wait_one(value, Signals::SIGNALED).now_or_never();
    assert_eq!(wait(value), Some(Err(Error::BadHandle)));
    assert_eq!(wait(deaf), Some(Err(Error::AccessDenied)));
    let many = [(deaf, Signals::SIGNALED); WAIT_MANY_MAX_ITEMS + 1];
    let wait = |n: usize| table.wait_many(&many[..n]).now_or_never();
    assert_eq!(wait(1), Some(Err(Error::AccessDenied)));
    assert_eq!(wait(WAIT_MANY_MAX_ITEMS + 1), Some(Err(Error::OutOfRange)));
}

#[test]
fn threads_that_open_and_close_leave_nothing() {
    let (table, object) = (HandleTable::new(), Event::create());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let value = table.insert(Handle::new(object.clone()));
                    let value = value.unwrap_or(HandleValue::INVALID);
                    assert!(table.get::<Event>(value, Rights::SIGNAL).is_ok());
                    assert_eq!(table.close(value), Ok(()));
                }
            });
        }
    });
    assert!(table.is_empty());
    assert_eq!(object.handle_count(), 0);
}
#[test]
fn what_cannot_be_waited_for_is_not_even_by_who_has_the_right() {
    let table = HandleTable::new();
    let port = Handle::with_rights(crate::Port::create(), Rights::WAIT);
    let value = table.insert(port).unwrap_or(HandleValue::INVALID);
    let one = table.wait_one(value, Signals::USER_0).now_or_never();
    assert_eq!(one, Some(Err(Error::NotSupported)));
    let many = table.wait_many(&[(value, Signals::USER_0)]).now_or_never();
    assert_eq!(many, Some(Err(Error::NotSupported)));
    let target = crate::Port::create();
    let options = crate::port::WaitAsync::empty();
    let later = table.wait_async(value, &target, 1, Signals::USER_0, options);
    assert_eq!(later, Err(Error::NotSupported));
}

#[test]
fn waits_through_one_table_are_not_those_through_another() {
    let (here, there, object) = (HandleTable::new(), HandleTable::new(), Event::create());
    let insert = |table: &HandleTable| table.insert(Handle::new(object.clone()));
    let (value, other) = (insert(&here).unwrap(), insert(&there).unwrap());
    assert_eq!(value, other, "the same number for the same object");
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut wait = Box::pin(here.wait_one(value, Signals::SIGNALED));
    assert!(wait.poll_unpin(&mut cx).is_pending());
    assert_eq!(there.close(other), Ok(()));
    assert!(wait.poll_unpin(&mut cx).is_pending());
    assert_eq!(here.close(value), Ok(()));
    assert_eq!(wait.poll_unpin(&mut cx), Poll::Ready(Err(Error::Canceled)));
}

#[test]
fn what_a_handle_is_shows_in_the_table_with_its_rights() {
    let table = HandleTable::new();
    let (a, b) = EventPair::create();
    let first = event(&table);
    let rights = Rights::WAIT | Rights::SIGNAL;
    let value = table.insert(Handle::with_rights(a.clone(), rights)).unwrap();
    let info = HandleInfo {
        koid: a.koid(),
        rights,
        object_type: ObjectType::EventPair,
        related_koid: b.koid(),
    };
    assert_eq!(table.info(value), Ok(info));
    let list = table.list();
    assert_eq!((list.len(), table.len(), list[0].0, list[1]), (2, 2, first, (value, info)));
    assert_eq!(table.info(first).map(|info| info.related_koid), Ok(0), "an event has none");

    let any = |value, rights| table.get_any_with_rights(value, rights);
    assert!(any(value, Rights::WAIT).is_ok_and(|(o, r)| (o.koid(), r) == (a.koid(), rights)));
    assert_eq!(any(value, Rights::READ).err(), Some(Error::AccessDenied));
    assert_eq!(any(value, Rights::READ | Rights::WAIT).err(), Some(Error::AccessDenied));
    assert_eq!(any(HandleValue(3 << 10 | 3), Rights::WAIT).err(), Some(Error::BadHandle));
    let typed = |value, rights| table.get_with_rights::<EventPair>(value, rights).err();
    assert_eq!(typed(value, rights), None);
    assert_eq!(typed(value, Rights::WRITE), Some(Error::AccessDenied));
    assert_eq!(typed(first, Rights::WRITE), Some(Error::WrongType));
    assert_eq!(typed(HandleValue::INVALID, rights), Some(Error::BadHandle));
    table.clear();
    assert_eq!((table.len(), a.handle_count(), table.info(value)), (0, 0, Err(Error::BadHandle)));
}

#[test]
fn handles_are_counted_however_they_are_made() {
    let (table, object) = (HandleTable::new(), Event::create());
    let handle = Handle::with_rights(object.clone(), Rights::BASIC);
    let copy = handle.duplicate(Rights::WAIT).unwrap();
    assert_eq!((copy.rights(), object.handle_count()), (Rights::WAIT, 2));
    assert_eq!(copy.duplicate(Rights::WAIT).err(), Some(Error::AccessDenied));
    assert_eq!(copy.get::<Event>(Rights::SIGNAL).err(), Some(Error::AccessDenied));
    assert_eq!(copy.get::<EventPair>(Rights::SIGNAL).err(), Some(Error::WrongType));
    let same = copy.replace(Rights::SAME_RIGHTS).unwrap();
    assert_eq!((same.rights(), object.handle_count()), (Rights::WAIT, 2));
    assert_eq!(same.replace(Rights::SIGNAL).err(), Some(Error::InvalidArgs));
    assert_eq!(object.handle_count(), 1, "closed by that");
    let value = table.insert(handle).unwrap();
    assert_eq!((object.handle_count(), live_handles() > 0), (1, true));
    let copy = table.copy(value, Rights::TRANSFER | Rights::WAIT).unwrap();
    assert_eq!((object.handle_count(), table.len()), (2, 1));
    assert_eq!(table.take(value).map(|it| it.rights()), Ok(Rights::BASIC));
    assert_eq!((object.handle_count(), table.take(value).err()), (1, Some(Error::BadHandle)));
    drop(copy);
    assert_eq!(object.handle_count(), 0);
}

#[test]
fn waiting_for_many_takes_64_and_tells_of_each_in_its_place() {
    let table = HandleTable::new();
    let (a, b) = (event(&table), event(&table));
    let signaled = table.get::<Event>(b, Rights::SIGNAL).unwrap();
    assert_eq!(signaled.signal(Signals::empty(), Signals::USER_2), Ok(()));
    let mut items = [(a, Signals::USER_2); WAIT_MANY_MAX_ITEMS];
    let wait = |items: &[_]| table.wait_many(items).now_or_never();
    assert_eq!(wait(&items), None);
    assert_eq!(wait(&[]), None, "for nothing one waits for ever");
    items[40].0 = b;
    let Some(Ok(pending)) = wait(&items) else { panic!("one has its signal") };
    let set: Vec<_> = (0..pending.len()).filter(|&i| !pending[i].is_empty()).collect();
    assert_eq!((pending.len(), set, pending[40]), (64, vec![40], Signals::USER_2));
    items[63].0 = HandleValue(!0);
    assert_eq!(wait(&items), Some(Err(Error::BadHandle)));
    assert_eq!(table.close(a), Ok(()));
    assert_eq!(table.closed(a).now_or_never(), Some(Error::Canceled), "closed before");
    assert_eq!(table.closed(b).now_or_never(), None);
}
