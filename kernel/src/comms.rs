//! The comms that are open between cells and frontends ("Custom Messages").

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Open comms: id to target name.
#[derive(Default)]
pub struct Comms {
    open: BTreeMap<String, String>,
}

impl Comms {
    pub fn open(&mut self, comm_id: &str, target_name: &str) {
        self.open.insert(comm_id.to_owned(), target_name.to_owned());
    }

    pub fn close(&mut self, comm_id: &str) {
        self.open.remove(comm_id);
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
