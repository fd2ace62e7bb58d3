//! The REST API of configurable-http-proxy 5.3 (its lib/configproxy.js): by it a Hub keeps the routes of a proxy apart.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use crate::model;
use crate::routes::Routes;
use crate::store::Store;

const PATH: &str = "/api/routes";
/// A route is a few hundred bytes.
const LONGEST_BODY: usize = 1 << 20;

type Answer = Response<Full<Bytes>>;

pub(crate) struct Api {
    pub(crate) routes: Routes,
    pub(crate) store: Option<Store>,
    /// Without one, everybody may.
    pub(crate) token: Option<String>,
}

impl Api {
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.handle(request).await;
        let status = answer.status().as_u16();
        tracing::debug!(%method, path, status, "Request of the API");
        answer
    }

    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let rest = request.uri().path().strip_prefix(PATH);
        let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return text(StatusCode::NOT_FOUND, "Not Found");
        };
        let prefix = match rest.trim_end_matches('/') {
            "" => "/".to_owned(),
            prefix => prefix.to_owned(),
        };
        if percent_decode_str(&prefix).decode_utf8().is_err() {
            return text(StatusCode::BAD_REQUEST, "the path is no UTF-8");
        }
        let handled = [Method::GET, Method::POST, Method::DELETE].contains(request.method());
        if !handled {
            return text(StatusCode::METHOD_NOT_ALLOWED, "Method not supported");
        }
        if !self.lets_in(request.headers()) {
            return text(StatusCode::FORBIDDEN, "");
        }
        match *request.method() {
            Method::POST => self.add(&prefix, request.into_body()).await,
            Method::DELETE => self.delete(&prefix).await,
            _ if prefix == "/" => self.list(request.uri()),
            _ => self.routes.get(&prefix).map_or_else(
                || text(StatusCode::NOT_FOUND, ""),
                |route| json(&model::show(&route)),
            ),
        }
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = headers.get(AUTHORIZATION).map(HeaderValue::to_str);
        let Some(Ok(given)) = given else {
            return false;
        };
        let mut words = given.split_whitespace();
        let given = words.find(|word| *word == "token").and(words.next());
        given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
    }

    fn list(&self, uri: &Uri) -> Answer {
        let query = uri.query().unwrap_or_default().as_bytes();
        let of = |name| {
            let mut pairs = form_urlencoded::parse(query);
            pairs.find(|(key, value)| key == name && !value.is_empty())
        };
        let since = match of("inactiveSince").or_else(|| of("inactive_since")) {
            None => None,
            // The plus of an offset may stand there as it is.
            Some((_, since)) => match model::parse_time(&since.replace(' ', "+")) {
                Some(since) => Some(since),
                None => {
                    let message = format!("Invalid datestamp '{since}' must be ISO8601.");
                    return text(StatusCode::BAD_REQUEST, message);
                }
            },
        };
        let routes = self.routes.list().into_iter();
        let routes = routes.filter(|route| since.is_none_or(|since| route.last_activity < since));
        let routes: Map<String, Value> = routes
            .map(|route| (plain(&route.prefix), model::show(&route)))
            .collect();
        json(&Value::Object(routes))
    }

    async fn add(&self, prefix: &str, body: Incoming) -> Answer {
        let body = match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");
            }
            Err(_) => return text(StatusCode::BAD_REQUEST, "the body broke off"),
        };
        let mut model = match serde_json::from_slice(&body) {
            Ok(Value::Object(model)) => model,
            Ok(_) => Map::new(),
            Err(error) => {
                let message = format!("Body not valid JSON: {error}");
                return text(StatusCode::BAD_REQUEST, message);
            }
        };
        // An addition is the route's first activity, whatever its owner says.
        model.remove("last_activity");
        let added = model::read(model).and_then(|new| Ok(self.routes.put(prefix, new)?));
        if let Err(error) = added {
            return text(StatusCode::BAD_REQUEST, error.to_string());
        }
        tracing::info!(prefix, "A route was added: {prefix}");
        self.save().await;
        text(StatusCode::CREATED, "")
    }

    async fn delete(&self, prefix: &str) -> Answer {
        if !self.routes.remove(prefix) {
            return text(StatusCode::NOT_FOUND, "");
        }
        tracing::info!(prefix, "A route was taken out: {prefix}");
        self.save().await;
        text(StatusCode::NO_CONTENT, "")
    }

    async fn save(&self) {
        if let Some(store) = &self.store {
            store.save().await;
        }
    }
}

/// A prefix as configurable-http-proxy keeps it: decoded, without a slash at its end.
fn plain(prefix: &str) -> String {
    let decoded = percent_decode_str(prefix).decode_utf8_lossy();
    match decoded.trim_end_matches('/') {
        "" => "/".to_owned(),
        plain => plain.to_owned(),
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer
}

fn json(value: &Value) -> Answer {
    let mut answer = text(StatusCode::OK, value.to_string());
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
