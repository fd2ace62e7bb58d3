//! What ranks print, as their pods keep it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use carrel_jobs::logs::{name, read};
use futures_util::{AsyncRead, AsyncReadExt as _, stream};
use kube::api::LogParams;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::Refusal;
use crate::objects::CONTAINER;
use crate::record::Record;
use crate::service::Service;
use crate::turns::Turn;

/// The most of one log that is sent, in bytes.
const LARGEST: i64 = 64 << 20;
/// What is read at a time.
const PART: usize = 16 << 10;

#[derive(Deserialize)]
pub struct Asked {
    /// Whether what is printed from now on is wanted too, until the rank ends.
    #[serde(default)]
    follow: bool,
}

/// `GET /jobs/ID/ranks/RANK/log`
pub async fn log(
    State(service): State<Arc<Service>>,
    Path((id, rank)): Path<(String, usize)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = service.user(&headers).await?;
    let (record, is_over) = service
        .jobs
        .with_own(&user, &id, |record| Ok((record.clone(), record.is_over())))?;
    if rank >= record.ranks.len() {
        let message = format!("the job {id} has no rank {rank}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    let sight = service.seen.of(&record);
    let pod = sight.pods.into_iter().nth(rank).flatten();
    let Some(pod) = pod else {
        if !is_over {
            return Ok(text(Body::empty()));
        }
        let kept = kept(&service, &record, rank).await?;
        // What was never printed cannot be told from what is gone.
        let gone = || {
            let message = format!(
                "the log of rank {rank} is not there any more: it went with the rank's pod"
            );
            Refusal::new(StatusCode::NOT_FOUND, message)
        };
        return kept.map(|kept| text(Body::from(kept))).ok_or_else(gone);
    };
    let slots = if asked.follow {
        let own = service.following.take(&user)?;
        let slots = Arc::clone(&service.followers).try_acquire_owned();
        let slot = slots.map_err(|_| {
            let message = "too many logs are followed now: ask for it without follow";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, message)
        })?;
        Some((own, slot))
    } else {
        None
    };
    let parameters = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: asked.follow,
        limit_bytes: Some(LARGEST),
        ..LogParams::default()
    };
    match service.logs.log_stream(&pod.seen.name, &parameters).await {
        Ok(log) => Ok(text(parts(log, slots))),
        // Its container has not begun, or its node is away.
        Err(kube::Error::Api(status)) if status.code == 400 => Ok(text(Body::empty())),
        Err(error) => Err(error.into()),
    }
}

/// The end of the log of a rank whose pod is gone, where the operator keeps such.
async fn kept(service: &Service, record: &Record, rank: usize) -> Result<Option<String>, Refusal> {
    let object = record.object();
    let map = match service.jobs.apis.records.get_opt(&name(&object)).await {
        Ok(map) => map,
        // Where none are kept, there is no right to read them.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => return Err(error.into()),
    };
    let pod = match rank {
        0 => format!("{object}-master-0"),
        rank => format!("{object}-worker-{}", rank - 1),
    };
    let data = map.and_then(|map| map.data).unwrap_or_default();
    // In the order of their names, which is that of time: the last one of that name.
    let mut own = data.into_iter().rev();
    let found = own.find(|(key, _)| read(key).is_some_and(|(of, _)| of == pod));
    let said = "(Its pod is gone: this is the end of its log.)\n";
    Ok(found.map(|(_, end)| format!("{said}{end}")))
}

fn text(body: Body) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // A log may hold anything.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (kind, body).into_response()
}

/// A body that is read as it is sent; whoever leaves ends it.
fn parts(log: impl AsyncRead + Send + 'static, slot: Option<(Turn, OwnedSemaphorePermit)>) -> Body {
    let log = Box::pin(log);
    Body::from_stream(stream::try_unfold((log, slot), async |(mut log, slot)| {
        let mut part = vec![0; PART];
        let read = log.read(&mut part).await?;
        part.truncate(read);
        let next = (read > 0).then(|| (Bytes::from(part), (log, slot)));
        Ok::<_, std::io::Error>(next)
    }))
}
