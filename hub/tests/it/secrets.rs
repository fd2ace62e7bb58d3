//! No log holds what lets somebody in: not the closest one, of everything that a person and a program do.

use reqwest::Method;
use serde_json::json;
use tracing::Level;

use crate::api::token;
use crate::harness::three::{Three, post};
use crate::harness::{Log, wait_for};

#[tokio::test]
async fn no_password_token_or_cookie_is_logged() {
    let log = Log::of("carrel_hub", Level::TRACE);
    let three = Three::meet().await;
    let wrong = "hunter2-typed-wrong";
    three.hub.browser().login("bob", wrong).await.expect(403);
    let given = token(&three.admin, &["inherit"]).await;
    let owner = format!("/authorizations/token/{given}");
    let told = three.admin.api(Method::GET, &owner, &given, None).await;
    assert_eq!(told.expect(200).json()["name"], "admin");
    let service = "a-token-of-a-service-0123";
    let body = json!({ "api_token": service });
    post(&three.admin, "/services/grader", body)
        .await
        .expect(201);
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(202);
    wait_for("the server", || async {
        (three.bob.get("/user/bob/").await.status == 200).then_some(())
    })
    .await;
    let of_server = three.hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let code = String::from(
        "/hub/api/oauth2/authorize?client_id=jupyterhub-user-bob&response_type=code&state=s\
         &redirect_uri=%2Fuser%2Fbob%2Foauth_callback",
    );
    let came = three.bob.get(&code).await;
    let came = came.location();
    let code = came.split("code=").nth(1).unwrap_or_default();
    let code = code.split('&').next().unwrap_or_default();
    assert!(code.len() > 20, "{came}");
    let cookie = |name: &str| three.bob.cookie("/hub/", name).unwrap();
    let text = log.text();
    assert!(
        text.contains("/hub/api/authorizations/token/{token}"),
        "{text}"
    );
    for secret in [
        "of bob",
        wrong,
        &given,
        service,
        &of_server,
        code,
        &cookie("_xsrf"),
        &cookie("jupyterhub-hub-login"),
    ] {
        // A part of it tells too much as well.
        let part = &secret[..secret.len().min(10)];
        assert!(!text.contains(part), "{secret} stands in the log");
    }
}
