//! The comms that are open between cells and frontends ("Custom Messages").

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::CommKind;

/// Open comms: id to target name.
#[derive(Default)]
pub struct Comms {
    open: BTreeMap<String, String>,
}

impl Comms {
    /// Takes note of a message, from either end; false if its comm is not open.
    pub fn note(&mut self, comm_id: &str, kind: &CommKind) -> bool {
        match kind {
            CommKind::Open { target_name } => {
                self.open.insert(comm_id.to_owned(), target_name.clone());
                true
            }
            CommKind::Message => self.open.contains_key(comm_id),
            CommKind::Close => self.open.remove(comm_id).is_some(),
        }
    }

    /// Content of `comm_info_reply`, of one target or of all.
    pub fn info(&self, target_name: Option<&str>) -> Value {
        let comms: Map<String, Value> = self
            .open
            .iter()
            .filter(|(_, target)| target_name.is_none_or(|name| name == target.as_str()))
            .map(|(id, target)| (id.clone(), json!({ "target_name": target })))
            .collect();
        json!({ "status": "ok", "comms": comms })
    }
}
