//! Every page: no value becomes markup, every form carries the token, every tag is closed.

mod admin;

use carrel_spawner::form::{Choice, Text};

use super::home::{EndingRow, HomePage, NamedServers, ServerRow, ServerState, SharedRow};
use super::*;

/// What a value must never do to a page.
const EVIL: &str = "\"><script>alert('x')</script>&<b a='";

fn evil() -> String {
    EVIL.to_owned()
}

/// Every page in every state that changes its markup, each value taken from `text`.
fn pages(text: fn() -> String) -> Vec<(&'static str, String)> {
    let page = Page {
        hub: "/hub/".to_owned(),
        user: Some(text()),
        xsrf: text(),
        admin: true,
    };
    let mut pages = vec![
        ("logout", LogoutPage { page: page.clone() }.render()),
        (
            "stop_pending",
            StopPendingPage {
                page: page.clone(),
                subject: subject(text),
            }
            .render(),
        ),
    ];
    pages.extend(login_pages(&page, text));
    pages.extend(server_pages(&page, text));
    pages.extend(account_pages(&page, text));
    pages.extend(admin::pages(&page, text));
    pages
        .into_iter()
        .map(|(name, html)| (name, html.unwrap()))
        .collect()
}

type Rendered = (&'static str, askama::Result<String>);

fn login_pages(page: &Page, text: fn() -> String) -> Vec<Rendered> {
    let anonymous = Page {
        user: None,
        ..page.clone()
    };
    let first = LoginPage {
        page: anonymous.clone(),
        next: String::new(),
        username: String::new(),
        error: None,
        first_account: None,
        signup: false,
    };
    let again = LoginPage {
        page: anonymous.clone(),
        next: text(),
        username: text(),
        error: Some(text()),
        first_account: Some(text()),
        signup: true,
    };
    let elsewhere = LoginElsewherePage {
        page: anonymous.clone(),
        way: text(),
        service: text(),
    };
    let signup = SignupPage {
        page: anonymous,
        username: text(),
        minimum_length: 8,
        error: Some(text()),
    };
    let advice = Some(text());
    let error = ErrorPage {
        page: page.clone(),
        status: 404,
        title: text(),
        message: text(),
        advice,
    };
    vec![
        ("login", first.render()),
        ("login", again.render()),
        ("login_elsewhere", elsewhere.render()),
        ("signup", signup.render()),
        ("error", error.render()),
    ]
}

fn server_pages(page: &Page, text: fn() -> String) -> Vec<Rendered> {
    let mut pages = Vec::new();
    for state in STATES {
        for has_options in [true, false] {
            pages.push(("home", home(page, text, state, has_options).render()));
        }
    }
    pages.extend(spawn_pages(page, text));
    let failed = Start::Failed {
        reason: text(),
        log: text(),
    };
    for start in [
        Start::Pending {
            progress: 30,
            message: text(),
        },
        failed,
    ] {
        pages.push(("spawn_pending", pending(page, text, start).render()));
    }
    for spawn_url in [None, Some(text())] {
        let (owner, failure) = (text(), spawn_url.clone());
        pages.push((
            "not_running",
            NotRunningPage {
                page: page.clone(),
                owner,
                spawn_url,
                failure,
            }
            .render(),
        ));
    }
    pages
}

fn spawn_pages(page: &Page, text: fn() -> String) -> Vec<Rendered> {
    let mut pages = Vec::new();
    let choice = Field {
        choices: vec![Choice {
            value: text(),
            label: text(),
            description: String::new(),
        }],
        text: Some(Text {
            label: text(),
            ..Text::default()
        }),
        ..field(text)
    };
    for (field, error) in [
        (field(text), None),
        (field(text), Some(text())),
        (choice, None),
    ] {
        let fields = |input: &str| {
            vec![FormField {
                input: text() + input,
                field: field.clone(),
                value: text(),
                text: text(),
                error: error.clone(),
            }]
        };
        let profile = |input| FormProfile {
            slug: text(),
            display_name: text(),
            description: text(),
            chosen: true,
            fields: fields(input),
        };
        for profiles in [vec![profile("1")], vec![profile("1"), profile("2")]] {
            let fields = fields("3");
            pages.push((
                "spawn",
                SpawnPage {
                    page: page.clone(),
                    subject: subject(text),
                    spawn_url: text(),
                    profiles,
                    fields,
                    error: Some(text()),
                }
                .render(),
            ));
        }
    }
    pages.push((
        "spawn",
        SpawnPage {
            page: page.clone(),
            subject: subject(text),
            spawn_url: text(),
            profiles: vec![],
            fields: vec![],
            error: None,
        }
        .render(),
    ));
    pages
}

fn subject(text: fn() -> String) -> Subject {
    Subject {
        owner: text(),
        name: text(),
        is_own: false,
    }
}

fn server(text: fn() -> String, name: &str, state: ServerState) -> ServerRow {
    ServerRow {
        owner: text(),
        name: text() + name,
        display_name: text(),
        state,
        server_url: text(),
        spawn_url: text(),
        stop_url: text(),
        pending_url: text(),
        last_activity: Some(text()),
        failure: Some(text()),
        ending: Some(EndingRow {
            at: text(),
            minutes: 5,
            reason: text(),
            keep_url: Some(text()),
        }),
    }
}

const STATES: [ServerState; 4] = [
    ServerState::Stopped,
    ServerState::Starting,
    ServerState::Running,
    ServerState::Stopping,
];

fn home(page: &Page, text: fn() -> String, state: ServerState, has_options: bool) -> HomePage {
    let shared = |state| SharedRow {
        server: server(text, "", state),
        may_open: true,
        may_start: has_options,
    };
    HomePage {
        page: page.clone(),
        server: server(text, "", state),
        has_options,
        named: Some(NamedServers {
            rows: vec![server(text, "1", state), server(text, "2", state)],
            enabled: has_options,
            limit: if has_options { 3 } else { 0 },
        }),
        shared: STATES.map(shared).to_vec(),
        services: vec![(text(), text())],
        may_end: true,
        empty_password: has_options,
        error: has_options.then(text),
    }
}

fn field(text: fn() -> String) -> Field {
    Field {
        name: text(),
        label: text(),
        help: text(),
        ..Field::default()
    }
}

fn pending(page: &Page, text: fn() -> String, start: Start) -> SpawnPendingPage {
    SpawnPendingPage {
        page: page.clone(),
        subject: subject(text),
        start,
        progress_url: text(),
        server_url: text(),
        stop_url: text(),
        spawn_url: text(),
    }
}

fn account_pages(page: &Page, text: fn() -> String) -> Vec<Rendered> {
    let row = TokenRow {
        id: text(),
        note: text(),
        scopes: vec![text()],
        created: text(),
        last_used: Some(text()),
        expires: None,
    };
    let tokens = TokenPage {
        page: page.clone(),
        tokens: vec![row],
        note: text(),
        scopes: text(),
        lifetimes: vec![Lifetime {
            seconds: String::from("60"),
            label: text(),
            chosen: true,
        }],
        new_token: Some(text()),
        error: Some(text()),
    };
    let none = TokenPage {
        page: page.clone(),
        tokens: vec![],
        note: String::new(),
        scopes: String::new(),
        lifetimes: vec![],
        new_token: None,
        error: None,
    };
    let password = |empty_password| ChangePasswordPage {
        page: page.clone(),
        empty_password,
        minimum_length: 8,
        error: Some(text()),
        changed: empty_password,
    };
    let passwords =
        [password(true), password(false)].map(|page| ("change_password", page.render()));
    let offers = ["", "gpu"].map(|server| AcceptSharePage {
        page: page.clone(),
        owner: text(),
        server: server.to_owned(),
        server_url: text(),
        ready: server.is_empty(),
        may_start: false,
        scopes: vec!["Use servers"],
        expires: text(),
        code: text(),
        next: text(),
        error: Some(text()),
    });
    let oauth = OauthPage {
        page: page.clone(),
        client: text(),
        redirect_uri: text(),
        authorize_url: text(),
        scopes: vec![(text(), text())],
    };
    [
        ("token", tokens.render()),
        ("token", none.render()),
        ("oauth", oauth.render()),
    ]
    .into_iter()
    .chain(passwords)
    .chain(offers.map(|page| ("accept-share", page.render())))
    .collect()
}

#[test]
fn no_value_becomes_markup() {
    for (name, html) in pages(evil) {
        // The tags, and each quote that would end an attribute.
        for part in ["<script>", "<b a", "alert('", "\"&#62;"] {
            assert!(!html.contains(part), "{part} in {name}:\n{html}");
        }
        assert!(
            html.contains("alert(&#39;x"),
            "{name} shows no value:\n{html}"
        );
    }
}

#[test]
fn the_next_page_is_one_value_of_the_query() {
    let page = Page {
        hub: "/hub/".to_owned(),
        ..Page::default()
    };
    let next = "/user/a/lab?x=1&y=\"><i>#z".to_owned();
    let html = LoginPage {
        page,
        next,
        username: String::new(),
        error: None,
        first_account: None,
        signup: false,
    }
    .render()
    .unwrap();
    let action = "action=\"/hub/login?next=%2Fuser%2Fa%2Flab%3Fx%3D1%26y%3D%22%3E%3Ci%3E%23z\"";
    assert!(html.contains(action), "{html}");
}

#[test]
fn every_form_posts_the_session_s_token() {
    for (name, html) in pages(|| "plain".to_owned()) {
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            // Looking for something changes nothing.
            if form.contains(" method=\"get\"") {
                continue;
            }
            assert!(form.contains("method=\"post\""), "{name}: {form}");
            assert!(
                form.contains("<input type=\"hidden\" name=\"_xsrf\" value=\"plain\">"),
                "{name}: {form}"
            );
        }
    }
}

