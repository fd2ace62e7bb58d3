//! The port of a server belongs to it from the start, before it listens.

use std::collections::HashSet;
use std::net::TcpListener;

use carrel_spawner::Spawner;

use crate::harness::{Place, until};

/// Listens on the port of the server when told to.
const LATE_SERVER: &str = "import os, socket, time, urllib.parse
while not os.path.exists('go'): time.sleep(0.02)
url = urllib.parse.urlsplit(os.environ['JUPYTERHUB_SERVICE_URL'])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((url.hostname, url.port))
listener.listen()
time.sleep(60)";

#[tokio::test]
async fn nobody_takes_the_port_before_the_server_listens() {
    let mut place = Place::running(&["python3", "-c", LATE_SERVER]);
    let started = place.start().await;
    let port = started.url.port().unwrap();
    let others: Vec<_> = (0..200)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    assert!(
        others
            .iter()
            .all(|other| other.local_addr().unwrap().port() != port)
    );
    std::fs::write(place.home().join("go"), "").unwrap();
    until("the server listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    })
    .await;
    place.spawner.stop(&started.state).await.unwrap();
}

#[tokio::test]
async fn servers_that_do_not_listen_yet_have_different_ports() {
    let mut place = Place::script("exec sleep 60");
    let mut ports = HashSet::new();
    for user in ["a", "b", "c", "d", "e"] {
        place.request = crate::harness::request(user);
        ports.insert(place.start().await.url.port());
    }
    assert_eq!(ports.len(), 5);
}
