//! Tests of channels through handle values.

use super::*;
use crate::{
    Rights,
    deadline::INFINITE,
    handle::{HandleTable, HandleValue},
};

/// A table with both ends of a channel.
fn ends() -> (HandleTable, HandleValue, HandleValue) {
    let (table, (a, b)) = (HandleTable::new(), Channel::create());
    let insert = |end| table.insert(Handle::new(end)).unwrap_or(HandleValue::INVALID);
    let (a, b) = (insert(a), insert(b));
    (table, a, b)
}

fn event(table: &HandleTable, rights: Rights) -> HandleValue {
    let handle = Handle::with_rights(Event::create(), rights);
    table.insert(handle).unwrap_or(HandleValue::INVALID)
}

const DEFAULT: Rights = Rights::default_for(ObjectType::Event);

fn receive(table: &HandleTable, end: HandleValue) -> Result<Received, ReadError> {
    table.channel_read(end, Room::ANY, ReadOptions::empty())
}

#[test]
fn handles_leave_one_table_and_enter_another_with_their_rights() {
    let (from, to) = (HandleTable::new(), HandleTable::new());
    let (a, b) = Channel::create();
    let (a, b) = (from.insert(Handle::new(a)), to.insert(Handle::new(b)));
    let (Ok(a), Ok(b)) = (a, b) else { panic!("an empty table is full") };
    let sent = event(&from, Rights::TRANSFER | Rights::WAIT);
    let info = from.info(sent);
    assert_eq!(from.channel_write(a, b"take".to_vec(), &[sent]), Ok(()));
    assert_eq!(from.info(sent).err(), Some(Error::BadHandle));
    let received = receive(&to, b).unwrap_or(Received { bytes: vec![], handles: vec![] });
    assert_eq!(received.bytes, b"take");
    let [(value, told)] = received.handles[..] else { panic!("one handle was sent") };
    assert_eq!((Ok(told), to.info(value)), (info, info));
}

#[test]
fn a_write_consumes_its_handles_whatever_the_result() {
    let (table, a, b) = ends();
    let mute = table.get_any(a, Rights::empty()).map(|a| Handle::with_rights(a, Rights::READ));
    let mute = mute.and_then(|handle| table.insert(handle)).unwrap_or(HandleValue::INVALID);
    let other = event(&table, DEFAULT);
    let fails = |channel, more: &[HandleValue]| {
        let mut values = vec![event(&table, DEFAULT)];
        values.extend(more);
        let error = table.channel_write(channel, vec![], &values).err();
        assert!(values.iter().all(|&value| table.info(value).is_err()), "{error:?}");
        error
    };
    assert_eq!(fails(HandleValue(!0), &[]), Some(Error::BadHandle));
    assert_eq!(fails(other, &[]), Some(Error::WrongType));
    assert_eq!(fails(mute, &[]), Some(Error::AccessDenied));
    assert_eq!(fails(a, &[HandleValue(!0)]), Some(Error::BadHandle));
    assert_eq!(fails(a, &[HandleValue::INVALID]), Some(Error::BadHandle));
    let twice = event(&table, DEFAULT);
    assert_eq!(fails(a, &[twice, twice]), Some(Error::BadHandle));
    assert_eq!(fails(a, &[event(&table, Rights::WAIT)]), Some(Error::AccessDenied));
    let many: Vec<_> = (0..64).map(|_| event(&table, DEFAULT)).collect();
    assert_eq!(fails(a, &many), Some(Error::OutOfRange));
    assert!(receive(&table, b).is_err_and(|e| e == SHOULD_WAIT), "nothing was written");
    assert_eq!(table.close(b), Ok(()));
    assert_eq!(fails(a, &[]), Some(Error::PeerClosed));
    assert_eq!(fails(a, &[a]), Some(Error::NotSupported));
}

#[test]
fn reading_needs_the_right() {
    let (table, a, _) = ends();
    let deaf = table.replace(a, Rights::WRITE).unwrap_or(HandleValue::INVALID);
    assert_eq!(receive(&table, deaf).err(), Some(Error::AccessDenied.into()));
    let other = event(&table, DEFAULT);
    assert_eq!(receive(&table, other).err(), Some(Error::WrongType.into()));
    assert_eq!(receive(&table, HandleValue(!0)).err(), Some(Error::BadHandle.into()));
}

