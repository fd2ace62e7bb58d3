//! Shares: what opens a server to others, how far, and what closes it again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::three::{Three, call, delete, get, patch, post, scopes_of};
use crate::harness::wait_for;

const AUTHORIZE: &str = "/hub/api/oauth2/authorize?client_id=jupyterhub-user-bob%2Bgpu\
     &redirect_uri=%2Fuser%2Fbob%2Fgpu%2Foauth_callback&response_type=code&state=s";

#[tokio::test]
async fn a_share_opens_one_server_as_far_as_it_says() {
    let three = Three::meet().await;
    let (hub, carol) = (&three.hub, &three.carol);
    let path = "/users/bob/servers/gpu";
    get(carol, path).await.expect(404);
    post(carol, path, json!({})).await.expect(404);
    carol.get("/hub/user/bob/gpu/lab").await.expect(404);

    let share = three
        .share(&["access:servers", "read:servers", "start:servers"])
        .await;
    assert_eq!(share["user"], json!({ "name": "carol" }));
    assert_eq!(share["server"]["url"], "/user/bob/gpu/");
    assert_eq!(get(carol, path).await.expect(200).json()["name"], "gpu");
    let page = carol.get("/hub/user/bob/gpu/lab").await.expect(424);
    assert!(page.body.contains("/hub/spawn/bob/gpu"), "{}", page.body);
    post(carol, path, json!({})).await;
    wait_for("the shared server", || async {
        (hub.spawner.running() == 1).then_some(())
    })
    .await;
    wait_for("its page", || async {
        (carol.get("/user/bob/gpu/lab").await.status == 200).then_some(())
    })
    .await;
    // A visit is confirmed once, as everywhere at another's.
    carol.get(AUTHORIZE).await.expect(200);

    // Not that of stopping it, and no other server.
    delete(carol, path).await.expect(404);
    get(carol, "/users/bob/server").await.expect(404);
    post(carol, "/users/bob/servers/cpu", json!({}))
        .await
        .expect(404);
    carol.get("/hub/user/bob/lab").await.expect(404);

    let all = json!({ "user": "carol" });
    let left = patch(&three.admin, "/shares/bob/gpu", all).await;
    assert_eq!(left.expect(200).json(), json!({}));
    assert_eq!(scopes_of(carol, "bob").await, Vec::<String>::new());
    carol.get(AUTHORIZE).await.expect(403);
    carol.get("/hub/user/bob/gpu/lab").await.expect(404);
    get(carol, path).await.expect(404);
}

#[tokio::test]
async fn scopes_are_added_and_taken_back_one_by_one() {
    let three = Three::meet().await;
    three.share(&["access:servers"]).await;
    three.share(&["servers!server=bob/gpu"]).await;
    let again = three.share(&["access:servers"]).await;
    let both = json!(["access:servers!server=bob/gpu", "servers!server=bob/gpu"]);
    assert_eq!(again["scopes"], both);
    assert_eq!(three.count("shares").await, 1);
    let take = |scopes: Value| {
        let body = json!({ "user": "carol", "scopes": scopes });
        patch(&three.admin, "/shares/bob/gpu", body)
    };
    let left = take(json!(["read:servers"])).await.expect(200).json();
    assert_eq!(left["scopes"], both, "it is not there by its own name");
    let left = take(json!(["servers"])).await.expect(200).json();
    assert_eq!(left["scopes"], json!(["access:servers!server=bob/gpu"]));
    assert_eq!(
        scopes_of(&three.carol, "bob").await,
        ["access:servers!server=bob/gpu"]
    );
    let left = take(json!(["access:servers"])).await.expect(200).json();
    assert_eq!(left, json!({}));
    assert_eq!(three.count("shares").await, 0);
    delete(&three.admin, "/shares/bob/gpu").await.expect(204);
}

