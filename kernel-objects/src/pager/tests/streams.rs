//! Tests of streams whose pages a pager has: they wait, and are right when they have waited.

use super::*;
use crate::{
    Rights, Stream,
    stream::{StreamMode, StreamWrite},
};

fn stream(service: &Service) -> Arc<Stream> {
    let mode = StreamMode::READ | StreamMode::WRITE;
    Stream::create(mode, &service.vmo, Rights::IO, 0).unwrap()
}

#[test]
fn a_stream_reads_across_pages_that_come_one_by_one() {
    let s = service(RESIZABLE, 3);
    let reader = stream(&s);
    let (mut one, mut two) = (vec![0; PAGE_SIZE + 10], vec![0; PAGE_SIZE]);
    assert_eq!(reader.readv(&mut [&mut one, &mut two]), Err(Error::ShouldWait));
    let mut buffers = [one.as_mut_slice(), two.as_mut_slice()];
    let mut read: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(reader.readv_async(None, &mut buffers));
    for page in 0..3 {
        assert_eq!(poll(&mut read), None);
        assert_eq!(s.waiting(), 1);
        s.supply(page, 1, page as u8 + 1);
    }
    assert_eq!(poll(&mut read), Some(Ok(2 * PAGE_SIZE + 10)));
    drop(read);
    assert_eq!((one[0], one[PAGE_SIZE], two[PAGE_SIZE - 11], two[PAGE_SIZE - 1]), (1, 2, 2, 3));
    assert_eq!(reader.info().seek, 2 * PAGE + 10);
}

#[test]
fn a_stream_moves_what_comes_before_a_page_that_never_comes() {
    let s = service(RESIZABLE, 2);
    let both = stream(&s);
    s.supply(0, 1, 7);
    let mut buffer = vec![0; 2 * PAGE_SIZE];
    let mut buffers = [buffer.as_mut_slice()];
    let mut read: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(both.readv_async(Some(0), &mut buffers));
    assert_eq!(poll(&mut read), None);
    assert_eq!(s.op(PagerOp::Fail(Error::Io), 1, 1), Ok(()));
    assert_eq!(poll(&mut read), Some(Ok(PAGE_SIZE)));
    drop(read);
    let bytes = vec![9; 2 * PAGE_SIZE];
    let parts = [bytes.as_slice()];
    let mut write: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(both.writev_async(StreamWrite::empty(), &parts));
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.op(PagerOp::Fail(Error::Io), 1, 1), Ok(()));
    assert_eq!(poll(&mut write), Some(Ok(PAGE_SIZE)));
    drop(write);
    assert_eq!((both.info().seek, byte(&s.vmo, 0)), (PAGE, 9));
    let mut write: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(both.writev_async(StreamWrite::empty(), &parts));
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.op(PagerOp::Fail(Error::NoSpace), 1, 1), Ok(()));
    assert_eq!(poll(&mut write), Some(Err(Error::NoSpace)), "no byte could be written");
    drop(write);
    assert_eq!(both.info().seek, PAGE);
}

#[test]
fn an_append_waits_for_the_page_that_the_content_ends_in() {
    let s = service(RESIZABLE, 1);
    let mut cut = Box::pin(s.vmo.set_content_size_async(100)).boxed();
    assert_eq!(poll(&mut cut), None, "what is behind it in the page is zeroed");
    s.supply(0, 1, 5);
    assert_eq!(poll(&mut cut), Some(Ok(())));
    let s = service(RESIZABLE, 1);
    let appender = stream(&s);
    let parts = [&b"abc"[..]];
    let mut write: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(appender.writev_at_async(PAGE - 1, &parts));
    assert_eq!(poll(&mut write), None);
    s.supply(0, 1, 5);
    assert_eq!(poll(&mut write), Some(Ok(3)));
    drop(write);
    let mut bytes = [0; 4];
    assert_eq!(s.vmo.read(PAGE - 2, &mut bytes), Ok(()));
    assert_eq!((&bytes, s.vmo.content_size()), (b"\x05abc", PAGE + 2));
}
