//! The store that torchrun's agent holds at MASTER_PORT, by which rank 0 says where it listens: the protocol of
//! PyTorch's `TCPStore` (torch/csrc/distributed/c10d/TCPStoreBackend.hpp, 2.15), as far as that needs it.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::dial::{address, dial, host_and_port};
use crate::error::RanksError;
use crate::handshake::{Line, PATIENCE};
use crate::meeting::Meeting;

/// Kinds of queries, each a byte.
const VALIDATE: u8 = 0;
const SET: u8 = 1;
const GET: u8 = 3;
const CHECK: u8 = 5;
const MAGIC: u32 = 0x3C85_F7CE;
/// The answer to a check.
const READY: u8 = 0;
/// An address is short; more is another protocol's bytes read as a length.
const LONGEST: u64 = 256;
/// Between two looks whether rank 0 has said where it is.
const PAUSE: Duration = Duration::from_millis(50);

/// Says where rank 0 listens.
pub(crate) fn publish(
    meeting: &Meeting,
    key: &str,
    port: u16,
    end: Instant,
) -> Result<(), RanksError> {
    let mut line = open(meeting, end)?;
    let failed = failed(meeting);
    let own = line.stream().local_addr();
    let own = own.map_err(|error| failed(error.to_string()))?.ip();
    let value = format!("{} {port}", own.to_canonical());
    let mut query = vec![SET];
    push(&mut query, key.as_bytes());
    push(&mut query, value.as_bytes());
    line.write_all(&query)?;
    // Setting has no answer; this has, once that is done.
    match is_there(&mut line, key)? {
        true => Ok(()),
        false => Err(failed("it does not keep what is set".to_owned())),
    }
}

/// Where rank 0 listens, once it says so.
pub(crate) fn look_up(
    meeting: &Meeting,
    key: &str,
    end: Instant,
) -> Result<(String, u16), RanksError> {
    let mut line = open(meeting, end)?;
    let failed = failed(meeting);
    while !is_there(&mut line, key)? {
        if Instant::now() >= end {
            return Err(meeting.missing(vec![0], String::new()));
        }
        thread::sleep(PAUSE);
        line.renew(PATIENCE);
    }
    let mut query = vec![GET];
    push(&mut query, key.as_bytes());
    line.write_all(&query)?;
    let mut length = [0; 8];
    line.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST {
        return Err(failed(format!("{length} bytes for the address of rank 0")));
    }
    let mut value = vec![0; length as usize];
    line.read_exact(&mut value)?;
    let value = String::from_utf8_lossy(&value).into_owned();
    let parts = value.split_once(' ');
    let parts = parts.and_then(|(ip, port)| Some((ip.parse().ok()?, port.parse().ok()?)));
    let (ip, port): (IpAddr, u16) =
        parts.ok_or_else(|| failed(format!("{value:?} is no address of rank 0")))?;
    // On the machine of the store rank 0 sees the loopback; others know that machine by its name.
    Ok(match ip.is_loopback() {
        true => (meeting.environment.host.clone(), port),
        false => (ip.to_string(), port),
    })
}

fn open(meeting: &Meeting, end: Instant) -> Result<Line, RanksError> {
    let (host, port) = (&meeting.environment.host, meeting.environment.port);
    let stream = dial(&|| host_and_port(host, port), meeting, end, &|reason| {
        failed(meeting)(reason)
    })?;
    let mut line = Line::new(stream, PATIENCE, &meeting.stop)
        .map_err(|error| failed(meeting)(error.to_string()))?;
    line.write_all(&[&[VALIDATE][..], &MAGIC.to_le_bytes()].concat())?;
    Ok(line)
}

fn is_there(line: &mut Line, key: &str) -> Result<bool, RanksError> {
    let mut query = vec![CHECK];
    query.extend(1u64.to_le_bytes());
    push(&mut query, key.as_bytes());
    line.write_all(&query)?;
    let mut answer = [0];
    line.read_exact(&mut answer)?;
    Ok(answer == [READY])
}

/// Bytes behind their length.
fn push(query: &mut Vec<u8>, bytes: &[u8]) {
    query.extend((bytes.len() as u64).to_le_bytes());
    query.extend(bytes);
}

fn failed(meeting: &Meeting) -> impl Fn(String) -> RanksError {
    let address = address(&meeting.environment.host, meeting.environment.port);
    move |reason| RanksError::Store {
        address: address.clone(),
        reason,
    }
}
