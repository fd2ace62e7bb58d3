//! JupyterHub's event log: what is written, in which form, and where.

use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_hub::config::{Config, FilePath};
use carrel_hub::db::servers::{State, Why};
use carrel_hub::events::Action;
use carrel_hub::run::Hub;
use serde_json::{Value, json};

use crate::harness::apart::prepared;
use crate::harness::{Behaviour, FakeSpawner, TestHub, wait_for};

async fn hub(file: &Path, configure: impl FnOnce(&mut Config)) -> TestHub {
    let spawner = FakeSpawner::new(Behaviour::Answers);
    TestHub::configured(spawner, |config| {
        config.event_logger.file = Some(FilePath(file.to_owned()));
        configure(config);
    })
    .await
}

/// The events in a file, once there are so many.
async fn events(file: &Path, count: usize) -> Vec<Value> {
    wait_for("events", async || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() <= count, "{text}");
        let read = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        (lines.len() == count && text.ends_with('\n')).then(|| read.collect())
    })
    .await
}

async fn until_stopped(hub: &TestHub) {
    wait_for("the end of the server", async || {
        let server = hub.app.db.server("admin", "").await.unwrap()?;
        (server.state == State::Stopped).then_some(())
    })
    .await;
}

/// What stock jupyter_events has against the lines, with the schema of stock JupyterHub.
fn judged(file: &Path) -> Option<String> {
    let python = prepared()?.join("venv/bin/python");
    let script = r#"
import json, sys
from pathlib import Path
import jupyterhub
from jupyter_events.schema import EventSchema
from jupyter_events.validators import JUPYTER_EVENTS_CORE_VALIDATOR
schema = EventSchema(Path(jupyterhub.__file__).parent / "event-schemas/server-actions/v1.yaml")
for line in open(sys.argv[1]):
    event = json.loads(line)
    core = {key: event.pop(key) for key in list(event) if key.startswith("__")}
    JUPYTER_EVENTS_CORE_VALIDATOR.validate(core)
    schema.validate(event)
    assert core["__schema__"] == schema.id and core["__schema_version__"] == schema.version, core
"#;
    let judged = Command::new(python).args(["-c", script]).arg(file).output();
    let judged = judged.unwrap();
    Some(String::from_utf8_lossy(&judged.stderr).into_owned())
}

#[tokio::test]
async fn starts_and_stops_are_events_in_the_form_of_jupyterhub() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.log");
    let hub = hub(&file, |_| {}).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    let mut events = events(&file, 2).await;
    for event in &mut events {
        let time = event["__timestamp__"].take();
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        assert!(time.duration_until(jiff::Timestamp::now()).as_secs() < 60);
    }
    let event = |action: &str| {
        json!({
            "__timestamp__": null,
            "__schema__": "https://schema.jupyter.org/jupyterhub/events/server-action",
            "__schema_version__": "1",
            "__metadata_version__": 1,
            "action": action,
            "username": "admin",
            "servername": "",
        })
    };
    assert_eq!(events, [event("start"), event("stop")]);
    if let Some(mistakes) = judged(&file) {
        assert_eq!(mistakes, "");
    }

    // The file is moved away, and begun anew.
    until_stopped(&hub).await;
    std::fs::rename(&file, file.with_extension("1")).unwrap();
    browser.spawn_ready("admin").await;
    assert_eq!(self::events(&file, 1).await[0]["action"], "start");
}

#[tokio::test]
async fn only_what_the_hub_has_done_is_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.log");
    let hub = hub(&file, |config| {
        config.idle_culler.enabled = true;
        config.idle_culler.every = std::time::Duration::from_millis(100);
        config.idle_culler.timeout = std::time::Duration::from_secs(4).into();
        config.idle_culler.warn_before = std::time::Duration::ZERO;
    })
    .await;
    let browser = hub.admin().await;
    // A start that fails, and a server that dies.
    hub.spawner.behave(Behaviour::Dies);
    browser.spawn().await.expect(303);
    until_stopped(&hub).await;
    hub.spawner.behave(Behaviour::Answers);
    browser.spawn_ready("admin").await;
    events(&file, 1).await;
    hub.spawner.kill_all();
    until_stopped(&hub).await;
    // One that is culled.
    browser.spawn_ready("admin").await;
    until_stopped(&hub).await;
    let events = events(&file, 3).await;
    let actions: Vec<_> = events.iter().map(|event| &event["action"]).collect();
    assert_eq!(actions, ["start", "start", "stop"]);
}

/// A stop that is not over when its Hub dies is finished by the next one, which tells of it.
#[tokio::test]
async fn a_stop_that_another_hub_finishes_is_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.log");
    let hub = hub(&file, |_| {}).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    events(&file, 1).await;
    let server = hub.app.db.server("admin", "").await.unwrap().unwrap();
    let (from, why) = (State::Ready, Why::Told(None));
    let told = hub
        .app
        .db
        .set_stopping(server.id, &server.start_id, from, why);
    assert!(told.await.unwrap());
    let hub = hub.crash_and_restart().await;
    until_stopped(&hub).await;
    let events = events(&file, 2).await;
    assert_eq!(events[1]["action"], "stop");
}

/// What waits to be written when the Hub is told to end is written.
#[tokio::test]
async fn the_end_of_the_hub_loses_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.log");
    let mut hub = hub(&file, |_| {}).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let server = hub.app.db.server("admin", "").await.unwrap().unwrap();
    for _ in 0..2000 {
        hub.app.events.server(Action::Stop, &server);
    }
    hub.end().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2001);
    assert!(text.ends_with('\n'));
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("nowhere/events.log");
    let mut config = Config::default();
    config.jupyter_hub.port = 0;
    config.event_logger.file = Some(FilePath(file.clone()));
    let Err(error) = Hub::open(config, folder.path()).await else {
        panic!("it opens");
    };
    let error = error.to_string();
    assert!(
        error.contains("nowhere/events.log (EventLogger.file)"),
        "{error}"
    );
    assert!(!file.exists());
}

#[test]
fn what_is_not_logged_is_refused() {
    let text = "EventLogger: {handlers: [], allowed_schemas: [https://example.org/other]}";
    let errors = Config::parse("test", text).unwrap_err().to_string();
    assert!(
        errors.contains("EventLogger.handlers: `handlers` is not taken"),
        "{errors}"
    );
    assert!(
        errors.contains("EventLogger.allowed_schemas[0]: expected `https://schema.jupyter.org"),
        "{errors}"
    );
    let errors = Config::parse("test", "EventLog: {file: a}")
        .unwrap_err()
        .to_string();
    assert!(errors.contains("did you mean `EventLogger`"), "{errors}");
}
