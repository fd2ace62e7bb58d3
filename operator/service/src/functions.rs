//! Functions of notebooks: their objects on the way to ranks, and what ranks give back.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use carrel_report::{ObjectFile, Verifier, Work};

use crate::answer::Refusal;
use crate::files::{self, Files};
use crate::models::{Of, parts};
use crate::record::{self, Record};
use crate::reports::{admit, signature};
use crate::service::Service;
use crate::upload::Handed;

impl Service {
    fn files(&self) -> Result<&Files, Refusal> {
        let no = || Refusal::conflict("this service keeps no files of functions (--models)");
        self.files.as_ref().ok_or_else(no)
    }

    /// Whether all objects of a function are there.
    ///
    /// # Errors
    /// Where one is not.
    pub async fn has_objects(&self, user: &str, work: &Work) -> Result<(), Refusal> {
        if matches!(work, Work::Recipe(_)) {
            return Ok(());
        }
        let files = record::objects(work);
        match self.files()?.missing(user, &files).await {
            None => Ok(()),
            Some(ObjectFile { name, sha256 }) => {
                let message =
                    format!("the object {name} is not here: put it at objects/{sha256} first");
                Err(Refusal::conflict(message))
            }
        }
    }
}

fn check_digest(digest: &str) -> Result<(), Refusal> {
    let file = ObjectFile {
        name: "object".to_owned(),
        sha256: digest.to_owned(),
    };
    let no = || Refusal::bad(format!("{digest:?} is no SHA-256 in hexadecimal digits"));
    file.is_valid().then_some(()).ok_or_else(no)
}

/// `PUT /objects/SHA256`
pub async fn put(
    State(service): State<Arc<Service>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let user = service.user(&headers).await?;
    check_digest(&digest)?;
    let used = service.jobs.used_objects(&user)?;
    service.files()?.take(&user, &digest, body, &used).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /objects/SHA256`, and so `HEAD`, which says whether it must be put.
pub async fn get(
    State(service): State<Arc<Service>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = service.user(&headers).await?;
    check_digest(&digest)?;
    object(&service, &user, &digest).await
}

/// `GET /jobs/ID/objects/SHA256`, by a rank.
pub async fn of_job(
    State(service): State<Arc<Service>>,
    Path((id, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _turn = admit(&service.jobs, &id, &headers)?;
    check_digest(&digest)?;
    let user = service.jobs.with_job(&id, |record| {
        match record::objects(&record.kept.description.work)
            .iter()
            .any(|file| file.sha256 == digest)
        {
            true => Ok(record.kept.user.clone()),
            false => Err(missing(&digest)),
        }
    })?;
    object(&service, &user, &digest).await
}

async fn object(service: &Service, user: &str, digest: &str) -> Result<Response, Refusal> {
    match service.files()?.object(user, digest).await {
        Ok(file) => Ok((octets(), Body::from_stream(parts(file))).into_response()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(digest)),
        Err(error) => Err(unreadable(&error)),
    }
}

/// `PUT /jobs/ID/ranks/RANK/result`
pub async fn put_result(
    State(service): State<Arc<Service>>,
    Path((id, rank)): Path<(String, usize)>,
    Query(of): Query<Of>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let _turn = admit(&service.jobs, &id, &headers)?;
    let attempt = of
        .attempt
        .ok_or_else(|| Refusal::bad("attempt: it is missing"))?;
    let is_wanted = || {
        service.jobs.with_job(&id, |record| {
            of.is_of(record, "result")?;
            check_rank(record, rank)?;
            Ok(record.kept.user.clone())
        })
    };
    let (user, secret) = (is_wanted()?, service.jobs.settings.keys.secret(&id));
    let handed = Handed {
        body,
        verifier: Verifier::new(secret.as_bytes()),
        signature: signature(&headers),
        user: &user,
        is_own: &|other| service.jobs.is_of(&user, other),
        is_wanted: &|| is_wanted().map(drop),
    };
    let job = id.as_str();
    let of = files::Of { job, attempt, rank };
    service.files()?.put_result(of, handed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /jobs/ID/ranks/RANK/result`
pub async fn get_result(
    State(service): State<Arc<Service>>,
    Path((id, rank)): Path<(String, usize)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = service.user(&headers).await?;
    let (attempt, is_over) = service.jobs.with_own(&user, &id, |record| {
        check_rank(record, rank)?;
        Ok((record.kept.attempt, record.is_over()))
    })?;
    let job = id.as_str();
    let of = files::Of { job, attempt, rank };
    match service.files()?.result(of).await {
        Ok(file) => Ok((octets(), Body::from_stream(parts(file))).into_response()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = match is_over {
                true => format!(
                    "there is no result of rank {rank} of {id}: it gave nothing back, or that went with the service's pod"
                ),
                false => format!("rank {rank} of {id} has not given anything back yet"),
            };
            Err(Refusal::new(StatusCode::NOT_FOUND, message))
        }
        Err(error) => Err(unreadable(&error)),
    }
}

fn check_rank(record: &Record, rank: usize) -> Result<(), Refusal> {
    let no_rank = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no rank {rank}"));
    record.ranks.get(rank).map(drop).ok_or_else(no_rank)
}

fn octets() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/octet-stream")]
}

fn missing(digest: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("there is no object {digest}"),
    )
}

fn unreadable(error: &io::Error) -> Refusal {
    tracing::error!(%error, "A file of a function could not be read");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the file could not be read",
    )
}
