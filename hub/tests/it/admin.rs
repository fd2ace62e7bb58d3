//! The admin page: who may see it, lists in pages, and each of its forms.

use carrel_hub::config::Config;
use reqwest::Method;
use serde_json::json;

use super::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

struct Site {
    hub: TestHub,
    browser: Browser,
}

impl Site {
    async fn new() -> Self {
        Self::of(TestHub::start().await).await
    }

    async fn of(hub: TestHub) -> Self {
        let browser = hub.admin().await;
        Self { hub, browser }
    }

    async fn get(&self, path: &str) -> String {
        self.browser.get(path).await.expect(200).body
    }

    async fn submit(&self, action: &str, fields: &[(&str, &str)]) -> Reply {
        self.browser.submit("/hub/admin", action, fields).await
    }

    async fn add(&self, names: &str) {
        let added = self
            .submit("/hub/admin/users", &[("usernames", names)])
            .await;
        added.expect(303);
    }
}

#[tokio::test]
async fn users_are_added_found_renamed_made_administrators_and_deleted() {
    let site = Site::new().await;
    site.add("Ada, bob\n  carol").await;
    let page = site.get("/hub/admin").await;
    for name in ["admin", "ada", "bob", "carol"] {
        assert!(
            page.contains(&format!("/hub/admin/users/{name}\"")),
            "{name}: {page}"
        );
    }
    let page = site.get("/hub/admin?name_filter=AD&sort=-name").await;
    assert!(
        page.contains("users/ada\"") && !page.contains("users/bob\""),
        "{page}"
    );
    let refused = site
        .submit("/hub/admin/users", &[("usernames", "ada b/c")])
        .await;
    let refused = refused.expect(400).body;
    assert!(
        refused.contains("role=\"alert\"") && refused.contains(">ada b/c</textarea>"),
        "{refused}"
    );
    let taken = site
        .submit("/hub/admin/users", &[("usernames", "ada")])
        .await;
    assert!(taken.expect(409).body.contains("already exist"));

    let change = [("name", "ada2"), ("admin", "on")];
    let changed = site
        .submit("/hub/admin/users/ada", &change)
        .await
        .expect(303);
    assert_eq!(changed.location(), "/hub/admin/users/ada2");
    let ada = site.hub.app.db.user("ada2").await.unwrap().unwrap();
    assert!(ada.admin);
    let taken = site
        .submit("/hub/admin/users/ada2", &[("name", "bob")])
        .await
        .expect(400);
    assert!(taken.body.contains("must be unique"), "{}", taken.body);
    let ada = site.hub.app.db.user("ada2").await.unwrap().unwrap();
    assert!(ada.admin, "what is refused is not half done");
    site.submit("/hub/admin/users/ada2", &[("name", "ada2")])
        .await
        .expect(303);
    let ada = site.hub.app.db.user("ada2").await.unwrap().unwrap();
    assert!(
        !ada.admin,
        "a box that is not ticked makes no administrator"
    );

    site.submit("/hub/admin/users/bob/delete", &[])
        .await
        .expect(303);
    assert!(site.hub.app.db.user("bob").await.unwrap().is_none());
    let own = site
        .submit("/hub/admin/users/admin/delete", &[])
        .await
        .expect(400);
    assert!(own.body.contains("Cannot delete yourself!"), "{}", own.body);
}

#[tokio::test]
async fn five_thousand_users_are_shown_in_pages() {
    let site = Site::new().await;
    let mut db = site.hub.database().await;
    let rows: Vec<String> = (0..5000)
        .map(|number| format!("({number}, 'user{number:04}', 0, 0, 0)"))
        .collect();
    let insert = format!(
        "INSERT INTO users (id, name, admin, password_is_empty, created) VALUES {}",
        rows.join(", ")
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert))
        .execute(&mut db)
        .await
        .unwrap();
    let page = site.get("/hub/admin").await;
    assert!(page.contains("1 – 50 of 5001"), "{page}");
    assert!(
        page.contains("offset=50") && !page.contains("rel=\"prev\""),
        "{page}"
    );
    let page = site.get("/hub/admin?offset=5000").await;
    assert!(
        page.contains("5001 – 5001 of 5001") && !page.contains("rel=\"next\""),
        "{page}"
    );
    let page = site.get("/hub/admin?name_filter=4999&state=inactive").await;
    assert!(
        page.contains("1 – 1 of 1") && page.contains("user4999"),
        "{page}"
    );
    site.browser.get("/hub/admin?sort=color").await.expect(400);
    let page = site.get("/hub/admin?offset=x").await;
    assert!(page.contains("1 – 50 of 5001"), "{page}");
}

