//! What is kept of a user's tokens, in the form of oauthenticator (`build_auth_state_dict`).

use openidconnect::core::CoreTokenResponse;
use openidconnect::{AccessToken, RefreshToken};
use serde_json::{Value, json};

use super::claims::Claims;

/// What was told at the userdata address, where that is not all. (Not of oauthenticator, which asks nowhere else.)
pub const USERINFO: &str = "userinfo";

/// All that a provider has given, but what it says of the user.
pub fn of_tokens(tokens: &CoreTokenResponse) -> Claims {
    let response = serde_json::to_value(tokens).unwrap_or_default();
    let part = |name: &str| response.get(name).cloned().unwrap_or_default();
    let scope = response.get("scope").and_then(Value::as_str);
    let scope: Vec<_> = scope.unwrap_or_default().split(' ').collect();
    let mut state = Claims::new();
    for name in ["access_token", "refresh_token", "id_token"] {
        state.insert(name.to_owned(), part(name));
    }
    state.insert("scope".to_owned(), json!(scope));
    state.insert("token_response".to_owned(), response);
    state
}

/// A provider that gives no further refresh or ID token means that the old one is still good.
pub fn keep(state: &mut Claims, old: &Value) {
    for name in ["refresh_token", "id_token"] {
        let Some(old) = old.get(name).filter(|old| !old.is_null()) else {
            continue;
        };
        if state.get(name).is_none_or(Value::is_null) {
            state.insert(name.to_owned(), old.clone());
            if let Some(Value::Object(response)) = state.get_mut("token_response") {
                response.insert(name.to_owned(), old.clone());
            }
        }
    }
}

pub fn access_token(state: &Value) -> Option<AccessToken> {
    text(state, "access_token").map(AccessToken::new)
}

pub fn refresh_token(state: &Value) -> Option<RefreshToken> {
    text(state, "refresh_token").map(RefreshToken::new)
}

/// Of a token that was looked at when it came.
pub fn id_token(state: &Value) -> Option<String> {
    text(state, "id_token")
}

fn text(state: &Value, name: &str) -> Option<String> {
    state.get(name)?.as_str().map(str::to_owned)
}