#[test]
fn every_field_has_a_label_and_every_id_is_unique() {
    for (name, html) in pages(|| "plain".to_owned()) {
        let ids: Vec<_> = attributes(&html, " id=\"");
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "{name}: {ids:?}");
        let labels = attributes(&html, " for=\"");
        for field in html.split('<').filter(|tag| {
            ["input", "select", "textarea"]
                .iter()
                .any(|name| tag.starts_with(name))
        }) {
            let hidden = field.contains("type=\"hidden\"") || field.contains(" hidden>");
            let labelled = attributes(field, " id=\"")
                .iter()
                .any(|id| labels.contains(id))
                || field.contains(" aria-label=\"")
                || html.contains(&format!("<label class=\"check\"><{field}"));
            assert!(hidden || labelled, "{name}: {field}");
        }
    }
}

fn attributes<'h>(html: &'h str, start: &str) -> Vec<&'h str> {
    html.split(start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn every_tag_is_closed_in_its_place() {
    const VOID: [&str; 4] = ["meta", "link", "input", "!DOCTYPE"];
    for (name, html) in pages(evil) {
        let mut open: Vec<&str> = Vec::new();
        for tag in html.split('<').skip(1) {
            let (tag, _) = tag
                .split_once('>')
                .unwrap_or_else(|| panic!("{name}: <{tag}"));
            let word = tag
                .split([' ', '\n', '/'])
                .find(|word| !word.is_empty())
                .unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(word), "{name}:\n{html}");
            } else if !VOID.contains(&word) && !tag.ends_with('/') {
                open.push(word);
            }
        }
        assert_eq!(open, Vec::<&str>::new(), "{name}:\n{html}");
    }
}

/// What the Content Security Policy would stop: scripts and styles within the page, and other hosts.
#[test]
fn pages_hold_no_script_no_style_and_no_other_host() {
    for (name, html) in pages(|| "plain".to_owned()) {
        for part in [
            " style=",
            "<style",
            " onclick",
            " onload",
            "javascript:",
            "src=\"http",
            "href=\"http",
        ] {
            assert!(!html.contains(part), "{part} in {name}:\n{html}");
        }
    }
}

#[test]
fn a_failed_start_is_told_and_not_looked_at_again() {
    let page = Page {
        hub: "/hub/".to_owned(),
        ..Page::default()
    };
    let start = Start::Failed {
        reason: "exited with status 3".to_owned(),
        log: "the disk is full".to_owned(),
    };
    let html = pending(&page, || "/x".to_owned(), start).render().unwrap();
    assert!(
        html.contains("exited with status 3")
            && html.contains("the disk is full")
            && html.contains("Retry")
    );
    assert!(
        !html.contains("progress.js") && !html.contains("http-equiv=\"refresh\""),
        "{html}"
    );
}
