//! All servers of a notebook, and the table of them that a cell shows.

use std::fmt;
use std::ops::Deref;

use super::Server;
use crate::rows::Rows;

const COLUMNS: [&str; 4] = ["model", "version", "address", "gRPC"];

/// Servers by their names: a slice of them, shown as a table of how they stood when they were listed.
#[derive(Clone)]
pub struct ServerList {
    servers: Vec<Server>,
    rows: Vec<[String; 4]>,
}

impl FromIterator<Server> for ServerList {
    fn from_iter<T: IntoIterator<Item = Server>>(servers: T) -> Self {
        let servers: Vec<_> = servers.into_iter().collect();
        let row = |server: &Server| {
            [
                server.name().to_owned(),
                server.version().to_string(),
                server.url(),
                server.grpc(),
            ]
        };
        Self {
            rows: servers.iter().map(row).collect(),
            servers,
        }
    }
}

impl Deref for ServerList {
    type Target = [Server];

    fn deref(&self) -> &[Server] {
        &self.servers
    }
}

impl IntoIterator for ServerList {
    type Item = Server;
    type IntoIter = std::vec::IntoIter<Server>;

    fn into_iter(self) -> Self::IntoIter {
        self.servers.into_iter()
    }
}

impl<'a> IntoIterator for &'a ServerList {
    type Item = &'a Server;
    type IntoIter = std::slice::Iter<'a, Server>;

    fn into_iter(self) -> Self::IntoIter {
        self.servers.iter()
    }
}

impl ServerList {
    fn table(&self) -> Rows<'_, 4> {
        Rows {
            columns: COLUMNS,
            rows: &self.rows,
        }
    }

    /// The table, for a cell.
    pub fn html(&self) -> String {
        self.table().html()
    }
}

/// The same table as text.
impl fmt::Display for ServerList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.table().text())
    }
}

/// A value is shown by it.
impl fmt::Debug for ServerList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
