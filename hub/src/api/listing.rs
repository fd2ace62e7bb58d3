//! Long lists in pages, in JupyterHub's two forms (jupyterhub/apihandlers/base.py, `get_api_pagination`).

use axum::extract::{FromRequestParts, OriginalUri, Query};
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::AppError;
use crate::headers::text;
use crate::peer::Client;

/// Whoever accepts this gets `items` and `_pagination`; others a bare list.
const PAGED: &str = "application/jupyterhub-pagination+json";
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// Which part of a list is asked for, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub offset: i64,
    pub limit: i64,
    paged: bool,
    /// What was asked, with the host that was asked: addresses of further pages are like it.
    url: String,
}

#[derive(Debug, Default, Deserialize)]
struct Arguments {
    offset: Option<String>,
    limit: Option<String>,
}

impl FromRequestParts<App> for Wanted {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        let arguments = Query::<Arguments>::try_from_uri(&parts.uri);
        let Query(arguments) =
            arguments.map_err(|error| AppError::bad_request(error.body_text()))?;
        let number = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => text.trim().parse::<i64>().map(Some).map_err(|_| {
                AppError::bad_request("Invalid argument type, offset and limit must be integers")
            }),
        };
        let paged = is_paged(&parts.headers);
        let default = if paged { DEFAULT_LIMIT } else { MAX_LIMIT };
        let limit = number(arguments.limit)?.unwrap_or(default);
        Ok(Self {
            offset: number(arguments.offset)?.unwrap_or(0).saturating_abs(),
            limit: limit.saturating_abs().clamp(1, MAX_LIMIT),
            paged,
            url: absolute(app, parts).await,
        })
    }
}

fn is_paged(headers: &HeaderMap) -> bool {
    let accept = text(headers, header::ACCEPT).unwrap_or_default();
    accept
        .split(',')
        .any(|kind| kind.trim().eq_ignore_ascii_case(PAGED))
}

impl Wanted {
    /// The part of a list that is whole in memory.
    pub fn cut<T>(&self, all: Vec<T>) -> (Vec<T>, i64) {
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        (all.into_iter().skip(offset).take(limit).collect(), total)
    }

    /// What tells this from any other part of any list.
    pub fn key(&self) -> String {
        let form = if self.paged { "paged" } else { "bare" };
        format!("{form} {}", self.url)
    }

    /// The answer: this part of so many.
    pub fn answer(&self, items: Value, total: i64) -> Value {
        if self.paged {
            self.page(items, total)
        } else {
            items
        }
    }

    /// The answer of a list that is whole in memory, where no client is given a bare one.
    pub fn page_of<T>(&self, all: Vec<T>, model: impl Fn(&T) -> Value) -> Value {
        let (part, total) = self.cut(all);
        self.page(part.iter().map(model).collect(), total)
    }

    fn page(&self, items: Value, total: i64) -> Value {
        let next = self.offset.saturating_add(self.limit);
        let next = (next < total)
            .then(|| json!({ "offset": next, "limit": self.limit, "url": self.url_of(next) }));
        json!({
            "items": items,
            "_pagination": { "offset": self.offset, "limit": self.limit, "total": total, "next": next },
        })
    }

    fn url_of(&self, offset: i64) -> String {
        let (path, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let mut numbers = vec![("offset", offset), ("limit", self.limit)];
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match numbers.iter().position(|(number, _)| *number == name) {
                Some(place) => {
                    let (name, value) = numbers.remove(place);
                    next.append_pair(name, &value.to_string());
                }
                None => {
                    next.append_pair(&name, &value);
                }
            }
        }
        next.extend_pairs(
            numbers
                .iter()
                .map(|(name, value)| (name, value.to_string())),
        );
        format!("{path}?{}", next.finish())
    }
}

/// `http://host/path?query`, as the client wrote it.
async fn absolute(app: &App, parts: &mut Parts) -> String {
    let Ok(client) = Client::from_request_parts(parts, app).await;
    let scheme = if client.https { "https" } else { "http" };
    let host = text(&parts.headers, header::HOST).unwrap_or_default();
    let original = parts.extensions.get::<OriginalUri>();
    let uri = original.map_or(&parts.uri, |original| &original.0);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{scheme}://{host}{path}")
}