#[test]
fn handles_that_find_no_place_in_the_table_are_closed() {
    let (table, a, b) = ends();
    let sent = Event::create();
    let values: Vec<_> = (0..3).flat_map(|_| table.insert(Handle::new(sent.clone()))).collect();
    assert_eq!(table.channel_write(a, vec![], &values), Ok(()));
    let filler = Event::create();
    for _ in table.len()..crate::handle::MAX_HANDLES - 1 {
        assert!(table.insert(Handle::new(filler.clone())).is_ok());
    }
    assert_eq!(receive(&table, b).err(), Some(Error::NoMemory.into()));
    assert_eq!((sent.handle_count(), table.len()), (0, crate::handle::MAX_HANDLES - 1));
}

#[test]
fn a_disposition_moves_or_duplicates_with_fewer_rights() {
    let (table, a, b) = ends();
    let (moved, copied) = (event(&table, DEFAULT), event(&table, DEFAULT));
    let mut dispositions = [HandleDisposition::moved(moved), HandleDisposition::moved(copied)];
    dispositions[0].rights = Rights::WAIT;
    dispositions[0].object_type = Some(ObjectType::Event);
    dispositions[1].operation = HandleOp::Duplicate;
    assert_eq!(table.channel_write_etc(a, vec![], &mut dispositions), Ok(()));
    assert!(table.info(moved).is_err() && table.info(copied).is_ok());
    assert!(dispositions.iter().all(|disposition| disposition.result == Ok(())));
    let received = receive(&table, b).map(|received| received.handles).unwrap_or_default();
    let rights: Vec<_> = received.iter().map(|(_, info)| info.rights).collect();
    assert_eq!(rights, [Rights::WAIT, DEFAULT]);
    assert_eq!(table.info(received[1].0).map(|i| i.koid), table.info(copied).map(|i| i.koid));
}

#[test]
fn every_disposition_is_tried_and_tells_its_own_error() {
    let (table, a, b) = ends();
    let with = |rights| HandleDisposition::moved(event(&table, rights));
    let (basic, moved) = (Rights::BASIC, HandleDisposition::moved);
    let copy = |d| HandleDisposition { operation: HandleOp::Duplicate, ..d };
    let mut dispositions = [
        with(basic),
        moved(HandleValue(!0)),
        HandleDisposition { object_type: Some(ObjectType::Port), ..with(basic) },
        with(Rights::WAIT),
        copy(with(Rights::TRANSFER)),
        HandleDisposition { rights: Rights::WRITE, ..with(basic) },
        copy(HandleDisposition { rights: Rights::WRITE, ..with(basic) }),
        HandleDisposition { result: Err(Error::Stop), ..with(basic) },
        copy(moved(a)),
        copy(with(Rights::DUPLICATE)),
        copy(moved(HandleValue(!0))),
        moved(a),
    ];
    let result = table.channel_write_etc(a, vec![], &mut dispositions);
    let errors: Vec<_> = dispositions.iter().map(|d| d.result.err()).collect();
    use Error::*;
    let expected = [
        None,
        Some(BadHandle),
        Some(WrongType),
        Some(AccessDenied),
        Some(AccessDenied),
        Some(InvalidArgs),
        Some(InvalidArgs),
        Some(InvalidArgs),
        Some(NotSupported),
        Some(AccessDenied),
        Some(BadHandle),
        Some(NotSupported),
    ];
    assert_eq!((result, &errors[..]), (Err(BadHandle), &expected[..]));
    for disposition in &dispositions {
        let stays = disposition.operation == HandleOp::Duplicate
            && ![a, HandleValue(!0)].contains(&disposition.handle);
        assert_eq!(table.info(disposition.handle).is_ok(), stays, "{disposition:?}");
    }
    assert_eq!(receive(&table, b).err(), Some(PEER_CLOSED), "the channel itself was moved");
}

