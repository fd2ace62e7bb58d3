//! The connection file that Jupyter writes for a kernel: addresses of the five sockets and the signing key.

use std::path::{Path, PathBuf};

use serde::Deserialize;

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
    #[serde(default = "default_scheme")]
    pub signature_scheme: String,
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
    #[error("signature_scheme {0:?} is not supported; this kernel signs with hmac-sha256 only")]
    Scheme(String),
}

impl ConnectionFile {
    /// Reads and checks a connection file.
    pub fn read(path: &Path) -> Result<Self, ConnectionError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConnectionError::Read {
            path: path.to_owned(),
            source,
        })?;
        let connection: Self =
            serde_json::from_str(&text).map_err(|source| ConnectionError::Parse {
                path: path.to_owned(),
                source,
            })?;
        connection.check_scheme()?;
        Ok(connection)
    }

    /// ZeroMQ address of the socket at `port`.
    pub fn endpoint(&self, port: u16) -> String {
        match self.transport {
            Transport::Tcp if self.ip.contains(':') => format!("tcp://[{}]:{port}", self.ip),
            Transport::Tcp => format!("tcp://{}:{port}", self.ip),
            Transport::Ipc => format!("ipc://{}-{port}", self.ip),
        }
    }

    fn check_scheme(&self) -> Result<(), ConnectionError> {
        match self.signature_scheme.as_str() {
            "hmac-sha256" | "" => Ok(()),
            other => Err(ConnectionError::Scheme(other.to_owned())),
        }
    }
}

fn default_scheme() -> String {
    "hmac-sha256".to_owned()
}
