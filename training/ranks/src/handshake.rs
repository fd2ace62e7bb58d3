//! Who is at the other end: a challenge that only a peer with the job's secret can answer (HMAC-SHA-256, both ways),
//! the version of the protocol, and messages as JSON behind their length.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::{RanksError, io_error};

/// Changes whenever a message or an operation does.
const VERSION: u32 = 3;
const NAME: &str = "carrel-ranks";
/// Configurations are short; more is another protocol's bytes read as a length.
const LONGEST: usize = 1 << 20;
/// How long a handshake may take: a peer that connected answers at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// What a connection is for.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The first one of each rank to rank 0: it tells where it listens, and stays for signs of life.
    Join { port: u16 },
    /// Between any two ranks.
    Data,
}

/// How a rank introduces itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Introduction {
    pub rank: usize,
    pub world: usize,
    pub configuration: String,
    pub purpose: Purpose,
}

#[derive(Serialize, Deserialize)]
struct Challenge {
    name: String,
    version: u32,
    nonce: String,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    version: u32,
    nonce: String,
    introduction: Introduction,
    proof: String,
}

#[derive(Serialize, Deserialize)]
enum Verdict {
    Welcome { proof: String },
    Refused { reason: String },
}

/// A connection that is being made. Each step ends by a time, however slowly the other side speaks, and when this rank is
/// to stop.
pub(crate) struct Line {
    stream: TcpStream,
    patience: Duration,
    until: Instant,
    stop: Stop,
}

type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

impl Line {
    /// For steps that take no longer than `patience` together.
    pub fn new(stream: TcpStream, patience: Duration, stop: &Stop) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            patience,
            until: Instant::now() + patience,
            stop: stop.clone(),
        })
    }

    /// Gives further steps their own time.
    pub fn renew(&mut self, patience: Duration) {
        (self.patience, self.until) = (patience, Instant::now() + patience);
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The connection, without limits of time.
    pub fn into_stream(self) -> Result<TcpStream, RanksError> {
        let set = self.stream.set_read_timeout(None);
        set.and(self.stream.set_write_timeout(None))
            .map_err(io_error(&self.address()))?;
        Ok(self.stream)
    }

    pub fn address(&self) -> String {
        address(&self.stream)
    }

    pub fn send(&mut self, message: &impl Serialize) -> Result<(), RanksError> {
        let body =
            serde_json::to_vec(message).map_err(|error| io_error(&self.address())(error.into()))?;
        self.write_all(&[&(body.len() as u32).to_le_bytes()[..], &body].concat())
    }

    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<T, RanksError> {
        let mut length = [0; 4];
        self.read_exact(&mut length)?;
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes > LONGEST {
            let text = String::from_utf8_lossy(&length).into_owned();
            return Err(self.protocol(format!("it begins with {text:?}")));
        }
        let mut body = vec![0; bytes];
        self.read_exact(&mut body)?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(error.to_string()))
    }

    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), RanksError> {
        while !bytes.is_empty() {
            let look = self.look()?;
            let set = self.stream.set_write_timeout(Some(look));
            match set.and_then(|()| self.stream.write(bytes)) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_pause(&error) => {}
                Err(source) => return Err(io_error(&self.address())(source)),
            }
        }
        Ok(())
    }

    pub fn read_exact(&mut self, mut bytes: &mut [u8]) -> Result<(), RanksError> {
        while !bytes.is_empty() {
            let look = self.look()?;
            let set = self.stream.set_read_timeout(Some(look));
            match set.and_then(|()| self.stream.read(bytes)) {
                Ok(0) => return Err(self.silent("it closed the connection".to_owned())),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error) if is_pause(&error) => {}
                Err(source) => return Err(io_error(&self.address())(source)),
            }
        }
        Ok(())
    }

    /// How long to wait before the next look whether to stop or to give up.
    fn look(&self) -> Result<Duration, RanksError> {
        if (self.stop)() {
            return Err(RanksError::Stopped);
        }
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => {
                let seconds = self.patience.as_secs_f32();
                Err(self.silent(format!("it did not say all within {seconds} s")))
            }
            left => Ok(left.min(LOOK)),
        }
    }

    fn silent(&self, reason: String) -> RanksError {
        let address = self.address();
        RanksError::Silent { address, reason }
    }

    fn protocol(&self, reason: String) -> RanksError {
        let address = self.address();
        RanksError::Protocol { address, reason }
    }
}

