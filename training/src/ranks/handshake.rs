//! Who is at the other end: a challenge that only a peer with the job's secret can answer (HMAC-SHA-256, both ways),
//! the version of the protocol, and messages as JSON behind their length.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::RanksError;

/// Changes whenever a message or an operation does.
const VERSION: u32 = 2;
const NAME: &str = "carrel-ranks";
/// Configurations are short; more is another protocol's bytes read as a length.
const LONGEST: usize = 1 << 20;
/// A peer that connected answers at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The first one of each rank to rank 0: it tells where it listens, and stays for signs of life.
    Join { port: u16 },
    /// Between any two ranks.
    Data,
}

/// How a rank introduces itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Introduction {
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

/// The side that accepted: challenges, and lets `judge` say why the peer is not welcome.
pub(super) fn accept(
    stream: &mut TcpStream,
    secret: &[u8],
    judge: impl FnOnce(&Introduction) -> Result<(), String>,
) -> Result<Introduction, RanksError> {
    let address = address(stream);
    prepare(stream).map_err(|source| io_error(&address, source))?;
    let challenge = Challenge {
        name: NAME.to_owned(),
        version: VERSION,
        nonce: nonce(),
    };
    send(stream, &challenge)?;
    let answer: Answer = receive(stream)?;
    let proof = proof(
        secret,
        "answer",
        &challenge.nonce,
        &answer.nonce,
        &answer.introduction,
    )?;
    let refuse = |stream: &mut TcpStream, reason: &str| {
        send(
            stream,
            &Verdict::Refused {
                reason: reason.to_owned(),
            },
        )
    };
    if answer.version != VERSION {
        refuse(
            stream,
            &format!("it speaks version {VERSION} of the ranks' protocol"),
        )?;
        return Err(RanksError::Version {
            address,
            ours: VERSION,
            theirs: answer.version,
        });
    }
    if !verify(proof, &answer.proof) {
        refuse(stream, "this rank does not know the job's secret")?;
        return Err(RanksError::Secret { address });
    }
    if let Err(reason) = judge(&answer.introduction) {
        refuse(stream, &reason)?;
        return Err(RanksError::Protocol { address, reason });
    }
    let proof = self::proof(
        secret,
        "welcome",
        &answer.nonce,
        &challenge.nonce,
        &answer.introduction,
    )?;
    send(stream, &Verdict::Welcome { proof: text(proof) })?;
    Ok(answer.introduction)
}

/// The side that called: answers the challenge, and checks that the other side knows the secret too.
pub(super) fn introduce(
    stream: &mut TcpStream,
    secret: &[u8],
    introduction: &Introduction,
) -> Result<(), RanksError> {
    let address = address(stream);
    prepare(stream).map_err(|source| io_error(&address, source))?;
    let challenge: Challenge = receive(stream)?;
    if challenge.name != NAME {
        let reason = format!("it calls itself {:?}", challenge.name);
        return Err(RanksError::Protocol { address, reason });
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
    send(stream, &answer)?;
    match receive(stream)? {
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

pub(super) fn address(stream: &TcpStream) -> String {
    let address = stream.peer_addr();
    address.map_or_else(
        |_| "a peer that left".to_owned(),
        |address| address.to_string(),
    )
}

pub(super) fn send(stream: &mut TcpStream, message: &impl Serialize) -> Result<(), RanksError> {
    let body =
        serde_json::to_vec(message).map_err(|error| io_error(&address(stream), error.into()))?;
    let framed = [&(body.len() as u32).to_le_bytes()[..], &body].concat();
    stream
        .write_all(&framed)
        .map_err(|source| io_error(&address(stream), source))
}

pub(super) fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> Result<T, RanksError> {
    let protocol = |stream: &TcpStream, reason: String| RanksError::Protocol {
        address: address(stream),
        reason,
    };
    let mut length = [0; 4];
    if let Err(error) = stream.read_exact(&mut length) {
        return Err(match error.kind() {
            io::ErrorKind::UnexpectedEof => protocol(stream, "it closed the connection".to_owned()),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => protocol(
                stream,
                format!("it said nothing for {} s", PATIENCE.as_secs()),
            ),
            _ => io_error(&address(stream), error),
        });
    }
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > LONGEST {
        let text = String::from_utf8_lossy(&length).into_owned();
        return Err(protocol(stream, format!("it begins with {text:?}")));
    }
    let mut body = vec![0; bytes];
    stream
        .read_exact(&mut body)
        .map_err(|source| io_error(&address(stream), source))?;
    serde_json::from_slice(&body).map_err(|error| protocol(stream, error.to_string()))
}

fn io_error(address: &str, source: io::Error) -> RanksError {
    RanksError::Io {
        address: address.to_owned(),
        source,
    }
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
        .map_err(|error| io_error("this rank", io::Error::other(error.to_string())))?;
    let introduction =
        serde_json::to_string(introduction).map_err(|error| io_error("this rank", error.into()))?;
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
