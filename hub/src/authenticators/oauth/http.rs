//! Requests to a provider: encrypted, bounded, and without following it elsewhere.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use url::Url;

use crate::config::is_private;

/// How long a provider may take to answer.
const LONGEST: Duration = Duration::from_secs(15);
/// The most that it may answer.
const MOST: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
#[error("could not read the certificates of this machine")]
pub struct NoCertificates(#[source] std::io::Error);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0} is not encrypted")]
    NotPrivate(String),
    #[error("could not reach {0}")]
    Send(String, #[source] hyper_util::client::legacy::Error),
    #[error("could not read what {0} answers: {1}")]
    Read(String, Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} took too long")]
    TooLong(String),
}

#[derive(Clone)]
pub struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Http {
    pub fn new() -> Result<Self, NoCertificates> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(NoCertificates)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let whole = request.uri().to_string();
        // A query may hold what nobody else should read.
        let address = whole.split('?').next().unwrap_or_default().to_owned();
        if !Url::parse(&whole).is_ok_and(|url| is_private(&url)) {
            return Err(HttpError::NotPrivate(address));
        }
        let (parts, body) = request.into_parts();
        let request = http::Request::from_parts(parts, Full::new(Bytes::from(body)));
        let answer = async {
            let response = self.0.request(request).await;
            let response = response.map_err(|error| HttpError::Send(address.clone(), error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(|error| HttpError::Read(address.clone(), error))?;
            let body = body.to_bytes().to_vec();
            Ok(HttpResponse::from_parts(parts, body))
        };
        let answer = tokio::time::timeout(LONGEST, answer).await;
        answer.unwrap_or_else(|_| Err(HttpError::TooLong(address.clone())))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
