//! One message of the protocol, and the session that stamps outgoing ones.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Protocol version reported in headers and `kernel_info_reply`.
pub const PROTOCOL_VERSION: &str = "5.5";

/// A message header ("General Message Format").
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    pub msg_id: String,
    pub msg_type: String,
    #[serde(default)]
    pub session: String,
    #[serde(default)]
    pub username: String,
    /// ISO 8601.
    #[serde(default)]
    pub date: String,
    #[serde(default)]
    pub version: String,
    /// The subshell that answers (JEP 91); absent for the main shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subshell_id: Option<String>,
    /// Fields of newer protocols, handed back as they came in parent headers.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub struct Message {
    /// Routing frames before the delimiter: peers on ROUTER sockets, the topic on iopub.
    pub identities: Vec<Bytes>,
    pub header: Header,
    /// `{}` when there is no parent.
    pub parent_header: Value,
    pub metadata: Value,
    pub content: Value,
    pub buffers: Vec<Bytes>,
}

impl Message {
    /// The header as the `parent_header` of answers.
    pub fn as_parent(&self) -> Value {
        serde_json::to_value(&self.header).unwrap_or_else(|_| json!({}))
    }
}

/// The kernel's own session: one id for its whole life.
pub struct Session {
    pub id: String,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
        }
    }
}

impl Session {
    /// A new message with a fresh header.
    pub fn message(&self, msg_type: &str, parent_header: Value, content: Value) -> Message {
        let header = Header {
            msg_id: Uuid::new_v4().to_string(),
            msg_type: msg_type.to_owned(),
            session: self.id.clone(),
            username: "kernel".to_owned(),
            date: jiff::Timestamp::now().to_string(),
            version: PROTOCOL_VERSION.to_owned(),
            subshell_id: None,
            other: Map::new(),
        };
        Message {
            identities: Vec::new(),
            header,
            parent_header,
            metadata: json!({}),
            content,
            buffers: Vec::new(),
        }
    }
}
