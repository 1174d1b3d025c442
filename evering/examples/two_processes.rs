//! Two processes: the client lends text, the server counts its words in place and gives back a report in a buffer of its own.
//! Then the server is killed in the middle of a request, and the client is told.
//!
//!     cargo run --release -p evering --example two_processes

use std::{
    env,
    error::Error,
    os::unix::net::{UnixListener, UnixStream},
    process::{self, Command},
};

use evering::{
    driver::{LocalDriver, OperationError, Server, Tagged},
    heap::{Buffer, Heap, Local, Token},
    peer::{Requester, connect},
    region::{Keeper, Options},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A request has the token of a buffer that is lent, an answer that of one that is given.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    token: Token,
}

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

fn report(heap: &Heap<Local>, request: Message) -> Option<Message> {
    // A token is an allegation: it leads into the client's arena, or it is an error.
    let text = heap.borrow(request.token).ok()?;
    let (mut words, mut inside) = (0u64, false);
    // The client could write while we read. Each piece is copied first, and what was copied does not change.
    text.scan(|piece| {
        for byte in piece {
            let is_word = !byte.is_ascii_whitespace();
            words += u64::from(is_word && !inside);
            inside = is_word;
        }
    });
    let report = format!("{words} words in {} bytes", text.len());
    let answer = heap.alloc(report.len()).ok()?;
    answer.write(0, report.as_bytes()).ok()?;
    Some(Message { token: answer.give().ok()?, ..request })
}

fn serve(socket: &UnixStream) -> Result<(), Box<dyn Error>> {
    let peer = connect::accept::<Message, Message>(socket, true)?;
    let heap = Heap::new(peer.arena);
    let mut waiter = peer.link.waiter();
    let mut server = Server::new(peer.receiver, peer.sender).with_ringer(peer.link.ringer());
    loop {
        let served = waiter.wait(None, || {
            let mut dead = false;
            let served = server.serve(|request| {
                // An empty text is the sign to die without a word.
                dead |= request.token.is_empty();
                report(&heap, request).filter(|_| !dead)
            });
            if dead {
                process::abort();
            }
            Some(served).filter(|served| *served != Ok(0))
        });
        if let Some(Err(_)) = served {
            return Ok(());
        }
    }
}

fn ask(socket: &UnixStream) -> Result<(), Box<dyn Error>> {
    let options = Options::new().capacity(64).arena(1 << 20).prefault(true);
    let peer: Requester<Message, Message> = connect::offer(socket, &options)?;
    let heap = Heap::<Local>::new(peer.arena);
    let mut waiter = peer.link.waiter();
    let driver = LocalDriver::<_, _, Buffer, Keeper, Keeper>::local(peer.sender, peer.receiver, 64)
        .with_ringer(peer.link.ringer());
    let submit = async |text: &[u8]| {
        // Waits for room in the arena: that is what bounds the memory under way.
        let buffer = heap.allocate(text.len()).await?;
        buffer.write(0, text)?;
        let token = buffer.lend().ok_or("it is not ours")?;
        // The operation has the buffer as long as the server may read it, even if this future is dropped.
        Ok::<_, Box<dyn Error>>(driver.submit(Message { id: 0, token }, buffer).await?)
    };

    for text in ["to be or not to be", &"word ".repeat(100_000)] {
        let (answer, _buffer) = driver.block_on(&mut waiter, async {
            Ok::<_, Box<dyn Error>>(submit(text.as_bytes()).await?.await?)
        })?;
        let report = heap.accept(answer.token)?;
        println!("{}", String::from_utf8(report.to_vec())?);
    }

    let end = driver
        .block_on(&mut waiter, async { Ok::<_, Box<dyn Error>>(submit(b"").await?.await) })?;
    match end {
        Err(OperationError::Lost(buffer)) => {
            println!(
                "the server is {:?}, and the buffer of {} bytes is back",
                peer.link.peer(),
                buffer.len()
            );
        }
        _ => return Err("a dead server has answered".into()),
    }
    // So are those that the server had been given.
    heap.reclaim();
    assert_eq!(heap.usage().away, 0);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = env::args().nth(1) {
        return serve(&UnixStream::connect(path)?);
    }
    let path = env::temp_dir().join(format!("evering-example-{}", process::id()));
    let listener = UnixListener::bind(&path)?;
    let mut server = Command::new(env::current_exe()?).arg(&path).spawn()?;
    let (socket, _) = listener.accept()?;
    std::fs::remove_file(&path)?;
    let result = ask(&socket);
    server.wait()?;
    result
}
