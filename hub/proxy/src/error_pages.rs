//! What a proxy apart answers where it has no answer of a target: a page of its Hub, of a folder, or one line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::task::JoinSet;
use url::Url;

use crate::body::RequestBody;
use crate::pool::{Connection, Pool};

/// A Hub that does not tell is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PAGE: usize = 1 << 20;

/// Where the pages of errors come from.
#[derive(Debug, Clone, Default)]
pub enum ErrorPages {
    #[default]
    None,
    /// `<url>/<status>?url=<what was asked for>`
    Target(Url),
    /// `<folder>/<status>.html`, or `error.html` in it.
    Folder(PathBuf),
}

impl ErrorPages {
    pub(crate) async fn answer(&self, status: StatusCode, asked: &Uri) -> Response<Full<Bytes>> {
        let page = match self {
            Self::None => None,
            Self::Target(target) => {
                let page = tokio::time::timeout(PATIENCE, fetch(target, status, asked));
                let page = page
                    .await
                    .unwrap_or_else(|_| Err("it takes too long".into()));
                page.inspect_err(|error| {
                    tracing::error!(%error, target = %target, "Could not get a page for an error");
                })
                .ok()
            }
            Self::Folder(folder) => read(folder, status).await,
        };
        let mut answer = page.unwrap_or_else(|| {
            let reason = status.canonical_reason().unwrap_or_default();
            Response::new(Full::from(reason))
        });
        *answer.status_mut() = status;
        answer
    }
}

async fn fetch(
    target: &Url,
    status: StatusCode,
    asked: &Uri,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let mut url = target.clone();
    let path = format!("{}/{}", url.path().trim_end_matches('/'), status.as_u16());
    url.set_path(&path);
    url.query_pairs_mut().append_pair("url", &asked.to_string());
    let pool = Pool::for_targets(std::slice::from_ref(&url))
        .map_err(|_| "it is not of the form http://host:port/path")?;
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, pool.address())
        .body(RequestBody::Empty)?;
    let Connection { mut sender, driver } = *pool.connect().await?;
    // Ends with this function.
    let mut drivers = JoinSet::new();
    drivers.spawn(driver);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST_PAGE).collect().await?.to_bytes();
    let mut page = Response::new(Full::new(body));
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = head.headers.get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    Ok(page)
}

async fn read(folder: &Path, status: StatusCode) -> Option<Response<Full<Bytes>>> {
    let own = folder.join(format!("{}.html", status.as_u16()));
    let page = match tokio::fs::read(own).await {
        Ok(page) => page,
        Err(_) => tokio::fs::read(folder.join("error.html")).await.ok()?,
    };
    let mut page = Response::new(Full::from(page));
    let html = HeaderValue::from_static("text/html");
    page.headers_mut().insert(CONTENT_TYPE, html);
    Some(page)
}
