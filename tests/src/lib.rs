//! Verbs for black-box tests: start a hub, log in, start a server, run cells, drive a browser. Links no crate of ours.

pub mod browser;
pub mod cluster;
pub mod hub;
pub mod installation;
pub mod notebook;
pub mod person;

use std::future::Future;
use std::time::{Duration, Instant};

/// Asks `condition` until it gives a value; after `limit` it fails and names `what`.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return Ok(value);
        }
        if Instant::now() > end {
            anyhow::bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
