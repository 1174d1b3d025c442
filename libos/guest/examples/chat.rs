//! A chat: what one client says all the others hear.
//!
//! `chat PATH` serves the socket at PATH until it is killed: `socat - UNIX-CONNECT:PATH` joins. Without a path it serves a socket of its own, where
//! 30 clients say 20 lines each, and says what came of that.
//!
//! A client that says nothing has no buffer: what is read is [picked](BufferGroup) a buffer for when it is there. A line is in memory once,
//! however many it is sent to.

use std::{
    cell::RefCell, collections::HashMap, env, fs, io, path::PathBuf, process, rc::Rc, sync::Arc,
    time::Duration,
};

use futures::{
    StreamExt,
    channel::mpsc::{UnboundedSender, unbounded},
};
use libos_guest::{
    block_on,
    net::{BufferGroup, UnixListener, UnixStream},
    sleep, spawn,
};

const CLIENTS: usize = 30;
const LINES: usize = 20;

/// Who is there, and how they are told.
#[derive(Default)]
struct Room {
    members: RefCell<HashMap<usize, UnboundedSender<Arc<[u8]>>>>,
}

impl Room {
    fn tell_all_but(&self, speaker: usize, line: &Arc<[u8]>) {
        for (&member, sender) in &*self.members.borrow() {
            if member != speaker {
                // One that has just gone hears nothing any more.
                let _ = sender.unbounded_send(Arc::clone(line));
            }
        }
    }
}

/// Takes what `member` says to the room, line by line, until it goes.
async fn listen(
    room: &Room,
    member: usize,
    stream: &UnixStream,
    group: &BufferGroup,
) -> io::Result<()> {
    let mut begun = Vec::new();
    while let Some(bytes) = stream.read_picked(group).await? {
        begun.extend_from_slice(&bytes);
        while let Some(end) = begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = begun.drain(..=end).collect();
            room.tell_all_but(member, &line.into());
        }
    }
    Ok(())
}

async fn serve(listener: UnixListener, room: Rc<Room>) -> io::Result<()> {
    let group = BufferGroup::new(16, 4096)?;
    for member in 0.. {
        let stream = Rc::new(listener.accept().await?);
        let (sender, mut lines) = unbounded::<Arc<[u8]>>();
        room.members.borrow_mut().insert(member, sender);
        let output = Rc::clone(&stream);
        spawn(async move {
            while let Some(line) = lines.next().await {
                if output.write_all(line).await.0.is_err() {
                    return;
                }
            }
        });
        let (room, group) = (Rc::clone(&room), group.clone());
        spawn(async move {
            let heard = listen(&room, member, &stream, &group).await;
            room.members.borrow_mut().remove(&member);
            heard
        });
    }
    Ok(())
}

/// Says its lines and hears the others': how many bytes it heard.
async fn talk(stream: UnixStream, client: usize) -> io::Result<usize> {
    let stream = Rc::new(stream);
    let ears = Rc::clone(&stream);
    // All lines are of one length.
    let expected = (CLIENTS - 1) * LINES * "client 00, line 00\n".len();
    let hearing = spawn(async move {
        let (mut heard, mut buffer) = (0, Vec::with_capacity(4096));
        while heard < expected {
            let (result, same) = ears.read(buffer).await;
            match result? {
                0 => break,
                len => heard += len,
            }
            buffer = same;
        }
        io::Result::Ok(heard)
    });
    for line in 0..LINES {
        stream.write_all(format!("client {client:02}, line {line:02}\n")).await.0?;
    }
    hearing.await
}

async fn demonstrate() -> io::Result<()> {
    let path = env::temp_dir().join(format!("chat-{}", process::id()));
    let (listener, room) = (UnixListener::bind(&path)?, Rc::new(Room::default()));
    let serving = spawn(serve(listener, Rc::clone(&room)));
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(UnixStream::connect(&path).await?);
    }
    // Nobody speaks before everybody can hear.
    while room.members.borrow().len() < CLIENTS {
        sleep(Duration::from_millis(1)).await;
    }
    let talk = |(client, stream)| spawn(talk(stream, client));
    let clients: Vec<_> = streams.into_iter().enumerate().map(talk).collect();
    let mut heard = 0;
    for client in clients {
        heard += client.await?;
    }
    serving.cancel().await;
    fs::remove_file(&path)?;
    println!("{CLIENTS} clients heard {heard} bytes of each other");
    Ok(())
}

fn main() -> io::Result<()> {
    block_on(async {
        match env::args_os().nth(1) {
            Some(path) => serve(UnixListener::bind(PathBuf::from(path))?, Rc::default()).await,
            None => demonstrate().await,
        }
    })?
}
