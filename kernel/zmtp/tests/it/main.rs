//! The sockets below the protocol: what a client may send byte by byte, and what it can make a socket hold.
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use carrel_zmtp::{Address, Limits, Listener, Router, XPub, echo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(20);
const PING: &[u8] = b"\x04\x0a\x04PING\x00\x00ctx";
const PONG: &[u8] = b"\x04\x08\x04PONGctx";

#[tokio::test]
async fn a_huge_frame_is_refused_by_what_it_claims() {
    let socket = Folder::new();
    let (_router, mut received) = Router::open(socket.listener().await, small());
    let claims: [&[u8]; 3] = [
        b"\x02\x3f\xff\xff\xff\xff\xff\xff\xff",
        b"\x02\x00\x00\x00\x00\x00\x01\x00\x01",
        b"\x03\x00\x00\x00\x00\x00\x00\xff\x00",
    ];
    for claim in claims {
        let mut client = socket.client("DEALER").await;
        client.write_all(claim).await.unwrap();
        client.write_all(&[7; 0xff00]).await.unwrap();
        let _ = client.write_all(claim).await;
        assert_closed(client).await;
    }
    let mut client = socket.client("DEALER").await;
    client.write_all(b"\x01\x01a\x00\x01b").await.unwrap();
    let frames = received.recv().await.unwrap().frames;
    assert_eq!(&frames[1..], [&b"a"[..], b"b"]);
}

#[tokio::test]
async fn a_client_cut_off_within_a_message_is_forgotten() {
    let socket = Folder::new();
    let (router, mut received) = Router::open(socket.listener().await, small());
    let whole: &[u8] = b"\x01\x02hi\x02\0\0\0\0\0\0\0\x03you";
    for end in 1..whole.len() {
        let mut cut = socket.client_named("DEALER", "tab").await;
        cut.write_all(&whole[..end]).await.unwrap();
    }
    let mut client = socket.client_named("DEALER", "tab").await;
    client.write_all(whole).await.unwrap();
    let frames = received.recv().await.unwrap().frames;
    assert_eq!(frames, ["tab", "hi", "you"]);
    router.send(&frames).await.unwrap();
    assert_eq!(read(&mut client, 9).await, b"\x01\x02hi\x00\x03you");
}

#[tokio::test]
async fn endless_empty_frames_are_refused() {
    let socket = Folder::new();
    let (_router, _received) = Router::open(socket.listener().await, small());
    let mut client = socket.client("DEALER").await;
    // It may be closed before all is written.
    let _ = client.write_all(&[1, 0].repeat(100_000)).await;
    assert_closed(client).await;
}

#[tokio::test]
async fn what_is_no_zmtp_or_no_fitting_socket_is_closed() {
    let socket = Folder::new();
    let _echo = echo(socket.listener().await, small());
    let mut greetings = [greeting(), greeting(), greeting()];
    greetings[0][..4].copy_from_slice(b"GET ");
    greetings[1][10] = 2;
    greetings[2][12..17].copy_from_slice(b"CURVE");
    for greeting in greetings {
        let mut client = UnixStream::connect(&socket.path).await.unwrap();
        client.write_all(&greeting).await.unwrap();
        assert_closed(client).await;
    }
    assert_closed(socket.client("SUB").await).await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_context_by_each_socket() {
    let sockets = [Folder::new(), Folder::new(), Folder::new()];
    let _router = Router::open(sockets[0].listener().await, small());
    let mut publisher = XPub::open(sockets[1].listener().await, small());
    let _echo = echo(sockets[2].listener().await, small());
    tokio::spawn(async move { publisher.next().await });
    for (socket, kind) in sockets.iter().zip(["DEALER", "SUB", "REQ"]) {
        let mut client = socket.client(kind).await;
        client.write_all(PING).await.unwrap();
        assert_eq!(read(&mut client, PONG.len()).await, PONG);
    }
}

#[tokio::test]
async fn topics_come_and_go_by_message_and_by_command() {
    let socket = Folder::new();
    let mut publisher = XPub::open(socket.listener().await, small());
    let mut client = socket.client("SUB").await;
    let subscriptions: [&[u8]; 2] = [b"\x00\x02\x01a", b"\x04\x0b\x09SUBSCRIBEb"];
    for (bytes, topic) in subscriptions.into_iter().zip(["a", "b"]) {
        client.write_all(bytes).await.unwrap();
        let subscription = publisher.next().await;
        assert_eq!(subscription.topic, topic);
        publisher
            .welcome(subscription, &[Bytes::from_static(b"!")])
            .await;
        assert_eq!(read(&mut client, 3).await, b"\x00\x01!");
    }
    for topic in ["ab", "c", "b", ""] {
        publisher.send(&[Bytes::from(topic)]).await;
    }
    assert_eq!(read(&mut client, 7).await, b"\x00\x02ab\x00\x01b");
    let cancels: &[u8] = b"\x00\x02\x00a\x04\x08\x06CANCELb\x00\x02\x01c";
    client.write_all(cancels).await.unwrap();
    let subscription = publisher.next().await;
    publisher
        .welcome(subscription, &[Bytes::from_static(b"!")])
        .await;
    for topic in ["ab", "b", "c"] {
        publisher.send(&[Bytes::from(topic)]).await;
    }
    assert_eq!(read(&mut client, 6).await, b"\x00\x01!\x00\x01c");
}

#[tokio::test]
async fn who_reads_slowly_gets_all_and_who_stops_is_dropped_alone() {
    let socket = Folder::new();
    let mut publisher = XPub::open(socket.listener().await, small());
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = socket.client("SUB").await;
        client.write_all(b"\x00\x01\x01").await.unwrap();
        let subscription = publisher.next().await;
        publisher
            .welcome(subscription, &[Bytes::from_static(b"!")])
            .await;
        read(&mut client, 3).await;
        clients.push(client);
    }
    let stopped = clients.pop().unwrap();
    let mut slow = clients.pop().unwrap();
    let message = Bytes::from(vec![b'x'; 60_000]);
    let publish = async {
        for _ in 0..100 {
            publisher.send(std::slice::from_ref(&message)).await;
        }
        publisher.flush(LIMIT).await;
    };
    let take = async {
        let mut taken = 0;
        while taken < 100 * (9 + message.len()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
            taken += read(&mut slow, 9 + message.len()).await.len();
        }
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(publish, take) })
        .await
        .unwrap();
    assert_closed(stopped).await;
}

