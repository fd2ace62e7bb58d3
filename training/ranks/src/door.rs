//! Where ranks call: connections are heard at once, each on a thread of its own, so that nobody who is slow or silent
//! keeps the others waiting.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::RanksError;
use crate::handshake::{self, Heard, Line, PATIENCE};
use crate::meeting::Meeting;

/// Between two looks for a connection.
const PAUSE: Duration = Duration::from_millis(20);
/// Strangers that are heard at once beside the ranks; others wait.
const STRANGERS: usize = 64;

pub(crate) struct Door {
    listener: TcpListener,
    secret: Arc<[u8]>,
    heard: (Sender<Guest>, Receiver<Guest>),
    /// Those that are being heard.
    open: Arc<AtomicUsize>,
    most: usize,
}

type Guest = Result<Heard, RanksError>;

impl Door {
    /// Listens at a port, or at a free one for 0; over IPv6 and IPv4 where the machine has both.
    pub fn open(port: u16, meeting: &Meeting) -> Result<Self, RanksError> {
        let listen = || {
            let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
            let listener = match both {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?
                }
                other => other?,
            };
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        Ok(Self {
            listener: listen().map_err(|source| RanksError::Listen { port, source })?,
            secret: meeting.secret.as_slice().into(),
            heard: channel(),
            open: Arc::default(),
            most: meeting.environment.world + STRANGERS,
        })
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// The next one who said who it is, or why somebody did not; None at `end`.
    pub fn next(&self, meeting: &Meeting, end: Instant) -> Result<Option<Guest>, RanksError> {
        loop {
            if (meeting.stop)() {
                return Err(RanksError::Stopped);
            }
            while self.open.load(Ordering::Relaxed) < self.most {
                match self.listener.accept() {
                    Ok((stream, _)) => self.hear(Line::new(stream, PATIENCE, &meeting.stop)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The caller left again, or there are no more files to open for the moment.
                    Err(_) => break,
                }
            }
            if let Ok(guest) = self.heard.1.recv_timeout(PAUSE) {
                return Ok(Some(guest));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    fn hear(&self, line: io::Result<Line>) {
        let (secret, heard) = (self.secret.clone(), self.heard.0.clone());
        let open = self.open.clone();
        open.fetch_add(1, Ordering::Relaxed);
        thread::spawn(move || {
            let guest = match line {
                Ok(line) => handshake::hear(line, &secret),
                Err(source) => Err(RanksError::Io {
                    address: "a peer".to_owned(),
                    source,
                }),
            };
            open.fetch_sub(1, Ordering::Relaxed);
            // Nobody listens any more once all ranks are here.
            let _ = heard.send(guest);
        });
    }
}
