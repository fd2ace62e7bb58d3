//! Messages between the kernel and its worker: frames of JSON, each after its length as four little-endian bytes.
//!
//! They travel on a socket of their own, so nothing that a cell prints can be taken for a message.

pub mod analysis;

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A frame that claims more than this is an error of the sender, and memory is not spent on it.
pub const MAX_FRAME: usize = 1 << 30;

/// From the kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Load a compiled cell, drop variables, and call `entry` if the cell has statements. `cell` is its number, which
    /// counts up.
    Run {
        cell: u64,
        library: String,
        entry: Option<String>,
        drop_variables: Vec<String>,
    },
    /// The kernel took the last output; the cell goes on.
    Taken,
    /// Hand a frontend's message to what listens in cells, as if it were a cell.
    Comm { cell: u64, message: CommMessage },
    /// Ask a cell to stop, if it runs still; asked again, it waits for nothing more.
    Interrupt { cell: u64 },
    /// Answers a [`Report::Question`]; no line when the frontend takes no questions.
    Answer { question: u64, line: Option<String> },
}

/// From the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// Libraries are loaded; cells can run.
    Ready,
    /// The worker waits for [`Request::Taken`]. `cell` is that of the thread that sends it, 0 for the one that runs.
    Output { cell: u64, output: Output },
    /// What a thread printed that has outlived its cell; `error` is for stderr.
    Printed {
        cell: u64,
        error: bool,
        text: String,
    },
    /// A thread of the cell waits for [`Request::Answer`], or for an interrupt.
    Question {
        question: u64,
        prompt: String,
        password: bool,
    },
    /// The cell ended; `variables` are all that live now.
    Ended {
        ending: Ending,
        variables: Vec<String>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Output {
    Display {
        bundle: MimeBundle,
        display_id: Option<String>,
        update: bool,
    },
    Result(MimeBundle),
    ClearOutput {
        wait: bool,
    },
    ThreadPanic(Panic),
    Comm(CommMessage),
}

/// `data` and `metadata` by MIME type.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MimeBundle {
    pub data: Map<String, Value>,
    pub metadata: Map<String, Value>,
}

impl MimeBundle {
    /// Plain text alone.
    pub fn plain(text: String) -> Self {
        let mut bundle = Self::default();
        bundle.data.insert("text/plain".to_owned(), text.into());
        bundle
    }
}

/// Whether data of a MIME type is a JSON value, and not text.
pub fn is_json(mime: &str) -> bool {
    mime == "application/json" || mime.ends_with("+json")
}

/// A message on a comm, either way ("Custom Messages").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommMessage {
    pub comm_id: String,
    pub kind: CommKind,
    pub data: Value,
    pub metadata: Value,
    #[serde(with = "buffers")]
    pub buffers: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommKind {
    Open { target_name: String },
    Message,
    Close,
}

/// Bytes as base64, which JSON carries with a third more; as an array of numbers it would be four times as much.
mod buffers {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(buffers: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(buffers.iter().map(|buffer| STANDARD.encode(buffer)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let buffers = texts.iter().map(|text| STANDARD.decode(text));
        buffers.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ending {
    Ok,
    /// `?` at top level: the error and its causes.
    Failed {
        chain: Vec<String>,
        place: Place,
    },
    Panicked(Panic),
    /// Where it noticed.
    Interrupted(Place),
    /// It was interrupted and went on waiting, and is left so with the variables that it took.
    Left,
    /// The compiled cell could not be loaded.
    NotLoaded(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Panic {
    pub message: String,
    pub place: Place,
}

/// A place in the generated source, which the kernel maps back to the cell; line and column from 1.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

/// A message as a frame.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!(
            "an output of {length} bytes is too large; the limit is {MAX_FRAME}"
        )));
    }
    // The limit is below 4 GiB.
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(frame)
}

/// The length in a frame's head.
pub fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    Ok(length)
}

/// The message in a frame's body.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> io::Result<M> {
    Ok(serde_json::from_slice(body)?)
}

/// Takes the first message out of received bytes, once its frame is whole.
pub fn take_frame<M: DeserializeOwned>(received: &mut Vec<u8>) -> Option<io::Result<M>> {
    let length = match length(*received.first_chunk::<4>()?) {
        Ok(length) => length,
        Err(error) => return Some(Err(error)),
    };
    let message = decode(received.get(4..4 + length)?);
    received.drain(..4 + length);
    Some(message)
}
