//! The usage report, as the program that makes it shows it.

use std::time::Duration;

use axum::body::to_bytes;
use bytes::Bytes;
use carrel_service::HubClient;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::time::timeout;

/// The most of it, in bytes, and how long it may take.
const MOST: usize = 1 << 20;
const LONGEST: Duration = Duration::from_secs(10);

pub struct Usage {
    http: HubClient,
}

impl Usage {
    /// Of the program at `url`.
    ///
    /// # Errors
    /// When this machine has no certificates to check it by.
    pub fn new(url: &str) -> std::io::Result<Self> {
        let http = HubClient::new(url, Vec::new())?;
        Ok(Self { http })
    }

    /// The report as it stands now, or why there is none.
    pub async fn report(&self) -> Result<String, String> {
        let request = Request::get(self.http.url("/usage.json")).body(Full::<Bytes>::default());
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.http.ask(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = timeout(LONGEST, to_bytes(answer.into_body(), MOST)).await;
        let body = body.map_err(|_| "its answer breaks off".to_owned())?;
        let body = body.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::OK => Ok(text),
            status => Err(format!("{status}: {}", text.trim())),
        }
    }
}
