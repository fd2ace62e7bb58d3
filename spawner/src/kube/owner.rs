//! Whose an object is: what another user, server or Hub has made under the same name is neither used nor deleted.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::objects::{SERVERNAME, USERNAME};

/// Label that tells the installations of one namespace apart; a chart gives it by `KubeSpawner.common_labels`.
pub(super) const INSTANCE: &str = "app.kubernetes.io/instance";

/// What the objects of one server say of their owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: Option<String>,
    pub(super) server: Option<String>,
    pub(super) instance: Option<String>,
}

impl Owner {
    /// What the annotations and labels of an object say.
    pub(super) fn of(object: &ObjectMeta) -> Self {
        let read = |from: &Option<BTreeMap<String, String>>, name: &str| {
            from.as_ref().and_then(|from| from.get(name)).cloned()
        };
        Self {
            user: read(&object.annotations, USERNAME),
            server: read(&object.annotations, SERVERNAME),
            instance: read(&object.labels, INSTANCE),
        }
    }

    /// Whether nothing on an object names somebody else. What names nobody, as a claim that was made by hand, is for
    /// whoever has the name.
    pub(super) fn may_use(&self, object: &ObjectMeta) -> bool {
        let found = Self::of(object);
        let fits = |found: Option<String>, own: &Option<String>| found.is_none() || found == *own;
        fits(found.user, &self.user)
            && fits(found.server, &self.server)
            && fits(found.instance, &self.instance)
    }
}
