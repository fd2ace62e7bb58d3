//! Jobs as the API server stores them.

use carrel_jobs::kind::Kind;
use kube::api::{ApiResource, GroupVersionKind};

pub fn resource(kind: Kind) -> ApiResource {
    let named = GroupVersionKind::gvk(kind.group(), kind.stored().name(), kind.name());
    ApiResource::from_gvk_with_plural(&named, kind.plural())
}
