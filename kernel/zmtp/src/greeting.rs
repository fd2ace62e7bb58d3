//! The start of a connection: greetings, the NULL mechanism, READY.

use std::io;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Kind;
use super::listener::{Reading, Writing};
use super::reader::{Command, Incoming, ReadError, Reader};

const GREETING: usize = 64;
const VERSION: [u8; 2] = [3, 1];
/// A READY command carries a type, an identity and little else.
const MOST_READY: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    #[error("it does not speak ZMTP 3")]
    NotZmtp,
    #[error("it wants the security mechanism {0:?}; a kernel has NULL only")]
    Mechanism(String),
    #[error("a {} socket serves no {client}", kind.name())]
    Type { kind: Kind, client: String },
    #[error("it sent no READY command")]
    NotReady,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Exchanges greetings; gives the client's identity, which is empty when it chose none.
pub async fn greet(
    kind: Kind,
    reader: &mut Reader<Reading>,
    writing: &mut Writing,
) -> Result<Bytes, GreetingError> {
    writing.write_all(&greeting()).await?;
    let mut theirs = [0; GREETING];
    reader.stream.read_exact(&mut theirs).await?;
    check(&theirs)?;
    writing.write_all(&ready(kind)).await?;
    let Incoming::Command(Command::Ready(properties)) = reader.next(MOST_READY).await? else {
        return Err(GreetingError::NotReady);
    };
    let property = |wanted: &str| {
        let named = |(name, _): &&(Bytes, Bytes)| name.eq_ignore_ascii_case(wanted.as_bytes());
        let found = properties.iter().find(named);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let client = property("Socket-Type");
    if !kind.serves(&client) {
        let client = String::from_utf8_lossy(&client).into_owned();
        return Err(GreetingError::Type { kind, client });
    }
    Ok(property("Identity"))
}

fn greeting() -> [u8; GREETING] {
    let mut greeting = [0; GREETING];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10..12].copy_from_slice(&VERSION);
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn check(greeting: &[u8; GREETING]) -> Result<(), GreetingError> {
    if greeting[0] != 0xff || greeting[9] & 1 == 0 || greeting[10] < VERSION[0] {
        return Err(GreetingError::NotZmtp);
    }
    let mechanism = String::from_utf8_lossy(&greeting[12..32]);
    match mechanism.trim_end_matches('\0') {
        "NULL" => Ok(()),
        other => Err(GreetingError::Mechanism(other.to_owned())),
    }
}

/// The READY command as a frame.
fn ready(kind: Kind) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    let name = kind.name().as_bytes();
    body.put_u32(name.len() as u32);
    body.extend_from_slice(name);
    let mut frame = vec![0x04, body.len() as u8];
    frame.extend_from_slice(&body);
    frame
}
