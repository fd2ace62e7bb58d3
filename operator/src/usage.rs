//! The usage report (`spartakus-volunteer`): how many nodes there are and how large, and how many jobs of which kind, as a
//! page and as metrics. It is sent to nobody unless an address is given, and then as it is shown.

mod metrics;
mod pages;
pub mod report;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Uri};
use carrel_service::{HttpClient, bind, in_full};
use http_body_util::Full;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::{Instant, timeout};

pub use pages::router;
use report::{Report, ReportError};

/// How long a report is shown before the cluster is asked again.
const LIFE: Duration = Duration::from_secs(30);
/// How long whoever it is sent to may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the report calls the cluster, if anything.
    pub cluster: Option<String>,
    pub send_to: Option<Uri>,
    /// Between two sendings.
    pub every: Duration,
}

pub struct Usage {
    client: Client,
    options: Options,
    /// For `options.send_to`.
    http: Option<HttpClient>,
    /// What was found last, and when.
    found: tokio::sync::Mutex<Option<(Instant, Arc<Found>)>>,
    sending: Mutex<Sending>,
}

/// A report, and the very text that is shown and sent.
#[derive(Debug)]
pub struct Found {
    pub report: Report,
    pub text: String,
}

/// What became of the reports that were sent since this process began.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    pub taken: u64,
    pub failed: u64,
    pub last: Option<Sent>,
}

/// An attempt to send a report. Where there is no answer the report may have arrived or not.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Timestamp,
    /// Nothing where there was none to send.
    pub text: Option<String>,
    /// The status of the answer, or why there is none.
    pub answer: Result<u16, String>,
}

impl Sent {
    /// Whether the other side said that it took it.
    pub fn is_taken(&self) -> bool {
        matches!(self.answer, Ok(200..300))
    }
}

/// Where a report may be sent.
///
/// # Errors
/// When it is no address, or one with a password, which everybody would read on the page.
pub fn address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if is_known && !authority.as_str().contains('@') => Ok(uri),
        _ => Err("it is not http://HOST or https://HOST, without a user".to_owned()),
    }
}

impl Usage {
    /// # Errors
    /// When it is to be sent by https and this machine has no certificates.
    pub fn new(client: Client, options: Options) -> std::io::Result<Self> {
        let send_to = options.send_to.as_ref();
        let http = send_to.map(|uri| carrel_service::client(&uri.to_string()));
        Ok(Self {
            client,
            http: http.transpose()?,
            options,
            found: tokio::sync::Mutex::default(),
            sending: Mutex::default(),
        })
    }

    /// The report as it is now, or was a moment ago.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn look(&self) -> Result<Arc<Found>, ReportError> {
        let mut found = self.found.lock().await;
        if let Some((at, found)) = &*found
            && at.elapsed() < LIFE
        {
            return Ok(Arc::clone(found));
        }
        let report = report::gather(&self.client, self.options.cluster.clone()).await?;
        let text = serde_json::to_string_pretty(&report)?;
        let new = Arc::new(Found { report, text });
        *found = Some((Instant::now(), Arc::clone(&new)));
        Ok(new)
    }

    pub fn sending(&self) -> Sending {
        let sending = self.sending.lock();
        sending.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends the report, if it is to be sent.
    pub async fn send(&self) {
        let (Some(uri), Some(http)) = (&self.options.send_to, &self.http) else {
            return;
        };
        let found = self.look().await;
        let text = found.as_ref().ok().map(|found| found.text.clone());
        let answer = match found {
            Ok(found) => post(http, uri, found.text.clone()).await,
            Err(error) => Err(in_full(&error)),
        };
        let at = Timestamp::now();
        let sent = Sent { at, text, answer };
        if !sent.is_taken() {
            tracing::warn!(answer = ?sent.answer, "The usage report was not taken by {uri}");
        }
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        match sent.is_taken() {
            true => sending.taken += 1,
            false => sending.failed += 1,
        }
        sending.last = Some(sent);
    }

    /// Sends it now and then, for ever.
    async fn keep_sending(&self) {
        loop {
            self.send().await;
            tokio::time::sleep(self.options.every).await;
        }
    }
}

/// The status of the answer.
async fn post(http: &HttpClient, uri: &Uri, text: String) -> Result<u16, String> {
    let request = Request::post(uri.clone())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(text)))
        .map_err(|error| error.to_string())?;
    let answer = timeout(PATIENCE, http.request(request)).await;
    let answer = answer.map_err(|_| format!("no answer in {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| in_full(&error))?;
    Ok(answer.status().as_u16())
}

/// Shows the report at `listen`, and sends it if it is to be sent, until it is asked to end.
///
/// # Errors
/// When there is no cluster, or the port is taken.
pub async fn run(options: Options, listen: SocketAddr) -> anyhow::Result<()> {
    let usage = Arc::new(Usage::new(Client::try_default().await?, options)?);
    let listener = bind(listen).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router(Arc::clone(&usage))) => served?,
        () = usage.keep_sending() => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