#[tokio::test]
async fn servers_of_others_are_started_opened_and_stopped() {
    let site = Site::new().await;
    site.add("ada bob").await;
    let back = "?next=%2Fhub%2Fadmin%3Foffset%3D0";
    let started = site
        .submit(&format!("/hub/admin/start/ada{back}"), &[])
        .await;
    assert_eq!(started.expect(303).location(), "/hub/admin?offset=0");
    let page = wait_for("the server of ada", || async {
        let page = site.get("/hub/admin/servers").await;
        page.contains("href=\"/user/ada/\"").then_some(page)
    })
    .await;
    assert!(!page.contains("/user/bob/"), "{page}");
    site.submit("/hub/admin/start-all?name_filter=b", &[])
        .await
        .expect(303);
    wait_for("the server of bob", || async {
        let page = site.get("/hub/admin?state=ready").await;
        page.contains("href=\"/user/bob/\"").then_some(())
    })
    .await;
    let stopped = site.submit(&format!("/hub/stop/ada{back}"), &[]).await;
    assert_eq!(stopped.expect(303).location(), "/hub/admin?offset=0");
    site.submit("/hub/admin/stop-all", &[]).await.expect(303);
    assert_eq!(site.hub.spawner.running(), 0);
    let page = site.get("/hub/admin/servers").await;
    assert!(page.contains("No server is active"), "{page}");
    site.submit("/hub/admin/delete-server/ada/gpu", &[])
        .await
        .expect(404);
    let away = site
        .submit("/hub/admin/start/ada?next=https://evil.example/", &[])
        .await;
    assert_eq!(away.expect(303).location(), "/hub/admin");
}

#[tokio::test]
async fn groups_are_made_filled_emptied_and_deleted() {
    let site = Site::new().await;
    site.add("ada bob").await;
    let made = site
        .submit("/hub/admin/groups", &[("name", "staff & co")])
        .await
        .expect(303);
    let group = "/hub/admin/groups/staff%20%26%20co";
    assert_eq!(made.location(), group);
    let again = site
        .submit("/hub/admin/groups", &[("name", "staff & co")])
        .await;
    assert!(again.expect(409).body.contains("already exists"));
    site.submit("/hub/admin/groups", &[("name", "a/b")])
        .await
        .expect(400);
    site.submit(group, &[("add", "ada\nbob")]).await.expect(303);
    let unknown = site.submit(group, &[("add", "nobody")]).await.expect(400);
    assert!(
        unknown.body.contains("No such user: nobody"),
        "{}",
        unknown.body
    );
    site.submit(group, &[("take", "bob")]).await.expect(303);
    let page = site.get(group).await;
    assert!(
        page.contains("users/ada\"") && !page.contains("users/bob\""),
        "{page}"
    );
    let page = site.get("/hub/admin/groups").await;
    assert!(page.contains("data-label=\"Members\">1<"), "{page}");
    let page = site.get("/hub/admin/users/ada").await;
    assert!(page.contains(group), "{page}");
    site.submit(&format!("{group}/delete"), &[])
        .await
        .expect(303);
    site.browser.get(group).await.expect(404);
}

#[tokio::test]
async fn the_hub_is_shut_down_once_it_is_said_what_becomes_of_the_servers() {
    let mut site = Site::new().await;
    site.browser.spawn_ready("admin").await;
    site.submit("/hub/admin/shutdown", &[]).await.expect(400);
    let page = site
        .submit("/hub/admin/shutdown", &[("servers", "leave")])
        .await;
    assert!(page.expect(202).body.contains("servers run on"));
    site.hub.ended().await;
    assert_eq!(site.hub.spawner.running(), 1);
}

const FORMS: [&str; 12] = [
    "/hub/admin/users",
    "/hub/admin/users/admin",
    "/hub/admin/users/ada/delete",
    "/hub/admin/start/bob",
    "/hub/admin/start/bob/gpu",
    "/hub/admin/delete-server/bob/gpu",
    "/hub/admin/start-all",
    "/hub/admin/stop-all",
    "/hub/admin/groups",
    "/hub/admin/groups/staff",
    "/hub/admin/groups/staff/delete",
    "/hub/admin/shutdown",
];

