//! A free port that stays free until the server listens on it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::children::{self, Exit};

/// As /proc/net/tcp writes them: the bytes of an address in the machine's own order.
const LISTEN: &str = "0A";
const ANY: &str = "00000000";
const LOOPBACK: &str = if cfg!(target_endian = "little") {
    "0100007F"
} else {
    "7F000001"
};

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

/// The accounts that listen on this port of 127.0.0.1, by their user ids (proc_pid_net(5)).
pub(super) fn listeners(port: u16) -> io::Result<Vec<u32>> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, at) = fields.get(1)?.split_once(':')?;
        let listens = *fields.get(3)? == LISTEN && u16::from_str_radix(at, 16) == Ok(port);
        let here = [LOOPBACK, ANY].contains(&address);
        (listens && here).then(|| fields.get(7)?.parse().ok())?
    };
    Ok(table.lines().skip(1).filter_map(of).collect())
}

fn bind(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_told_by_the_account() {
        let reservation = Reservation::new().unwrap();
        let port = reservation.port();
        assert!(listeners(port).unwrap().is_empty());
        let listener = bind(port).unwrap();
        listener.listen(1).unwrap();
        let own = nix::unistd::getuid().as_raw();
        assert_eq!(listeners(port).unwrap(), [own]);
    }
}
