//! A real Hub that runs the dashboard as its service, on a Kubernetes that a kubeconfig names; and who visits it.

use std::path::Path;
use std::time::Duration;

use carrel_tests::hub::{Hub, free_port};
use carrel_tests::installation::Installation;
use carrel_tests::person::Person;
use carrel_tests::wait_for;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::training::JobsService;

pub const BASE: &str = "/services/dashboard/";

pub struct Site {
    pub hub: Hub,
    /// Where the dashboard itself listens.
    pub port: u16,
    _state: tempfile::TempDir,
}

impl Site {
    /// With a Kubernetes of the test's own.
    pub async fn with(fake: &Fake) -> Self {
        Self::with_jobs(fake, None).await
    }

    /// With a jobs service too, which ada may use.
    pub async fn with_jobs(fake: &Fake, service: Option<&JobsService>) -> Self {
        let jobs = match service {
            Some(service) => Some(service.start().await),
            None => None,
        };
        let site = Self::started(&fake.start().await, jobs).await;
        if let Some(service) = service {
            service.asks(site.hub.url("").trim_end_matches('/'));
        }
        site
    }

    pub async fn on(kubeconfig: &str) -> Self {
        Self::started(kubeconfig, None).await
    }

    async fn started(kubeconfig: &str, jobs: Option<String>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig).unwrap();
        let port = free_port().unwrap();
        let configuration = configuration(port, &file, jobs.as_deref());
        let programs = std::env::var("CARREL_TEST_BIN");
        let programs =
            programs.unwrap_or_else(|_| panic!("$CARREL_TEST_BIN is not set: run `make test`"));
        let installation = Installation {
            programs: programs.into(),
            // This Hub runs nothing of Python.
            prepared: state.path().to_owned(),
        };
        let hub = Hub::start(&installation, state.path(), &configuration.to_string())
            .await
            .unwrap();
        let health = format!("http://127.0.0.1:{port}/healthz");
        let answers = wait_for("the dashboard", Duration::from_secs(30), || async {
            let reply = reqwest::get(&health).await.ok()?;
            reply.status().is_success().then_some(())
        });
        answers
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", hub.log()));
        Self {
            hub,
            port,
            _state: state,
        }
    }

    /// Somebody who is logged in at the Hub.
    pub async fn person(&self, name: &str) -> Visitor {
        let person = Person::new(&self.hub).unwrap();
        let reply = person.log_in(name, "").await.unwrap();
        assert!(
            reply.status() != StatusCode::FORBIDDEN,
            "{}",
            self.hub.log()
        );
        Visitor(person)
    }
}

/// Of a stand-in for Kubernetes, which has that too.
fn usage_report(kubeconfig: &Path) -> Option<String> {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let read: Value = serde_json::from_str(&text).ok()?;
    let server = read["clusters"][0]["cluster"]["server"].as_str()?;
    Some(server.to_owned())
}

/// Of a Hub that runs the dashboard at `port`.
fn configuration(port: u16, kubeconfig: &Path, jobs: Option<&str>) -> Value {
    let program = env!("CARGO_BIN_EXE_carrel-dashboard");
    let scope = "access:services!service=training";
    let mut scopes = vec!["read:servers!user"];
    let mut environment = json!({
        "KUBECONFIG": kubeconfig,
        "RUST_LOG": "info,carrel_dashboard=debug",
        "CARREL_KEPT_LOGS": "true",
    });
    if let Some(report) = usage_report(kubeconfig) {
        environment["CARREL_USAGE_REPORT"] = json!(report);
    }
    let mut services = Vec::new();
    let mut roles = vec![json!({
        "name": "dashboard", "scopes": ["access:services!service=dashboard"],
        "users": ["ada", "bob", "eve"],
    })];
    if let Some(jobs) = jobs {
        scopes.push(scope);
        environment["CARREL_JOBS_URL"] = json!(jobs);
        services.push(json!({ "name": "training", "url": jobs }));
        roles.push(json!({ "name": "training", "scopes": [scope], "users": ["ada"] }));
    }
    services.push(json!({
        "name": "dashboard",
        "url": format!("http://127.0.0.1:{port}"),
        "command": [program],
        "environment": environment,
        "oauth_client_allowed_scopes": scopes,
        "oauth_no_confirm": true,
    }));
    json!({
        "JupyterHub": {
            "authenticator_class": "dummy",
            "services": services,
            "load_groups": { "lab": ["ada"], "system:masters": ["eve"] },
            "load_roles": roles,
        },
        "Authenticator": { "allow_all": true, "allowed_users": ["ada", "bob", "eve", "mallory"] },
        "Spawner": { "cmd": ["sleep", "300"] },
    })
}

/// A browser without scripts that follows redirects.
pub struct Visitor(pub Person);

pub struct Seen {
    pub status: u16,
    pub url: String,
    pub text: String,
}

impl Seen {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.url, self.text);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.text.contains(text),
            "no {text:?} in {}: {}",
            self.url,
            self.text
        );
        self
    }

    #[track_caller]
    pub fn hides(self, text: &str) -> Self {
        assert!(
            !self.text.contains(text),
            "{text:?} in {}: {}",
            self.url,
            self.text
        );
        self
    }

    /// The value of a hidden field.
    #[track_caller]
    pub fn hidden(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let (_, rest) = self
            .text
            .split_once(&mark)
            .unwrap_or_else(|| panic!("no {name}: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }
}

pub async fn seen(reply: Response) -> Seen {
    Seen {
        status: reply.status().as_u16(),
        url: reply.url().to_string(),
        text: reply.text().await.unwrap(),
    }
}

impl Visitor {
    /// A page below the dashboard's base.
    pub async fn get(&self, path: &str) -> Seen {
        seen(self.0.get(&format!("{BASE}{path}")).await.unwrap()).await
    }

    /// Sends a form with the token that `page` has.
    pub async fn send(&self, page: &str, to: &str, fields: &[(&str, &str)]) -> Seen {
        let xsrf = self.get(page).await.expect(200).hidden("_xsrf");
        self.send_with(&xsrf, to, fields).await
    }

    pub async fn send_with(&self, xsrf: &str, to: &str, fields: &[(&str, &str)]) -> Seen {
        let mut fields = fields.to_vec();
        fields.push(("_xsrf", xsrf));
        let url = self.0.url(&format!("{BASE}{to}")).unwrap();
        seen(self.0.client.post(url).form(&fields).send().await.unwrap()).await
    }
}
