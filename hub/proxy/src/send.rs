//! A request to a target, over an idle connection or a new one, and why it has no answer. Knows no header.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::body::RequestBody;
use crate::chain::chain;
use crate::exchange::{self, AnswerBody};
use crate::pool::Connection;
use crate::routes::Route;
use crate::tunnel;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// For the log: it names the target's address.
    pub cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The target could not be connected.
    Down,
    /// The target broke off, or its answer is no HTTP.
    Broken,
    /// The target took longer than it may.
    Late,
}

/// Sends `request`, which asks for another protocol where there is a `client` to speak it.
pub(crate) async fn send(
    route: &Arc<Route>,
    request: Request<RequestBody>,
    client: Option<tunnel::Client>,
) -> Result<Response<AnswerBody>, Failure> {
    let Some(client) = client else {
        let answer = exchange(route, request).await?;
        return match answer.status() {
            // Nobody would carry the bytes that follow.
            StatusCode::SWITCHING_PROTOCOLS => Err(broken("it changed the protocol unasked")),
            _ => Ok(answer),
        };
    };
    let connection = connect(route).await?;
    let answer = tunnel::open(route, connection, request, client).await;
    answer.map_err(|error| broken(chain(&error)))
}

/// The target may close an idle connection just when a request is on its way: one that was not sent, or does no harm
/// twice, is sent again over a new connection.
async fn exchange(
    route: &Arc<Route>,
    mut request: Request<RequestBody>,
) -> Result<Response<AnswerBody>, Failure> {
    if let Some(connection) = route.pool.take() {
        let copy = repeatable(&request).then(|| copy_head(&request));
        match exchange::send(connection, request).await {
            Ok((response, connection)) => return Ok(answer(route, response, connection)),
            Err(failed) => {
                let copy = copy.filter(|_| !failed.error.is_parse());
                let again = failed.unsent.or(copy);
                request = again.ok_or_else(|| broken(chain(&failed.error)))?;
            }
        }
    }
    let connection = connect(route).await?;
    let (response, connection) = exchange::send(connection, request)
        .await
        .map_err(|failed| broken(chain(&failed.error)))?;
    Ok(answer(route, response, connection))
}

async fn connect(route: &Route) -> Result<Box<Connection>, Failure> {
    let attempt = route.pool.connect().await;
    attempt.map_err(|error| Failure {
        kind: FailureKind::Down,
        cause: format!("could not connect to {}: {error}", route.pool.address()),
    })
}

fn broken(cause: impl Into<String>) -> Failure {
    Failure {
        kind: FailureKind::Broken,
        cause: cause.into(),
    }
}

fn answer(
    route: &Arc<Route>,
    response: Response<Incoming>,
    connection: Option<Box<Connection>>,
) -> Response<AnswerBody> {
    let active = response.status().as_u16() < 300;
    if active {
        route.touch();
    }
    response.map(|body| AnswerBody::new(body, connection, route.clone(), active))
}

/// "Idempotent methods ... can be repeated automatically if a communication failure occurs before the client is
/// able to read the server's response" (RFC 9110 9.2.2). A body that has flowed is gone.
fn repeatable(request: &Request<RequestBody>) -> bool {
    request.method().is_idempotent() && request.body().is_end_stream()
}

fn copy_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
