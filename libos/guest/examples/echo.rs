//! A server that sends back what it gets, and its clients.
//!
//! `echo unix PATH` and `echo tcp HOST:PORT` serve until they are killed. Without words it serves a socket of its own, has 100
//! clients talk to it, and says what came of that.

use std::{env, fs, io, path::Path, process};

use libos_guest::{
    block_on,
    net::{TcpListener, UnixListener, UnixStream},
    spawn,
};

const CLIENTS: usize = 100;
const ROUNDS: usize = 50;

/// Sends back what comes, until the end.
macro_rules! echo {
    ($stream:expr) => {{
        let stream = $stream;
        spawn(async move {
            let mut buffer = Vec::with_capacity(4096);
            loop {
                let (result, filled) = stream.read(buffer).await;
                if result? == 0 {
                    return io::Result::Ok(());
                }
                let (result, free) = stream.write_all(filled).await;
                result?;
                buffer = free;
            }
        })
    }};
}

async fn serve_unix(path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    loop {
        echo!(listener.accept().await?);
    }
}

async fn serve_tcp(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    loop {
        let stream = listener.accept().await?;
        stream.set_nodelay(true)?;
        echo!(stream);
    }
}

/// Sends texts of growing length and expects them back: how many bytes that were.
async fn ask(path: &Path, client: usize) -> io::Result<usize> {
    let stream = UnixStream::connect(path).await?;
    let mut sum = 0;
    for round in 0..ROUNDS {
        let text = format!("client {client} says {round};").repeat(1 + round % 7);
        let (result, text) = stream.write_all(text).await;
        result?;
        let mut back = Vec::new();
        while back.len() < text.len() {
            let (result, some) = stream.read(Vec::with_capacity(4096)).await;
            if result? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            back.extend(some);
        }
        assert_eq!(back, text.as_bytes());
        sum += back.len();
    }
    Ok(sum)
}

async fn demonstrate() -> io::Result<()> {
    let path = env::temp_dir().join(format!("echo-{}", process::id()));
    let listener = UnixListener::bind(&path)?;
    spawn(async move {
        loop {
            match listener.accept().await {
                Ok(stream) => drop(echo!(stream)),
                Err(error) => return error,
            }
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let path = path.clone();
            spawn(async move { ask(&path, client).await })
        })
        .collect();
    let mut sum = 0;
    for client in clients {
        sum += client.await?;
    }
    fs::remove_file(&path)?;
    println!("{CLIENTS} clients got {sum} bytes back");
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    block_on(async {
        match words[..] {
            [] => demonstrate().await,
            ["unix", path] => serve_unix(path.as_ref()).await,
            ["tcp", address] => serve_tcp(address).await,
            _ => Err(io::Error::other("usage: echo [unix PATH | tcp HOST:PORT]")),
        }
    })?
}
