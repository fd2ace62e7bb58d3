//! Signs of life: each rank and rank 0 send one another a beat twice a second, on threads of their own. Who falls
//! silent or leaves is named to all, and every operation that waits ends with that name.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::RanksError;
use crate::lock::lock;

const BEAT: Duration = Duration::from_millis(500);

/// The first rank that was lost.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub rank: usize,
    pub address: String,
    pub reason: String,
}

#[derive(Default)]
pub(crate) struct Pulse {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    lost: Mutex<Option<Loss>>,
    told: Condvar,
    ending: AtomicBool,
    /// Ends without a goodbye, so that the others take this rank for lost.
    aborted: AtomicBool,
    /// The data connections, closed for good when a rank is lost.
    streams: Vec<TcpStream>,
}

/// What is sent: a kind and a rank.
const LIFE: u8 = 0;
const LOST: u8 = 1;
const BYE: u8 = 2;
type Message = [u8; 5];

fn message(kind: u8, rank: usize) -> Message {
    let [a, b, c, d] = (rank as u32).to_le_bytes();
    [kind, a, b, c, d]
}

impl Pulse {
    pub fn start(
        controls: Vec<Option<(TcpStream, String)>>,
        streams: Vec<TcpStream>,
        silence: Duration,
    ) -> Result<Self, RanksError> {
        let shared = Arc::new(Shared {
            streams,
            ..Shared::default()
        });
        let mut threads = Vec::new();
        for (rank, control) in controls.into_iter().enumerate() {
            let Some((control, address)) = control else {
                continue;
            };
            control
                .set_read_timeout(Some(BEAT))
                .and(control.set_write_timeout(Some(silence)))
                .map_err(|source| RanksError::Io {
                    address: address.clone(),
                    source,
                })?;
            let watch = Watch {
                shared: shared.clone(),
                control,
                rank,
                address,
                silence,
            };
            threads.push(thread::spawn(move || watch.run()));
        }
        Ok(Self { shared, threads })
    }

    pub fn abort(&self) {
        self.shared.aborted.store(true, Ordering::Relaxed);
    }

    /// Who was lost, if it is known or becomes known within `patience`.
    pub fn lost_within(&self, patience: Duration) -> Option<Loss> {
        let lost = lock(&self.shared.lost);
        let waited = self
            .shared
            .told
            .wait_timeout_while(lost, patience, |lost| lost.is_none());
        let (lost, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        lost.clone()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there was told already.
            let _ = thread.join();
        }
    }
}

/// One connection between a rank and rank 0.
struct Watch {
    shared: Arc<Shared>,
    control: TcpStream,
    rank: usize,
    address: String,
    silence: Duration,
}

impl Watch {
    fn run(mut self) {
        if let Err(reason) = self.beat() {
            let loss = Loss {
                rank: self.rank,
                address: self.address.clone(),
                reason,
            };
            self.shared.lose(loss);
        }
    }

    /// Until the end of the job; why the peer is lost, if it is.
    fn beat(&mut self) -> Result<(), String> {
        let (mut sent, mut heard) = (None::<Instant>, Instant::now());
        // What came of a message: the rest of it may take longer than one look.
        let (mut found, mut filled): (Message, usize) = ([0; 5], 0);
        let mut told = false;
        loop {
            // Looked at first: a rank that leaves because of a loss tells of it before.
            let ending = self.shared.ending.load(Ordering::Relaxed);
            let lost = lock(&self.shared.lost).as_ref().map(|loss| loss.rank);
            if let (Some(rank), false) = (lost, told) {
                told = true;
                let _ = self.control.write_all(&message(LOST, rank));
            }
            if ending {
                if self.shared.aborted.load(Ordering::Relaxed) {
                    return Ok(());
                }
                // Who is gone needs no goodbye.
                let _ = self.control.write_all(&message(BYE, 0));
                return Ok(());
            }
            if sent.is_none_or(|sent| sent.elapsed() >= BEAT) {
                self.control
                    .write_all(&message(LIFE, 0))
                    .map_err(|error| error.to_string())?;
                sent = Some(Instant::now());
            }
            match self.control.read(&mut found[filled..]) {
                Ok(0) => return Err("it ended, or was killed".to_owned()),
                Ok(count) if filled + count < found.len() => filled += count,
                Ok(_) => {
                    filled = 0;
                    match found[0] {
                        BYE => return Ok(()),
                        LOST => self.hear_of(&found),
                        _ => heard = Instant::now(),
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error.to_string()),
            }
            if heard.elapsed() > self.silence {
                let seconds = self.silence.as_secs_f64();
                return Err(format!("no sign of life for {seconds} s"));
            }
        }
    }

    /// Rank 0 says that a rank was lost.
    fn hear_of(&self, found: &Message) {
        let rank = u32::from_le_bytes([found[1], found[2], found[3], found[4]]) as usize;
        self.shared.lose(Loss {
            rank,
            address: "seen by rank 0".to_owned(),
            reason: "it ended, was killed, or gave no sign of life".to_owned(),
        });
    }
}

impl Shared {
    /// Keeps the first loss, and ends all that waits for data.
    fn lose(&self, loss: Loss) {
        lock(&self.lost).get_or_insert(loss);
        self.told.notify_all();
        for stream in &self.streams {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    use super::{BEAT, LOST, Pulse, message};

    #[test]
    fn a_message_that_comes_in_two_parts_is_heard_as_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (control, _) = listener.accept().unwrap();
        let controls = vec![Some((control, "rank 0".to_owned()))];
        let pulse = Pulse::start(controls, vec![], Duration::from_secs(20)).unwrap();
        let told = message(LOST, 7 << 8);
        let (first, rest) = told.split_at(2);
        other.write_all(first).unwrap();
        // Longer than one look at the connection: that is the case.
        thread::sleep(2 * BEAT);
        other.write_all(rest).unwrap();
        let lost = pulse.lost_within(Duration::from_secs(10));
        assert_eq!(lost.map(|loss| loss.rank), Some(7 << 8));
        pulse.abort();
        drop(other);
    }
}
