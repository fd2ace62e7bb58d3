//! The jobs that a visitor may see, of all kinds and namespaces that are asked for.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::api::DynamicObject;

use crate::access::{Reach, Right};
use crate::app;
use crate::cluster::ClusterError;
use crate::jobs::kind::JobKind;
use crate::visitor::Visitor;

/// Lists that are asked for at a time.
const AT_ONCE: usize = 8;

/// What was found, and what could not be looked at.
#[derive(Default)]
pub struct Gathered {
    pub jobs: Vec<(JobKind, DynamicObject)>,
    pub is_cut: bool,
    /// Rights that the visitor lacks everywhere that was asked for.
    pub missing: Vec<Right>,
    /// Namespaces in which the visitor may see jobs of some kind.
    pub namespaces: Vec<String>,
    /// The kinds that the cluster has.
    pub kinds: Vec<JobKind>,
}

/// Of one kind or namespace only, where it is given.
pub async fn gather(
    app: &app::Parts,
    visitor: &Visitor,
    kind: Option<JobKind>,
    namespace: Option<&str>,
) -> Result<Gathered, ClusterError> {
    let mut found = Gathered {
        kinds: app.cluster.kinds().await?,
        ..Gathered::default()
    };
    let wanted = found.kinds.clone().into_iter();
    for one in wanted.filter(|one| kind.is_none_or(|kind| kind == *one)) {
        let right = Right::on("list", one);
        let reach = app
            .access
            .reach(&app.cluster, &visitor.identity, &right)
            .await?;
        found.namespaces.extend_from_slice(reach.names());
        match (namespace, &reach) {
            (Some(name), Reach::All(_)) => add(app, &mut found, one, &[Some(name)]).await?,
            (Some(name), Reach::Some(names)) if names.iter().any(|known| known == name) => {
                add(app, &mut found, one, &[Some(name)]).await?;
            }
            (Some(name), _) => found.missing.push(right.within(name)),
            (None, Reach::All(_)) => add(app, &mut found, one, &[None]).await?,
            (None, Reach::Some(names)) if names.is_empty() => found.missing.push(right),
            (None, Reach::Some(names)) => {
                let places: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
                add(app, &mut found, one, &places).await?;
            }
        }
    }
    found.namespaces.sort_unstable();
    found.namespaces.dedup();
    Ok(found)
}

async fn add(
    app: &app::Parts,
    found: &mut Gathered,
    kind: JobKind,
    places: &[Option<&str>],
) -> Result<(), ClusterError> {
    let lists = places.iter().map(|place| app.cluster.list(kind, *place));
    let lists: Vec<_> = lists.collect();
    let mut lists = stream::iter(lists).buffered(AT_ONCE);
    while let Some(list) = lists.try_next().await? {
        found.is_cut |= list.is_cut;
        found
            .jobs
            .extend(list.items.into_iter().map(|job| (kind, job)));
    }
    Ok(())
}
