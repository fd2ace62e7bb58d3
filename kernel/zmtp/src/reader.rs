//! Frames that come in, to messages and commands of bounded size.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

pub const MORE: u8 = 1;
pub const LONG: u8 = 2;
pub const COMMAND: u8 = 4;
/// What a frame costs beside its bytes, so that empty frames do not come for free.
pub const FRAME_COST: usize = 64;
/// Memory is taken as bytes come, never by what a frame's head claims.
const FIRST_CHUNK: usize = 64 * 1024;

pub enum Incoming {
    Message(Vec<Bytes>),
    Command(Command),
}

pub enum Command {
    /// Names and values.
    Ready(Vec<(Bytes, Bytes)>),
    Subscribe(Bytes),
    Cancel(Bytes),
    /// The context, to be sent back in a PONG.
    Ping(Bytes),
    /// Of no meaning to a server.
    Other,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("a message larger than {0} bytes")]
    TooLarge(usize),
    #[error("a frame with the flags {0:#x}")]
    Flags(u8),
    #[error("a malformed command")]
    Command,
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub struct Reader<R> {
    pub stream: BufReader<R>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(stream: R) -> Self {
        let stream = BufReader::new(stream);
        Self { stream }
    }

    /// The next message or command, with all of its frames. Not cancel-safe.
    pub async fn next(&mut self, most: usize) -> Result<Incoming, ReadError> {
        let mut frames = Vec::new();
        let mut rest = most;
        loop {
            let flags = self.stream.read_u8().await?;
            if flags & !(MORE | LONG | COMMAND) != 0 {
                return Err(ReadError::Flags(flags));
            }
            let length = match flags & LONG != 0 {
                true => self.stream.read_u64().await?,
                false => u64::from(self.stream.read_u8().await?),
            };
            let length = usize::try_from(length)
                .ok()
                .filter(|length| length.saturating_add(FRAME_COST) <= rest)
                .ok_or(ReadError::TooLarge(most))?;
            rest -= length + FRAME_COST;
            let body = self.body(length).await?;
            if flags & COMMAND != 0 {
                return Ok(Incoming::Command(command(body)?));
            }
            frames.push(body);
            if flags & MORE == 0 {
                return Ok(Incoming::Message(frames));
            }
        }
    }

    async fn body(&mut self, length: usize) -> io::Result<Bytes> {
        let mut body = BytesMut::with_capacity(length.min(FIRST_CHUNK));
        let mut stream = (&mut self.stream).take(length as u64);
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(body.freeze())
    }
}

fn command(mut body: Bytes) -> Result<Command, ReadError> {
    let name = short(&mut body)?;
    Ok(match name.as_ref() {
        b"READY" => {
            let mut properties = Vec::new();
            while !body.is_empty() {
                properties.push((short(&mut body)?, long(&mut body)?));
            }
            Command::Ready(properties)
        }
        b"SUBSCRIBE" => Command::Subscribe(body),
        b"CANCEL" => Command::Cancel(body),
        // Two bytes of time to live before the context.
        b"PING" if (2..=18).contains(&body.len()) => Command::Ping(body.slice(2..)),
        b"PING" => return Err(ReadError::Command),
        _ => Command::Other,
    })
}

fn short(body: &mut Bytes) -> Result<Bytes, ReadError> {
    let length = body.try_get_u8().map_err(|_| ReadError::Command)?;
    take(body, usize::from(length))
}

fn long(body: &mut Bytes) -> Result<Bytes, ReadError> {
    let length = body.try_get_u32().map_err(|_| ReadError::Command)?;
    take(body, length as usize)
}

fn take(body: &mut Bytes, length: usize) -> Result<Bytes, ReadError> {
    match length <= body.len() {
        true => Ok(body.split_to(length)),
        false => Err(ReadError::Command),
    }
}
