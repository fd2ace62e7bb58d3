//! Contents of the requests that frontends send, by message type ("Messages on the shell/control channel").

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A request on the shell or control channel.
#[derive(Debug)]
pub enum Request {
    KernelInfo,
    Execute(ExecuteRequest),
    Complete(CompleteRequest),
    Inspect(InspectRequest),
    IsComplete(IsCompleteRequest),
    History(HistoryRequest),
    CommInfo(CommInfoRequest),
    CommOpen(CommContent),
    CommMessage(CommContent),
    CommClose(CommContent),
    Connect,
    Interrupt,
    Shutdown(ShutdownRequest),
    CreateSubshell,
    DeleteSubshell(SubshellId),
    ListSubshell,
    Debug,
    Unknown,
}

#[derive(Debug, Deserialize)]
pub struct ExecuteRequest {
    pub code: String,
    #[serde(default)]
    pub silent: bool,
    /// Absent means true.
    pub store_history: Option<bool>,
    #[serde(default)]
    pub user_expressions: Option<Map<String, Value>>,
    #[serde(default = "yes")]
    pub allow_stdin: bool,
    #[serde(default = "yes")]
    pub stop_on_error: bool,
}

#[derive(Debug, Deserialize)]
pub struct CompleteRequest {
    pub code: String,
    /// In unicode code points.
    pub cursor_pos: usize,
}

#[derive(Debug, Deserialize)]
pub struct InspectRequest {
    pub code: String,
    /// In unicode code points.
    pub cursor_pos: usize,
    /// 1 asks for the source too.
    #[serde(default)]
    pub detail_level: u8,
}

#[derive(Debug, Deserialize)]
pub struct IsCompleteRequest {
    pub code: String,
}

#[derive(Debug, Deserialize)]
pub struct HistoryRequest {
    #[serde(default)]
    pub output: bool,
    #[serde(flatten)]
    pub access: HistoryAccess,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "hist_access_type", rename_all = "lowercase")]
pub enum HistoryAccess {
    Tail {
        n: Option<usize>,
    },
    Range {
        /// 0 or absent is this session; negative counts back from it.
        #[serde(default)]
        session: i64,
        #[serde(default)]
        start: i64,
        /// Exclusive; absent means to the end.
        stop: Option<i64>,
    },
    Search {
        /// A glob with `*` and `?`.
        #[serde(default)]
        pattern: Option<String>,
        n: Option<usize>,
        #[serde(default)]
        unique: bool,
    },
}

#[derive(Debug, Deserialize)]
pub struct CommInfoRequest {
    pub target_name: Option<String>,
}

/// `comm_open`, `comm_msg` and `comm_close`.
#[derive(Debug, Deserialize)]
pub struct CommContent {
    pub comm_id: String,
    /// Of `comm_open` only.
    #[serde(default)]
    pub target_name: String,
    #[serde(default)]
    pub data: Value,
}

#[derive(Debug, Deserialize)]
pub struct ShutdownRequest {
    #[serde(default)]
    pub restart: bool,
}

#[derive(Debug, Deserialize)]
pub struct SubshellId {
    pub subshell_id: String,
}

impl Request {
    /// Reads the content that belongs to `msg_type`.
    pub fn parse(msg_type: &str, content: &Value) -> Result<Self, serde_json::Error> {
        Ok(match msg_type {
            "kernel_info_request" => Self::KernelInfo,
            "execute_request" => Self::Execute(read(content)?),
            "complete_request" => Self::Complete(read(content)?),
            "inspect_request" => Self::Inspect(read(content)?),
            "is_complete_request" => Self::IsComplete(read(content)?),
            "history_request" => Self::History(read(content)?),
            "comm_info_request" => Self::CommInfo(read(content)?),
            "comm_open" => Self::CommOpen(read(content)?),
            "comm_msg" => Self::CommMessage(read(content)?),
            "comm_close" => Self::CommClose(read(content)?),
            "connect_request" => Self::Connect,
            "interrupt_request" => Self::Interrupt,
            "shutdown_request" => Self::Shutdown(read(content)?),
            "create_subshell_request" => Self::CreateSubshell,
            "delete_subshell_request" => Self::DeleteSubshell(read(content)?),
            "list_subshell_request" => Self::ListSubshell,
            "debug_request" => Self::Debug,
            _ => Self::Unknown,
        })
    }
}

fn read<T: DeserializeOwned>(content: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(content)
}

fn yes() -> bool {
    true
}
