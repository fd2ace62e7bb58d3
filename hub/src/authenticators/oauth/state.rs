//! What is kept of a user's tokens, in the form of oauthenticator (`build_auth_state_dict`).

use openidconnect::core::CoreTokenResponse;
use openidconnect::{AccessToken, RefreshToken};
use serde_json::{Value, json};

use super::claims::Claims;

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

/// A provider that gives no further one means that the old one is still good.
pub fn keep_refresh_token(state: &mut Claims, old: &RefreshToken) {
    let old = json!(old.secret());
    if state.get("refresh_token").is_none_or(Value::is_null) {
        state.insert("refresh_token".to_owned(), old.clone());
        if let Some(Value::Object(response)) = state.get_mut("token_response") {
            response.insert("refresh_token".to_owned(), old);
        }
    }
}

pub fn access_token(state: &Value) -> Option<AccessToken> {
    text(state, "access_token").map(AccessToken::new)
}

pub fn refresh_token(state: &Value) -> Option<RefreshToken> {
    text(state, "refresh_token").map(RefreshToken::new)
}

fn text(state: &Value, name: &str) -> Option<String> {
    state.get(name)?.as_str().map(str::to_owned)
}
