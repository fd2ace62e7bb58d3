//! A free port that stays free until the server listens on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::children::{self, Exit};

/// A port of 127.0.0.1, bound but not listened on.
///
/// Linux lets a second socket bind a port when both set SO_REUSEADDR and none listens, and it hands out no port
/// that is bound in any way to whoever asks for a free one (bind to port 0, or connect). Servers set
/// SO_REUSEADDR (tornado, asyncio, tokio and node all do), so exactly the one that is told the port gets it.
pub(super) struct Reservation {
    _socket: Socket,
    port: u16,
}

impl Reservation {
    pub(super) fn new() -> io::Result<Self> {
        let socket = bind(0)?;
        let port = socket
            .local_addr()?
            .as_socket()
            .map_or(0, |address| address.port());
        Ok(Self {
            _socket: socket,
            port,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

/// Keeps the port until the server listens or has ended.
pub(super) async fn hold(reservation: Reservation, exit: Exit) {
    tokio::select! {
        _ = children::ended(exit) => {}
        () = listening(reservation.port) => {}
    }
}

/// Returns when somebody listens on the port. Asks without a connection, which servers would log.
pub(super) async fn listening(port: u16) {
    while bind(port).is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn bind(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}
