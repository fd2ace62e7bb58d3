//! Calls to a port of another rank, until somebody listens there.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::RanksError;
use crate::meeting::Meeting;

/// Between two tries to call.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
/// How long one try may take: behind a firewall, or at the address of a pod that is gone, nobody answers.
const CONNECT: Duration = Duration::from_secs(2);

/// Connects to one of the addresses, which are looked up anew for each try: the name of a pod that starts is not known at
/// first, and its address may still be that of one that is gone.
pub(crate) fn dial(
    addresses: &dyn Fn() -> io::Result<Vec<SocketAddr>>,
    meeting: &Meeting,
    end: Instant,
    failed: &dyn Fn(String) -> RanksError,
) -> Result<TcpStream, RanksError> {
    let mut reason = "its name has no address".to_owned();
    loop {
        match addresses() {
            Err(error) => reason = error.to_string(),
            Ok(addresses) => {
                for address in addresses {
                    if (meeting.stop)() {
                        return Err(RanksError::Stopped);
                    }
                    let left = end.saturating_duration_since(Instant::now());
                    let patience = left.clamp(PAUSE, CONNECT);
                    match TcpStream::connect_timeout(&address, patience) {
                        Ok(stream) => return Ok(stream),
                        Err(error) => reason = error.to_string(),
                    }
                }
            }
        }
        if (meeting.stop)() {
            return Err(RanksError::Stopped);
        }
        if Instant::now() >= end {
            return Err(failed(reason));
        }
        thread::sleep(PAUSE);
    }
}

/// The addresses of a name; that of IPv6 may stand in brackets, as in a URL.
pub(crate) fn host_and_port(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((bare(host), port).to_socket_addrs()?.collect())
}

fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// For people.
pub(crate) fn address(host: &str, port: u16) -> String {
    match bare(host) {
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}
