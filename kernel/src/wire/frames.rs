//! Frames on a ZeroMQ socket to signed messages and back (jupyter_client, "The Wire Protocol").

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::message::Message;
use super::signature::{Scheme, Signer};

const DELIMITER: &[u8] = b"<IDS|MSG>";
/// Signatures remembered against replay, as many as jupyter_client keeps.
const REMEMBERED_SIGNATURES: usize = 65_536;

/// Why a received message is dropped.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("no <IDS|MSG> delimiter among {0} frames")]
    NoDelimiter(usize),
    #[error("{0} frames after the delimiter, at least 5 are needed")]
    TooFew(usize),
    #[error(
        "the signature does not match; is the key of the connection file the same on both sides?"
    )]
    BadSignature,
    #[error("a message with this signature was received before")]
    Replayed,
    #[error("the {part} is not valid JSON: {source}")]
    Json {
        part: &'static str,
        source: serde_json::Error,
    },
}

/// Signs, verifies and (de)serializes messages with the key of one connection.
pub struct Codec {
    /// None when the key is empty: messages are then unsigned.
    signer: Option<Box<dyn Signer>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    order: VecDeque<Vec<u8>>,
    set: HashSet<Vec<u8>>,
}

impl Codec {
    pub fn new(key: &str, scheme: Scheme) -> Self {
        Self {
            signer: scheme.signer(key),
            seen: Mutex::default(),
        }
    }

    /// Reads one message: identities, delimiter, signature, header, parent, metadata, content, buffers.
    pub fn decode(&self, frames: Vec<Bytes>) -> Result<Message, FrameError> {
        let delimiter = frames
            .iter()
            .position(|frame| frame.as_ref() == DELIMITER)
            .ok_or(FrameError::NoDelimiter(frames.len()))?;
        let [signature, header, parent, metadata, content, buffers @ ..] = &frames[delimiter + 1..]
        else {
            return Err(FrameError::TooFew(frames.len() - delimiter - 1));
        };
        self.verify(signature, [header, parent, metadata, content])?;
        Ok(Message {
            identities: frames[..delimiter].to_vec(),
            header: parse("header", header)?,
            parent_header: parse("parent header", parent)?,
            metadata: parse("metadata", metadata)?,
            content: parse("content", content)?,
            buffers: buffers.to_vec(),
        })
    }

    /// Frames of `message`, signed. Buffers stay outside the signature, as the protocol says.
    pub fn encode(&self, message: &Message) -> Vec<Bytes> {
        let parts = [
            to_bytes(&message.header),
            to_bytes(&message.parent_header),
            to_bytes(&message.metadata),
            to_bytes(&message.content),
        ];
        let mut frames = message.identities.clone();
        frames.push(Bytes::from_static(DELIMITER));
        frames.push(self.sign(&parts));
        frames.extend(parts);
        frames.extend(message.buffers.iter().cloned());
        frames
    }

    fn sign(&self, [header, parent, metadata, content]: &[Bytes; 4]) -> Bytes {
        match &self.signer {
            Some(signer) => hex::encode(signer.sign([header, parent, metadata, content])).into(),
            None => Bytes::new(),
        }
    }

    fn verify(&self, signature: &Bytes, parts: [&Bytes; 4]) -> Result<(), FrameError> {
        let Some(signer) = &self.signer else {
            return Ok(());
        };
        let signature = hex::decode(signature).map_err(|_| FrameError::BadSignature)?;
        if !signer.is_signature(&signature, parts) {
            return Err(FrameError::BadSignature);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.remember(signature) {
            Ok(())
        } else {
            Err(FrameError::Replayed)
        }
    }
}

impl Seen {
    /// False when the signature was known already.
    fn remember(&mut self, signature: Vec<u8>) -> bool {
        if !self.set.insert(signature.clone()) {
            return false;
        }
        self.order.push_back(signature);
        if self.order.len() > REMEMBERED_SIGNATURES
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

/// The header alone must be well formed; the other parts are checked where they are used.
fn parse<T: serde::de::DeserializeOwned>(
    part: &'static str,
    frame: &Bytes,
) -> Result<T, FrameError> {
    serde_json::from_slice(frame).map_err(|source| FrameError::Json { part, source })
}

fn to_bytes<T: serde::Serialize>(value: &T) -> Bytes {
    // Maps with string keys always serialize; an empty object stands in if that ever breaks.
    serde_json::to_vec(value)
        .unwrap_or_else(|_| b"{}".to_vec())
        .into()
}