#[tokio::test]
async fn what_is_shared_with_a_group_opens_to_its_members_and_their_tokens() {
    let three = Three::meet().await;
    let Three { admin, carol, .. } = &three;
    post(admin, "/groups/staff", json!({ "users": ["carol"] }))
        .await
        .expect(201);
    let made = post(carol, "/users/carol/tokens", json!({})).await;
    let token = made.expect(201).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let by_token = async || {
        let path = "/users/bob/servers/gpu";
        carol.api(Method::GET, path, &token, None).await.status
    };
    assert_eq!(by_token().await, 404);
    let body = json!({ "group": "staff", "scopes": ["access:servers", "read:servers"] });
    let share = post(admin, "/shares/bob/gpu", body)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&share["kind"], &share["user"]),
        (&json!("group"), &Value::Null)
    );
    let both = [
        "access:servers!server=bob/gpu",
        "read:servers!server=bob/gpu",
    ];
    assert_eq!(scopes_of(carol, "bob").await, both);
    assert_eq!(by_token().await, 200);
    let shared = get(carol, "/users/carol/shared").await.expect(200).json();
    assert_eq!(shared["_pagination"]["total"], 1);
    // It is the group's: a member cannot leave it alone.
    delete(carol, "/users/carol/shared/bob/gpu")
        .await
        .expect(404);
    delete(carol, "/groups/staff/shared/bob/gpu")
        .await
        .expect(403);
    let members = Some(json!({ "users": ["carol"] }));
    call(admin, Method::DELETE, "/groups/staff/users", members)
        .await
        .expect(200);
    assert_eq!(by_token().await, 404);
    delete(admin, "/groups/staff/shared/bob/gpu")
        .await
        .expect(204);
    assert_eq!(three.count("shares").await, 0);
}

/// A filter that was written down would open whatever is called `gpu` later (JupyterHub 6.1).
#[tokio::test]
async fn a_share_follows_the_name_of_its_server() {
    let three = Three::meet().await;
    three.share(&["access:servers"]).await;
    let made = post(&three.admin, "/share-codes/bob/gpu", json!({})).await;
    assert_eq!(
        made.expect(200).json()["scopes"],
        json!(["access:servers!server=bob/gpu"])
    );
    let name = json!({ "name": "tpu" });
    patch(&three.bob, "/users/bob/servers/gpu", name)
        .await
        .expect(200);
    assert_eq!(
        scopes_of(&three.carol, "bob").await,
        ["access:servers!server=bob/tpu"]
    );
    let shares = get(&three.bob, "/shares/bob/tpu").await.expect(200).json();
    assert_eq!(
        shares["items"][0]["scopes"],
        json!(["access:servers!server=bob/tpu"])
    );
    assert_eq!(shares["items"][0]["server"]["url"], "/user/bob/tpu/");
    let codes = get(&three.bob, "/share-codes/bob").await.expect(200).json();
    assert_eq!(
        codes["items"][0]["scopes"],
        json!(["access:servers!server=bob/tpu"])
    );
    get(&three.bob, "/shares/bob/gpu").await.expect(404);
}

#[tokio::test]
async fn shares_and_codes_go_with_the_server_its_owner_and_whom_it_is_shared_with() {
    let three = Three::meet().await;
    let Three { admin, bob, .. } = &three;
    let both = async || {
        (
            three.count("shares").await,
            three.count("share_codes").await,
        )
    };
    let share = async |path: &str| {
        let with_carol = json!({ "user": "carol" });
        post(admin, path, with_carol).await.expect(200);
        let staff = json!({ "group": "staff" });
        post(admin, path, staff).await.expect(200);
        let codes = path.replace("/shares", "/share-codes");
        post(admin, &codes, json!({})).await.expect(200);
    };
    post(admin, "/groups/staff", json!({})).await.expect(201);
    share("/shares/bob/gpu").await;
    assert_eq!(both().await, (2, 1));
    let remove = Some(json!({ "remove": true }));
    call(bob, Method::DELETE, "/users/bob/servers/gpu", remove)
        .await
        .expect(204);
    assert_eq!(both().await, (0, 0));
    // A default server that never ran may be shared too.
    share("/shares/bob/").await;
    delete(admin, "/groups/staff").await.expect(204);
    assert_eq!(both().await, (1, 1));
    delete(admin, "/users/carol").await.expect(204);
    assert_eq!(both().await, (0, 1));
    delete(admin, "/users/bob").await.expect(204);
    assert_eq!(both().await, (0, 0));
    // A new user of the name has nothing of the old one.
    post(admin, "/users/bob", json!({})).await.expect(201);
    let codes = get(admin, "/share-codes/bob").await.expect(200).json();
    assert_eq!(codes["items"], json!([]));
}

