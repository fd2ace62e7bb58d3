//! What `make bench` puts at both ends of a proxy, and in the place of a single-user server.
//!
//! `server` answers every request at `JUPYTERHUB_SERVICE_URL`; `echo <listen>` gives websocket messages back;
//! `round-trips <url> <connections> <seconds>` prints how many of them go to and fro in a second; `idle <url> <connections>`
//! opens so many, says so, and holds them until its input ends.

use std::io::{Read as _, Write as _};
use std::net::TcpListener as StdListener;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};
use url::Url;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["server"] => serve(),
        ["echo", listen] => asynchronous(echo(listen)),
        ["round-trips", url, connections, seconds] => asynchronous(round_trips(
            url,
            connections.parse()?,
            Duration::from_secs(seconds.parse()?),
        )),
        ["idle", url, connections] => asynchronous(idle(url, connections.parse()?)),
        _ => Err("see the first lines of bench_ends.rs".into()),
    }
}

fn asynchronous(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

fn serve() -> Result<(), Failure> {
    let url: Url = std::env::var("JUPYTERHUB_SERVICE_URL")?.parse()?;
    let host = url.host_str().unwrap_or("127.0.0.1");
    let listener = StdListener::bind((host, url.port().unwrap_or(8888)))?;
    let answer = b"HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for connection in listener.incoming() {
        let mut connection = connection?;
        // Requests come without a body, in one piece.
        let read = connection.read(&mut [0; 8192]);
        if read.is_ok_and(|length| length > 0) {
            connection.write_all(answer)?;
        }
    }
    Ok(())
}

async fn echo(listen: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            let Ok(mut socket) = accept_async(connection).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err()
                {
                    return;
                }
            }
        });
    }
}

async fn round_trips(url: &str, connections: usize, time: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    let one = || {
        let url = url.to_owned();
        tokio::spawn(async move {
            let (mut socket, _) = connect_async(url).await?;
            let mut count = 0_u64;
            while begun.elapsed() < time {
                socket.send(Message::text("x".repeat(64))).await?;
                socket.next().await.ok_or("the connection has ended")??;
                count += 1;
            }
            Ok::<_, Failure>(count)
        })
    };
    let running: Vec<_> = (0..connections).map(|_| one()).collect();
    let mut count = 0;
    for one in running {
        count += one.await??;
    }
    println!("{:.0}", count as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

async fn idle(url: &str, connections: usize) -> Result<(), Failure> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let (mut socket, _) = connect_async(url).await?;
        // Once to and fro: all that is made for it is there then.
        socket.send(Message::text("hello")).await?;
        socket.next().await.ok_or("the connection has ended")??;
        open.push(socket);
    }
    println!("open");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
