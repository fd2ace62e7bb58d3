//! Connections that do not block: what can be moved at the moment, and waiting until more can.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// All of `bytes` from a connection that does not block.
pub(crate) fn read_all(mut stream: &TcpStream, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match unless_full(|| some(stream.read(bytes)))? {
            0 => sleep(
                &mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            )?,
            count => bytes = &mut bytes[count..],
        }
    }
    Ok(())
}

/// All of `bytes` into a connection that does not block.
pub(crate) fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match unless_full(|| stream.write(bytes))? {
            0 => sleep(
                &mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)],
                PollTimeout::NONE,
            )?,
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// What `act` moved, or 0 where it would have to wait.
pub(crate) fn unless_full(mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            done => return done,
        }
    }
}

/// Nothing at all is the end of the connection.
pub(crate) fn some(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        read => read,
    }
}

/// Until one of the connections is ready, or the time is over.
pub(crate) fn sleep(waiting: &mut [PollFd<'_>], timeout: PollTimeout) -> io::Result<()> {
    match poll(waiting, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
