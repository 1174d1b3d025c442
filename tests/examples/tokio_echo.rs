//! A program of tokio with several threads: a server over TCP, UDP and Unix sockets, and its clients. It prints the same natively and inside.

use std::{error::Error, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream},
    sync::oneshot,
    task::JoinSet,
    time,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CLIENTS: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> Result<()> {
    tcp("127.0.0.1:0").await?;
    tcp("[::1]:0").await?;
    unix().await?;
    datagrams().await?;
    ends().await
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<usize> {
    let (mut buffer, mut total) = (vec![0; 4096], 0);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(total);
        }
        stream.write_all(&buffer[..count]).await?;
        total += count;
    }
}

/// Says something and hears it, while it still speaks.
async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, number: usize) -> Result<usize> {
    let (mut input, mut output) = tokio::io::split(stream);
    let said: Vec<u8> = (0..number * 509).map(|at| (at * number) as u8).collect();
    let speaks = async {
        output.write_all(&said).await?;
        output.shutdown().await
    };
    let mut heard = Vec::new();
    let (spoke, read) = tokio::join!(speaks, input.read_to_end(&mut heard));
    spoke?;
    Ok(if heard == said { read? } else { usize::MAX })
}

async fn sum(mut clients: JoinSet<Result<usize>>) -> Result<usize> {
    let mut total = 0;
    while let Some(heard) = clients.join_next().await {
        total += heard??;
    }
    Ok(total)
}

async fn tcp(at: &str) -> Result<()> {
    let listener = TcpListener::bind(at).await?;
    let address = listener.local_addr()?;
    let (stop, mut stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let mut served = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => served.spawn(echo(accepted?.0)),
                _ = &mut stopped => break,
            };
        }
        let mut total = 0;
        while let Some(count) = served.join_next().await {
            total += count.map_err(std::io::Error::other)??;
        }
        std::io::Result::Ok(total)
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(async move { ask(TcpStream::connect(address).await?, number).await });
    }
    println!("over {}: {} bytes", address.ip(), sum(clients).await?);
    stop.send(()).ok();
    println!("served: {}", server.await??);
    println!("then: {:?}", TcpStream::connect(address).await.map_err(|error| error.kind()).err());
    Ok(())
}

async fn unix() -> Result<()> {
    let listener = UnixListener::bind("echo.sock")?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(async move { ask(UnixStream::connect("echo.sock").await?, number).await });
    }
    println!("over a path: {} bytes", sum(clients).await?);
    std::fs::remove_file("echo.sock")?;
    Ok(())
}

async fn datagrams() -> Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((count, from)) = server.recv_from(&mut buffer).await {
            server.send_to(&buffer[..count], from).await.ok();
        }
    });
    let mut clients = JoinSet::new();
    for number in 0..50_u8 {
        clients.spawn(async move {
            let client = UdpSocket::bind("127.0.0.1:0").await?;
            client.connect(address).await?;
            let mut buffer = [0; 2048];
            let mut right = 0;
            for round in 0..20 {
                let said = [number, round];
                client.send(&said).await?;
                let count = client.recv(&mut buffer).await?;
                right += usize::from(buffer[..count] == said);
            }
            Ok(right)
        });
    }
    println!("datagrams: {}", sum(clients).await?);
    Ok(())
}

/// How connections end: by a time-out of a read, by a reset.
async fn ends() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    let mut byte = [0];
    let late = time::timeout(Duration::from_millis(30), client.read(&mut byte)).await;
    println!("nothing: {}", late.is_err());
    server.set_zero_linger()?;
    drop(server);
    println!("reset: {:?}", client.read(&mut byte).await.map_err(|error| error.kind()));
    let second = TcpSocket::new_v4()?;
    println!("taken: {:?}", second.bind(listener.local_addr()?).map_err(|error| error.kind()));
    Ok(())
}