/// Whether a step of a connection only took its time.
fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// A peer that called, knows the secret and said who it is.
pub(crate) struct Heard {
    line: Line,
    pub introduction: Introduction,
    /// This side's and the peer's.
    nonces: [String; 2],
}

/// The side that accepted: challenges.
pub(crate) fn hear(mut line: Line, secret: &[u8]) -> Result<Heard, RanksError> {
    let challenge = Challenge {
        name: NAME.to_owned(),
        version: VERSION,
        nonce: nonce(),
    };
    line.send(&challenge)?;
    let answer: Answer = line.receive()?;
    let proof = proof(
        secret,
        "answer",
        &challenge.nonce,
        &answer.nonce,
        &answer.introduction,
    )?;
    let address = line.address();
    let mut heard = Heard {
        line,
        introduction: answer.introduction,
        nonces: [challenge.nonce, answer.nonce],
    };
    if answer.version != VERSION {
        heard.refuse(&format!(
            "it speaks version {VERSION} of the ranks' protocol"
        ))?;
        return Err(RanksError::Version {
            address,
            ours: VERSION,
            theirs: answer.version,
        });
    }
    if !verify(proof, &answer.proof) {
        heard.refuse("this rank does not know the job's secret")?;
        return Err(RanksError::Secret { address });
    }
    Ok(heard)
}

impl Heard {
    pub fn refuse(&mut self, reason: &str) -> Result<(), RanksError> {
        let reason = reason.to_owned();
        self.line.send(&Verdict::Refused { reason })
    }

    /// Shows that this side knows the secret too.
    pub fn welcome(mut self, secret: &[u8]) -> Result<TcpStream, RanksError> {
        let [own, theirs] = &self.nonces;
        let proof = proof(secret, "welcome", theirs, own, &self.introduction)?;
        self.line.send(&Verdict::Welcome { proof: text(proof) })?;
        self.line.into_stream()
    }

    pub fn address(&self) -> String {
        self.line.address()
    }
}

/// The side that called: answers the challenge, and checks that the other side knows the secret too.
pub(crate) fn introduce(
    line: &mut Line,
    secret: &[u8],
    introduction: &Introduction,
) -> Result<(), RanksError> {
    let address = line.address();
    let challenge: Challenge = line.receive()?;
    if challenge.name != NAME {
        return Err(line.protocol(format!("it calls itself {:?}", challenge.name)));
    }
    if challenge.version != VERSION {
        return Err(RanksError::Version {
            address,
            ours: VERSION,
            theirs: challenge.version,
        });
    }
    let nonce = nonce();
    let answer = Answer {
        version: VERSION,
        proof: text(proof(
            secret,
            "answer",
            &challenge.nonce,
            &nonce,
            introduction,
        )?),
        introduction: introduction.clone(),
        nonce: nonce.clone(),
    };
    line.send(&answer)?;
    match line.receive()? {
        Verdict::Refused { reason } => Err(RanksError::Refused(reason)),
        Verdict::Welcome { proof: theirs } => {
            let expected = proof(secret, "welcome", &nonce, &challenge.nonce, introduction)?;
            match verify(expected, &theirs) {
                true => Ok(()),
                false => Err(RanksError::Secret { address }),
            }
        }
    }
}

/// The peer's, as people know it: IPv4 addresses as such, also over a socket of IPv6.
pub(crate) fn address(stream: &TcpStream) -> String {
    let address = stream.peer_addr();
    address.map_or_else(
        |_| "a peer that left".to_owned(),
        |address| canonical(address).to_string(),
    )
}

pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Binds the answer to the side, both nonces, and all that the peer says of itself.
fn proof(
    secret: &[u8],
    side: &str,
    first: &str,
    second: &str,
    introduction: &Introduction,
) -> Result<Hmac<Sha256>, RanksError> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret)
        .map_err(|error| io_error("this rank")(io::Error::other(error.to_string())))?;
    let introduction =
        serde_json::to_string(introduction).map_err(|error| io_error("this rank")(error.into()))?;
    for part in [NAME, side, first, second, &introduction] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    Ok(mac)
}

fn text(proof: Hmac<Sha256>) -> String {
    hex::encode(proof.finalize().into_bytes())
}

/// In time that does not depend on where the two differ.
fn verify(expected: Hmac<Sha256>, found: &str) -> bool {
    hex::decode(found).is_ok_and(|found| expected.verify_slice(&found).is_ok())
}

/// Different each time, and not to be guessed.
fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
