//! Where a socket listens: TCP or a Unix socket.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// An address to listen at; shown as ZeroMQ writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Ipc(PathBuf),
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

/// A bound socket. Clients can connect from here on.
#[derive(Debug)]
pub struct Listener(Bound);

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Ipc(UnixListener, PathBuf),
}

pub type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub type Writing = Box<dyn AsyncWrite + Send + Unpin>;

impl Listener {
    pub async fn bind(address: &Address) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp { host, port } => {
                Bound::Tcp(TcpListener::bind((host.as_str(), *port)).await?)
            }
            Address::Ipc(path) => Bound::Ipc(bind_path(path).await?, path.clone()),
        };
        Ok(Self(bound))
    }

    pub async fn accept(&self) -> io::Result<(Reading, Writing)> {
        match &self.0 {
            Bound::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A reply is one small write, not to be held back for more.
                stream.set_nodelay(true)?;
                let (reading, writing) = stream.into_split();
                Ok((Box::new(reading), Box::new(writing)))
            }
            Bound::Ipc(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let (reading, writing) = stream.into_split();
                Ok((Box::new(reading), Box::new(writing)))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Bound::Ipc(_, path) = &self.0 {
            // Its folder may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Takes over the path of a kernel that was killed, and not that of one that lives.
async fn bind_path(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            match UnixStream::connect(path).await {
                Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    UnixListener::bind(path)
                }
                _ => Err(error),
            }
        }
        bound => bound,
    }
}