#[test]
fn the_channels_own_error_comes_first_and_moves_all_the_same() {
    let table = HandleTable::new();
    let mut dispositions = [HandleDisposition::moved(event(&table, DEFAULT))];
    let result = table.channel_write_etc(HandleValue(!0), vec![], &mut dispositions);
    assert_eq!((result, table.len()), (Err(Error::BadHandle), 0));
    assert_eq!(HandleOp::from_raw(1), Ok(HandleOp::Duplicate));
    assert_eq!(HandleOp::from_raw(0), Ok(HandleOp::Move));
    assert_eq!(HandleOp::from_raw(2), Err(Error::InvalidArgs));
}

#[test]
fn a_call_moves_handles_both_ways() {
    let (table, a, b) = ends();
    let sent = event(&table, DEFAULT);
    let mut dispositions = [HandleDisposition::moved(sent)];
    let request = b"____".to_vec();
    let mut call =
        Box::pin(table.channel_call_etc(a, request, &mut dispositions, Room::ANY, INFINITE));
    let mut cx = Context::from_waker(noop_waker_ref());
    assert!(call.poll_unpin(&mut cx).is_pending());
    let Ok(request) = receive(&table, b) else { panic!("the request is written") };
    let handles: Vec<_> = request.handles.iter().map(|&(value, _)| value).collect();
    assert_eq!(table.channel_write(b, request.bytes, &handles), Ok(()));
    let Poll::Ready(Ok(answer)) = call.poll_unpin(&mut cx) else { panic!("it is answered") };
    assert_eq!((answer.handles.len(), table.len()), (1, 3));
}

#[test]
fn a_call_does_not_send_the_end_that_it_is_made_through() {
    let (table, a, b) = ends();
    let mut own = HandleDisposition::moved(a);
    own.operation = HandleOp::Duplicate;
    let mut dispositions = [HandleDisposition::moved(event(&table, DEFAULT)), own];
    let call = table.channel_call_etc(a, b"____".to_vec(), &mut dispositions, Room::ANY, INFINITE);
    let error = call.now_or_never().and_then(|result| result.err());
    assert_eq!(error, Some(Error::NotSupported.into()));
    let results = dispositions.map(|disposition| disposition.result);
    assert_eq!(results, [Ok(()), Err(Error::NotSupported)]);
    assert!(table.info(a).is_ok() && receive(&table, b).is_err());
}

#[test]
fn a_call_is_cancelled_with_its_handle_and_leaves_nothing() {
    let (table, a, b) = ends();
    let mut cx = Context::from_waker(noop_waker_ref());
    let values = [event(&table, DEFAULT)];
    let mut call = Box::pin(table.channel_call(a, b"____".to_vec(), &values, Room::ANY, INFINITE));
    assert!(call.poll_unpin(&mut cx).is_pending());
    let end = table.get::<Channel>(a, Rights::WRITE);
    assert_eq!(table.replace(a, Rights::IO).map(|_| ()), Ok(()));
    assert_eq!(call.poll_unpin(&mut cx), Poll::Ready(Err(Error::Canceled.into())));
    drop(call);
    assert!(end.is_ok_and(|end| end.base.signal_state().watchers() == 0));
    assert!(receive(&table, b).is_ok_and(|request| request.handles.len() == 1));
}

#[test]
fn a_call_needs_both_rights_and_consumes_its_handles() {
    let (table, a, b) = ends();
    let call = |channel| {
        let values = [event(&table, DEFAULT)];
        let call = table.channel_call(channel, b"____".to_vec(), &values, Room::ANY, INFINITE);
        let error = call.now_or_never().and_then(|result| result.err());
        assert!(table.info(values[0]).is_err());
        error
    };
    let mute = table.replace(a, Rights::READ).unwrap_or(HandleValue::INVALID);
    assert_eq!(call(mute), Some(Error::AccessDenied.into()));
    let deaf = table.replace(b, Rights::WRITE).unwrap_or(HandleValue::INVALID);
    assert_eq!(call(deaf), Some(Error::AccessDenied.into()));
    assert_eq!(call(HandleValue(!0)), Some(Error::BadHandle.into()));
}
