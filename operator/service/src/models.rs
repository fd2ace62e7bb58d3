//! The newest model of each job, which rank 0 hands over.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use carrel_report::Verifier;
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::answer::Refusal;
use crate::record::Record;
use crate::reports::{admit, signature};
use crate::service::Service;
use crate::upload::Handed;

/// What is read at a time.
const PART: usize = 64 << 10;

#[derive(Deserialize)]
pub struct Of {
    /// Whose model it is; that of an attempt that is over does not take the place of a newer one's.
    pub attempt: Option<u64>,
}

impl Of {
    /// Whether that is the attempt that runs.
    ///
    /// # Errors
    /// When it is another one.
    pub fn is_of(&self, record: &Record, what: &str) -> Result<(), Refusal> {
        let attempt = record.kept.attempt;
        if self.attempt.is_none_or(|of| of == attempt) {
            return Ok(());
        }
        let message = format!("the {what} is of another attempt than this, {attempt}");
        Err(Refusal::conflict(message))
    }
}

/// `PUT /jobs/ID/model`
pub async fn put(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let _turn = admit(&service.jobs, &id, &headers)?;
    let Some(models) = &service.models else {
        return Err(Refusal::conflict("this service keeps no models (--models)"));
    };
    // The job's name becomes that of a file, so there is to be such a job; its attempt may end while the model is read.
    let is_wanted = || {
        service.jobs.with_job(&id, |record| {
            of.is_of(record, "model")?;
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
    models.take(&id, handed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /jobs/ID/model`
pub async fn get(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = service.user(&headers).await?;
    let is_over = service
        .jobs
        .with_own(&user, &id, |record| Ok(record.is_over()))?;
    let missing = |why: &str| {
        let message = format!("the model of {id} is not here: {why}");
        Err(Refusal::new(StatusCode::NOT_FOUND, message))
    };
    let Some(models) = &service.models else {
        return missing("this service keeps no models (--models)");
    };
    match models.get(&id).await {
        Ok(file) => {
            let length = file.metadata().await.map(|metadata| metadata.len());
            let mut response = Body::from_stream(parts(file)).into_response();
            let fields = response.headers_mut();
            fields.insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("application/octet-stream"),
            );
            if let Ok(length) = length {
                fields.insert(header::CONTENT_LENGTH, length.into());
            }
            Ok(response)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_over => {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            missing("rank 0 ended before it had one, or could not hand it over")
        }
        Err(error) => {
            tracing::error!(id, %error, "The model of {id} could not be read");
            let message = "the model could not be read";
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

pub fn parts(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, async |mut file| {
        let mut part = vec![0; PART];
        let read = file.read(&mut part).await?;
        part.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(part), file)))
    })
}