#[tokio::test]
async fn of_one_identity_the_newest_connection_counts() {
    let socket = Folder::new();
    let (router, mut received) = Router::open(socket.listener().await, small());
    for _ in 0..100 {
        let mut client = socket.client_named("DEALER", "tab").await;
        client.write_all(b"\x00\x02hi").await.unwrap();
        let frames = received.recv().await.unwrap().frames;
        assert_eq!(frames, ["tab", "hi"]);
        // The one before was not closed when this one came.
        router.send(&frames).await.unwrap();
        assert_eq!(read(&mut client, 4).await, b"\x00\x02hi");
        std::mem::forget(client);
    }
}

#[tokio::test]
async fn clients_wait_while_what_they_sent_is_not_handled() {
    let socket = Folder::new();
    let (_router, mut received) = Router::open(socket.listener().await, small());
    let mut client = socket.client("DEALER").await;
    let message = [&b"\x02\0\0\0\0\0\0\xea\x60"[..], &[7; 60_000]].concat();
    let mut sent = 0;
    // Far more than fits into the buffers of a socket, and into what may wait.
    let sending = async {
        while sent < 200 {
            client.write_all(&message).await.unwrap();
            sent += 1;
        }
    };
    let blocked = tokio::time::timeout(Duration::from_secs(1), sending).await;
    assert!(blocked.is_err(), "all was taken");
    // The message that was cut off is not among them.
    for _ in 0..sent {
        let next = tokio::time::timeout(LIMIT, received.recv()).await;
        assert_eq!(next.unwrap().unwrap().frames[1].len(), 60_000);
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_place_becomes_free() {
    let socket = Folder::new();
    let limits = Limits {
        connections: 2,
        ..small()
    };
    let _echo = echo(socket.listener().await, limits);
    let first = socket.client("REQ").await;
    let _second = socket.client("REQ").await;
    assert_closed(UnixStream::connect(&socket.path).await.unwrap()).await;
    drop(first);
    let served = async {
        loop {
            let mut client = UnixStream::connect(&socket.path).await.unwrap();
            if client.write_all(&greeting()).await.is_ok()
                && client.read_exact(&mut [0; 64]).await.is_ok()
            {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, served).await.unwrap();
}

#[tokio::test]
async fn the_path_of_a_killed_kernel_is_taken_over_and_that_of_a_living_one_not() {
    let socket = Folder::new();
    std::mem::forget(std::os::unix::net::UnixListener::bind(&socket.path).unwrap());
    Listener::bind(&Address::Ipc(socket.path.clone()))
        .await
        .unwrap_err();
    std::fs::remove_file(&socket.path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket.path).unwrap());
    let (_router, _received) = Router::open(socket.listener().await, small());
    socket.client("DEALER").await;
}

/// A socket's path, in a folder of its own.
struct Folder {
    path: PathBuf,
    _folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self {
            path: folder.path().join("socket"),
            _folder: folder,
        }
    }

    async fn listener(&self) -> Listener {
        Listener::bind(&Address::Ipc(self.path.clone()))
            .await
            .unwrap()
    }

    async fn client(&self, kind: &str) -> UnixStream {
        self.client_named(kind, "").await
    }

    /// A client that said READY; what the server says of itself is read.
    async fn client_named(&self, kind: &str, identity: &str) -> UnixStream {
        let mut client = UnixStream::connect(&self.path).await.unwrap();
        client.write_all(&greeting()).await.unwrap();
        let mut body = b"\x05READY".to_vec();
        for (name, value) in [("Socket-Type", kind), ("Identity", identity)] {
            body.push(name.len() as u8);
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        client.write_all(&[4, body.len() as u8]).await.unwrap();
        client.write_all(&body).await.unwrap();
        read(&mut client, 64).await;
        let head = read(&mut client, 2).await;
        read(&mut client, head[1].into()).await;
        client
    }
}

fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn small() -> Limits {
    Limits {
        message: 65_536,
        received: 65_536,
        waiting: 200_000,
        stall: Duration::from_secs(2),
        connections: 200,
    }
}

async fn read(client: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let read = tokio::time::timeout(LIMIT, client.read_exact(&mut bytes)).await;
    read.unwrap_or_else(|_| panic!("nothing came")).unwrap();
    bytes
}

async fn assert_closed(mut client: UnixStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(LIMIT, client.read_to_end(&mut rest)).await;
    // A reset is an end too.
    let _ = end.unwrap_or_else(|_| panic!("the connection was not closed"));
}
