//! Descriptors that calls make whose futures have been dropped. A process of its own, since they are counted.

use std::{io, time::Duration};

use libos_guest::{
    Builder, Kind,
    fs::File,
    net::{UnixListener, UnixStream},
    sleep, timeout, yield_now,
};

async fn drop_calls() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let open = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let before = open()?;
    for round in 0..200 {
        // Begun, and then dropped at once or a little later, with and without somebody who connects.
        let mut accept = std::pin::pin!(listener.accept());
        assert!(futures::poll!(accept.as_mut()).is_pending());
        let client = match round % 3 {
            0 => None,
            _ => Some(UnixStream::connect(&path).await?),
        };
        if round % 2 == 0 {
            yield_now().await;
        }
        drop(client);
    }
    let opening: Vec<_> = (0..50).map(|_| Box::pin(File::open("/etc/passwd"))).collect();
    for mut open in opening {
        assert!(futures::poll!(open.as_mut()).is_pending());
    }
    // Connections that nobody has accepted are in the listener's queue, and have no descriptor.
    while open()? != before {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

#[test]
fn what_a_dropped_call_makes_is_closed() {
    for kind in [Kind::IoUring, Kind::Epoll] {
        let mut runtime = match Builder::new().backend(kind).build() {
            Ok(runtime) => runtime,
            Err(_) if kind == Kind::IoUring => continue, // not every host has it
            Err(error) => panic!("{kind}: {error}"),
        };
        let result = runtime.block_on(timeout(Duration::from_secs(20), drop_calls()));
        let result = result.unwrap_or_else(|_| panic!("{kind}: some are never closed"));
        result.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}
