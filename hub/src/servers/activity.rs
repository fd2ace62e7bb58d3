//! Whether something happens in a server that nobody asks anything: kernels that compute, terminals that are used. What
//! is not known is told apart from what is idle.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::{answer, log_db_error};
use crate::access::scopes;
use crate::app::App;
use crate::auth::secret;
use crate::db;
use crate::db::servers::Server;
use crate::db::tokens::NewToken;

/// How long a server may take to say what it does.
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// A kernel computes, or a terminal was used within the time asked for.
    Some,
    /// The server says that it is idle, or is no Jupyter server.
    None,
    /// It does not answer, as one whose computation takes all there is.
    Unknown,
}

/// Asks a server with a token of its own, that opens this server and no other.
pub(super) async fn ask(app: &App, server: &Server, within: Duration) -> Activity {
    let Some(url) = server.url.as_deref().and_then(|url| Url::parse(url).ok()) else {
        return Activity::None;
    };
    let token = secret::generate();
    let mut scopes = vec![scopes::access_scope(&server.user, &server.name)];
    scopes.extend(scopes::identify_scopes(&server.user));
    let new = NewToken {
        token_hash: &secret::hash(&token),
        user_id: Some(server.user_id),
        // What is done with it is not the user's activity.
        server_id: Some(server.id),
        scopes: &scopes,
        note: "A look at the server's kernels",
        expires: Some(db::after(60)),
        ..NewToken::default()
    };
    let id = match app.db.add_token(new).await {
        Ok(id) => id,
        Err(error) => {
            log_db_error(server, "look at the kernels of a server", &error);
            return Activity::Unknown;
        }
    };
    let read = async |what: &str| {
        let path = format!("{}api/{what}?no_track_activity=1", server.prefix);
        let read = timeout(ANSWER, answer::read(&url, &path, &token)).await;
        read.unwrap_or(answer::Read::Nothing)
    };
    let kernels = of(read("kernels").await, is_busy);
    let activity = match kernels {
        Activity::None => of(read("terminals").await, |terminal| {
            is_used(terminal, within)
        }),
        kernels => kernels,
    };
    if let Err(error) = app.db.revoke_token(server.user_id, id).await {
        log_db_error(server, "remove the token of a look", &error);
    }
    activity
}

fn of(read: answer::Read, is_active: impl Fn(&Value) -> bool) -> Activity {
    let body = match read {
        answer::Read::Body(body) => body,
        answer::Read::Refused => return Activity::None,
        answer::Read::Nothing => return Activity::Unknown,
    };
    let items: Vec<Value> = serde_json::from_slice(&body).unwrap_or_default();
    if items.iter().any(is_active) {
        Activity::Some
    } else {
        Activity::None
    }
}

fn is_busy(kernel: &Value) -> bool {
    kernel["execution_state"] == "busy"
}

/// `last_activity` of a terminal is when it last showed or took something (Jupyter Server's REST API).
fn is_used(terminal: &Value, within: Duration) -> bool {
    let last = terminal["last_activity"].as_str();
    let last = last.and_then(|last| last.parse::<jiff::Timestamp>().ok());
    last.is_some_and(|last| {
        let idle = db::now().saturating_sub(last.as_millisecond());
        u128::try_from(idle).unwrap_or_default() < within.as_millis()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn terminal(seconds_ago: i64) -> Value {
        let now = jiff::Timestamp::now();
        let at = now - jiff::SignedDuration::from_secs(seconds_ago);
        serde_json::json!({ "name": "1", "last_activity": at.to_string() })
    }

    #[test]
    fn a_terminal_counts_as_long_as_it_was_used_lately() {
        assert!(is_used(&terminal(3500), HOUR));
        assert!(!is_used(&terminal(3700), HOUR));
        assert!(!is_used(&serde_json::json!({ "name": "1" }), HOUR));
    }

    #[test]
    fn no_answer_is_not_idle_and_a_strangers_answer_is() {
        assert_eq!(of(answer::Read::Nothing, is_busy), Activity::Unknown);
        assert_eq!(of(answer::Read::Refused, is_busy), Activity::None);
        let body = |text: &'static str| answer::Read::Body(text.into());
        assert_eq!(of(body("<html>"), is_busy), Activity::None);
        let busy = r#"[{"execution_state": "idle"}, {"execution_state": "busy"}]"#;
        assert_eq!(of(body(busy), is_busy), Activity::Some);
    }
}
