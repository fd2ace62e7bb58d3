//! `EventLogger:`, what a list of Python's handlers says in JupyterHub.

use super::address::FilePath;
use super::report::Report;
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Value, read_scalar, text_value};
use super::yaml::{Kind, Node};

/// The one schema of JupyterHub's events.
pub const SERVER_ACTION: &str = "https://schema.jupyter.org/jupyterhub/events/server-action";

section! {
    /// Events as JSON lines, in the form of JupyterHub's: that a server was started or stopped by the Hub. What ends by
    /// itself is none.
    EventLogger {
        /// File that they are appended to, in place of `handlers`; without it, none are logged. It may be moved away at any
        /// time, as logrotate does: the next event begins it anew.
        file: Option<FilePath> = None;
        /// Schemas whose events are logged.
        allowed_schemas: Vec<Schema> = vec![Schema];
    }
}

/// There is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema;

text_value!(
    Schema,
    "`https://schema.jupyter.org/jupyterhub/events/server-action`",
    |text| (text == SERVER_ACTION).then_some(Schema),
    |_| SERVER_ACTION.to_owned()
);