const PAGES: [&str; 6] = [
    "/hub/admin",
    "/hub/admin/users/admin",
    "/hub/admin/groups",
    "/hub/admin/groups/staff",
    "/hub/admin/servers",
    "/hub/admin/hub",
];

#[tokio::test]
async fn no_form_acts_without_its_token_and_nobody_else_may() {
    let site = Site::of(
        TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
            config.authenticator.allow_all = true;
        })
        .await,
    )
    .await;
    site.add("ada bob").await;
    site.submit("/hub/admin/groups", &[("name", "staff")])
        .await
        .expect(303);
    let fields = [
        ("usernames", "eve"),
        ("name", "eve"),
        ("add", "ada"),
        ("servers", "stop"),
    ];
    for form in FORMS {
        site.browser.post(form, &fields).await.expect(403);
    }
    let new = "correct horse";
    site.hub.set_password("ada", new).await;
    let ada = site.hub.browser();
    ada.login("ada", new).await.expect(303);
    assert!(!ada.get("/hub/home").await.body.contains("/hub/admin\""));
    for page in PAGES {
        ada.get(page).await.expect(403);
    }
    for form in FORMS {
        let refused = ada.submit("/hub/home", form, &fields).await;
        assert!(
            matches!(refused.status, 403 | 404),
            "{form}: {}",
            refused.status
        );
    }
    assert_eq!(site.hub.spawner.running(), 0);
    assert!(site.hub.app.db.user("eve").await.unwrap().is_none());
    site.get("/hub/admin").await;
}

/// A role of `admin-ui` with a part of the rest shows that part, with buttons for it alone.
#[tokio::test]
async fn who_may_do_a_part_sees_the_buttons_of_that_part() {
    let site = Site::of(
        TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
            let text = "JupyterHub: { load_groups: { class: [bob] }, load_roles: [{ name: teacher, users: [ada], \
                        scopes: [admin-ui, 'list:users!group=class', 'read:servers!group=class', \
                        'delete:servers!group=class'] }] }\nAuthenticator: { allow_all: true }";
            let given = carrel_hub::config::Config::parse("test", text).unwrap();
            config.jupyter_hub.load_groups = given.jupyter_hub.load_groups;
            config.jupyter_hub.load_roles = given.jupyter_hub.load_roles;
            config.authenticator = given.authenticator;
        })
        .await,
    )
    .await;
    let admin = token(&site.browser, &["inherit"]).await;
    let started = site
        .browser
        .api(Method::POST, "/users/bob/server", &admin, Some(json!({})));
    started.await.expect(202);
    site.hub.set_password("ada", "correct horse").await;
    let ada = site.hub.browser();
    ada.login("ada", "correct horse").await.expect(303);
    let page = ada.get("/hub/admin").await.expect(200).body;
    assert!(
        page.contains("users/bob\"") && !page.contains("users/admin\""),
        "{page}"
    );
    assert!(
        page.contains("/hub/stop/bob?next=") && !page.contains("Add users"),
        "{page}"
    );
    assert!(
        !page.contains("/hub/admin/start/") && !page.contains("start-all"),
        "{page}"
    );
    let page = ada.get("/hub/admin/users/bob").await.expect(200).body;
    assert!(
        !page.contains("Delete User") && !page.contains(">Save<"),
        "{page}"
    );
    ada.get("/hub/admin/users/admin").await.expect(404);
    ada.get("/hub/admin/groups").await.expect(403);
    let page = ada.get("/hub/admin/hub").await.expect(200).body;
    assert!(!page.contains("Shut Down"), "{page}");
}

#[tokio::test]
async fn one_that_may_not_start_keeps_no_other_from_it() {
    let quotas = "JupyterHub: {quotas: [{name: none, users: [ada], memory: 1G}]}";
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        let read = Config::parse("test.yaml", quotas).unwrap();
        config.jupyter_hub.quotas = read.jupyter_hub.quotas;
    });
    let site = Site::of(hub.await).await;
    site.add("ada bob").await;
    let told = site.submit("/hub/admin/start-all", &[]).await.expect(409);
    assert!(
        told.body.contains("but these: ada: The quota"),
        "{}",
        told.body
    );
    wait_for("the server of bob", || async {
        let page = site.get("/hub/admin?state=ready").await;
        page.contains("href=\"/user/bob/\"").then_some(())
    })
    .await;
}
