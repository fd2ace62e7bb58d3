//! Plain HTTP beside HTTPS: every request is sent on to the same address there.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, LOCATION};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::serve::{ServeOptions, serve};

/// Where plain HTTP is spoken, and the port that speaks HTTPS to clients.
#[derive(Debug)]
pub struct Redirect {
    pub listener: TcpListener,
    pub to: u16,
}

impl Redirect {
    /// Until `shutdown`.
    pub async fn serve(self, shutdown: impl Future<Output = ()>, options: ServeOptions) {
        let to = self.to;
        let answer =
            tower::service_fn(
                move |request| async move { Ok::<_, Infallible>(answer(&request, to)) },
            );
        serve(self.listener, answer, shutdown, options).await;
    }
}

fn answer(request: &Request<Incoming>, port: u16) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    match location(request, port) {
        Some(location) => {
            *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
            answer.headers_mut().insert(LOCATION, location);
        }
        None => {
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            *answer.body_mut() =
                Full::from("This server speaks HTTPS, and the request names no host.\n");
        }
    }
    answer
}

fn location(request: &Request<Incoming>, port: u16) -> Option<HeaderValue> {
    let host = request.headers().get(HOST)?.to_str().ok()?;
    let host = host.parse::<Authority>().ok()?;
    let port = match port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    HeaderValue::try_from(format!("https://{}{port}{path}", host.host())).ok()
}