#[tokio::test]
async fn nobody_shares_what_they_do_not_hold() {
    let three = Three::meet().await;
    let Three { bob, carol, .. } = &three;
    // By default administrators alone share, as in JupyterHub.
    let with_carol = json!({ "user": "carol" });
    post(bob, "/shares/bob/gpu", with_carol.clone())
        .await
        .expect(403);
    three.give_role(r#"["shares!user"]"#).await;
    // Whom bob may not name, bob gives a code.
    post(bob, "/shares/bob/gpu", with_carol).await.expect(403);
    post(bob, "/shares/admin/", json!({ "user": "bob" }))
        .await
        .expect(404);
    let above = json!({ "scopes": ["admin:servers"] });
    post(bob, "/share-codes/bob/gpu", above).await.expect(403);
    let more = json!({ "scopes": ["servers"] });
    post(bob, "/share-codes/bob/gpu", more).await.expect(200);

    // Who has a server's `shares` hands on what that holds, and no more of it.
    three.share(&["shares"]).await;
    post(carol, "/share-codes/bob/gpu", json!({}))
        .await
        .expect(200);
    let more = json!({ "scopes": ["servers"] });
    let refused = post(carol, "/share-codes/bob/gpu", more).await.expect(403);
    assert!(refused.body.contains("servers"), "{}", refused.body);
    post(carol, "/share-codes/bob/", json!({}))
        .await
        .expect(404);
    let shares = get(carol, "/shares/bob/gpu").await.expect(200).json();
    assert_eq!(shares["items"].as_array().unwrap().len(), 1);
    get(carol, "/shares/bob").await.expect(404);
    // Leaving it ends that; carol may still read with whom her own servers are shared.
    delete(carol, "/users/carol/shared/bob/gpu")
        .await
        .expect(204);
    get(carol, "/shares/bob/gpu").await.expect(404);
    delete(carol, "/users/carol/shared/bob/gpu")
        .await
        .expect(404);
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_with_a_reason() {
    let three = Three::meet().await;
    let shares = [
        (json!({}), "exactly one"),
        (json!({ "user": "carol", "group": "staff" }), "exactly one"),
        (json!({ "user": null, "group": null }), "exactly one"),
        (json!({ "user": 7 }), "user"),
        (json!({ "user": "nobody" }), "nobody"),
        (json!({ "user": "No/Body" }), "No/Body"),
        (json!({ "user": "" }), "No such user"),
        (json!({ "group": "nothing" }), "nothing"),
        (json!({ "user": "carol", "color": 1 }), "color"),
        (json!({ "user": "carol", "scopes": "servers" }), "scopes"),
        (json!({ "user": "carol", "scopes": ["fly"] }), "fly"),
        (json!({ "user": "carol", "scopes": ["self"] }), "self"),
        (
            json!({ "user": "carol", "scopes": ["tokens"] }),
            "cannot be shared",
        ),
        (
            json!({ "user": "carol", "scopes": ["users:activity"] }),
            "cannot be shared",
        ),
        (
            json!({ "user": "carol", "scopes": ["servers!server=bob/"] }),
            "server=bob/gpu",
        ),
        (
            json!({ "user": "carol", "scopes": ["servers!user=bob"] }),
            "server=bob/gpu",
        ),
        (json!([]), "body"),
        (json!("carol"), "body"),
    ];
    let codes = [
        (json!({ "expires_in": 59 }), "expires_in"),
        (json!({ "expires_in": 31_536_001 }), "expires_in"),
        (json!({ "expires_in": -1 }), "expires_in"),
        (json!({ "expires_in": 1e300 }), "expires_in"),
        (json!({ "expires_in": null }), "expires_in"),
        (json!({ "expires_in": "soon" }), "expires_in"),
        (json!({ "user": "carol" }), "user"),
        (json!({ "scopes": ["admin:users"] }), "cannot be shared"),
    ];
    for (path, table) in [
        ("/shares/bob/gpu", &shares[..]),
        ("/share-codes/bob/gpu", &codes[..]),
    ] {
        for (body, reason) in table {
            let refused = post(&three.admin, path, body.clone()).await.expect(400);
            let message = refused.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(reason), "{body}: {message}");
        }
    }
    assert_eq!(three.count("shares").await, 0);
    assert_eq!(three.count("share_codes").await, 0);
}

#[tokio::test]
async fn a_default_server_that_never_ran_is_shared_and_started() {
    let three = Three::meet().await;
    let Three { admin, carol, .. } = &three;
    let shares = get(admin, "/shares/carol/").await.expect(200).json();
    assert_eq!(shares["items"], json!([]));
    post(admin, "/shares/carol/", json!({ "user": "bob" }))
        .await
        .expect(200);
    let server = three.hub.app.db.server("carol", "").await.unwrap();
    let server = server.unwrap();
    assert_eq!(
        (server.state.to_string(), server.prefix.as_str()),
        ("stopped".to_owned(), "/user/carol/")
    );
    carol.spawn_ready("carol").await;
    assert_eq!(
        scopes_of(&three.bob, "carol").await,
        ["access:servers!server=carol/"]
    );
    for server in ["none", "a/b"] {
        let path = format!("/shares/carol/{server}");
        get(admin, &path).await.expect(404);
    }
}
