//! The connection file that Jupyter writes for a kernel: addresses of the five sockets and the signing key.

use std::path::{Path, PathBuf};

use carrel_zmtp::Address;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::wire::signature::Scheme;

/// Content of a connection file (jupyter_client, "Connection files").
#[derive(Clone, Deserialize)]
pub struct ConnectionFile {
    #[serde(default)]
    pub transport: Transport,
    /// IP address with `tcp`, path prefix with `ipc`.
    pub ip: String,
    pub shell_port: u16,
    pub iopub_port: u16,
    pub stdin_port: u16,
    pub control_port: u16,
    pub hb_port: u16,
    /// HMAC key; empty means unsigned messages.
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub signature_scheme: Scheme,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Tcp,
    Ipc,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("cannot read the connection file {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the connection file {} is not valid: {source}", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl ConnectionFile {
    /// Reads and checks a connection file.
    pub fn read(path: &Path) -> Result<Self, ConnectionError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConnectionError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| ConnectionError::Parse {
            path: path.to_owned(),
            source,
        })
    }

    /// Content of `connect_reply`.
    pub fn ports(&self) -> Value {
        json!({
            "status": "ok",
            "shell_port": self.shell_port,
            "iopub_port": self.iopub_port,
            "stdin_port": self.stdin_port,
            "control_port": self.control_port,
            "hb_port": self.hb_port,
        })
    }

    /// Address of the socket at `port`.
    pub fn address(&self, port: u16) -> Address {
        match self.transport {
            Transport::Tcp => Address::Tcp {
                host: self.ip.clone(),
                port,
            },
            Transport::Ipc => Address::Ipc(format!("{}-{port}", self.ip).into()),
        }
    }
}
