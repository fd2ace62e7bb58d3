//! `FakeSpawner`: servers that are listeners in the test's own process, and that outlive a Hub which is killed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use carrel_spawner::form::Form;
use carrel_spawner::kube::{Profile, form};
use carrel_spawner::{
    Error, Needs, Poll, Spawner, SpawnerState, StartEvent, StartRequest, Started,
};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::fake_server::{Asked, FakeServer};

/// What servers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// They answer as a single-user server does.
    Answers,
    /// They answer, but without the version header.
    Stranger,
    /// They run and never listen.
    Silent,
    /// They end after they were started.
    Dies,
    /// The spawner says why it cannot start them.
    Refuses,
    /// The spawner never returns.
    Hangs,
}

pub struct FakeSpawner {
    behaviour: Mutex<Behaviour>,
    /// Servers live on the test's runtime, not on that of the Hub.
    runtime: Handle,
    running: Mutex<HashMap<String, Running>>,
    requests: Mutex<Vec<StartRequest>>,
    ended: broadcast::Sender<String>,
    /// Whether a kernel of every server is busy.
    busy: Arc<AtomicBool>,
    /// Users in the order in which their servers were handed over.
    handed_over: Mutex<Vec<String>>,
    profiles: Mutex<Vec<Profile>>,
    resumed: Mutex<Vec<StartRequest>>,
    /// What servers keep is not to be had just now, and how often it was asked for; nor does `find` answer.
    pub refuses_to_forget: AtomicBool,
    pub unreachable: AtomicBool,
    forgotten: Mutex<Vec<String>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// `settle`, `find` and `poll`, as the Hub calls them.
    looks: Mutex<Vec<&'static str>>,
    /// Servers leave the culler without an answer.
    pub starving: Arc<AtomicBool>,
    /// What each start says that it takes.
    pub needs: Mutex<Needs>,
    /// A stop waits for this.
    pub slow_stop: AtomicBool,
}

struct Running {
    port: u16,
    task: AbortHandle,
}

impl FakeSpawner {
    pub fn new(behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            behaviour: Mutex::new(behaviour),
            runtime: Handle::current(),
            running: Mutex::default(),
            requests: Mutex::default(),
            ended: broadcast::Sender::new(16),
            busy: Arc::default(),
            handed_over: Mutex::default(),
            profiles: Mutex::default(),
            resumed: Mutex::default(),
            refuses_to_forget: AtomicBool::default(),
            unreachable: AtomicBool::default(),
            forgotten: Mutex::default(),
            asked: Arc::default(),
            looks: Mutex::default(),
            starving: Arc::default(),
            needs: Mutex::default(),
            slow_stop: AtomicBool::default(),
        })
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// Whether `api/kernels` of every server, asked with a token, lists a busy kernel.
    pub fn compute(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// What users choose from.
    pub fn offer(&self, profiles: Vec<Profile>) {
        *self.profiles.lock().unwrap() = profiles;
    }

    /// The server dies by itself.
    pub fn kill_all(&self) {
        for (_, running) in self.running.lock().unwrap().drain() {
            running.task.abort();
        }
    }

    /// The servers die, and the spawner hears of it.
    pub fn end_all(&self) {
        let starts: Vec<String> = self.running.lock().unwrap().keys().cloned().collect();
        self.kill_all();
        for start in starts {
            self.ended.send(start).unwrap();
        }
    }

    /// A server of this start runs that no Hub knows of.
    pub async fn lose(&self, start_id: &str) {
        self.serve(start_id, Behaviour::Answers).await;
    }

    /// The latest server goes on at another port.
    pub async fn move_away(&self) {
        let start_id = self.requests().pop().unwrap().start_id;
        let old = self.running.lock().unwrap()[&start_id].task.clone();
        self.serve(&start_id, Behaviour::Answers).await;
        old.abort();
    }

    pub fn running(&self) -> usize {
        self.running.lock().unwrap().len()
    }

    /// What the Hub has asked for so far.
    pub fn requests(&self) -> Vec<StartRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// What a Hub has gone on with that did not begin it.
    pub fn resumed(&self) -> Vec<StartRequest> {
        self.resumed.lock().unwrap().clone()
    }

    /// `user/server` of each try to remove what a server kept.
    pub fn forgotten(&self) -> Vec<String> {
        self.forgotten.lock().unwrap().clone()
    }

    /// What servers were asked for with a token.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How the Hub has looked for servers so far.
    pub fn looks(&self) -> Vec<&'static str> {
        self.looks.lock().unwrap().clone()
    }

    fn note(&self, look: &'static str) {
        self.looks.lock().unwrap().push(look);
    }

    pub fn handed_over(&self) -> Vec<String> {
        self.handed_over.lock().unwrap().clone()
    }

    /// A variable of the environment of the latest server.
    pub fn variable(&self, name: &str) -> String {
        self.requests().last().unwrap().environment[name].clone()
    }

    async fn serve(&self, start_id: &str, behaviour: Behaviour) -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut requests = self.requests().into_iter();
        let request = requests.rfind(|request| request.start_id == start_id);
        let server = FakeServer {
            versioned: behaviour == Behaviour::Answers,
            busy: self.busy.clone(),
            starving: self.starving.clone(),
            asked: self.asked.clone(),
            environment: request.map(|request| request.environment),
        };
        let answer = async move |request: Request| server.answer(request).await;
        let task = self.runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            if behaviour == Behaviour::Silent {
                drop(listener);
                std::future::pending::<()>().await;
            } else {
                let _ = axum::serve(listener, Router::new().fallback(any(answer))).await;
            }
        });
        let running = Running {
            port,
            task: task.abort_handle(),
        };
        self.running
            .lock()
            .unwrap()
            .insert(start_id.to_owned(), running);
        port
    }
}

fn started(start_id: &str, port: u16) -> Started {
    let url = format!("http://127.0.0.1:{port}").parse().unwrap();
    Started {
        url,
        state: SpawnerState(json!({ "start_id": start_id, "port": port })),
    }
}

fn unreachable_cluster() -> Error {
    Error::Cluster {
        attempted: String::from("do that"),
        message: String::from("the API server does not answer"),
    }
}

fn id(state: &SpawnerState) -> &str {
    state.0["start_id"].as_str().unwrap()
}

#[async_trait]
impl Spawner for FakeSpawner {
    fn form(&self, groups: &[String]) -> Form {
        form(&self.profiles.lock().unwrap(), groups)
    }

    fn needs(&self, _: &StartRequest) -> Result<Needs, Error> {
        Ok(*self.needs.lock().unwrap())
    }

    async fn start(
        &self,
        request: &StartRequest,
        events: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len()
        };
        let behaviour = *self.behaviour.lock().unwrap();
        let _ = events.send(StartEvent::Progress {
            progress: 40,
            message: String::from("Fake progress"),
        });
        // As an API server does, which takes longer for some.
        tokio::time::sleep(Duration::from_millis(5 * (number as u64 % 4))).await;
        self.handed_over.lock().unwrap().push(request.user.clone());
        let _ = events.send(StartEvent::HandedOver);
        match behaviour {
            Behaviour::Refuses => return Err(Error::Start(String::from("there is no room left"))),
            Behaviour::Hangs => std::future::pending().await,
            _ => {}
        }
        let port = self.serve(&request.start_id, behaviour).await;
        let started = started(&request.start_id, port);
        let _ = events.send(StartEvent::State(started.state.clone()));
        if behaviour == Behaviour::Dies {
            self.kill_all();
        }
        Ok(started)
    }

    async fn forget(
        &self,
        user: &str,
        server: &str,
        _: Option<&SpawnerState>,
    ) -> Result<(), Error> {
        self.forgotten
            .lock()
            .unwrap()
            .push(format!("{user}/{server}"));
        match self.refuses_to_forget.load(Ordering::Relaxed) {
            true => Err(unreachable_cluster()),
            false => Ok(()),
        }
    }

    async fn settle(&self) {
        self.note("settle");
    }

    async fn find(&self, start_id: &str) -> Result<Option<SpawnerState>, Error> {
        self.note("find");
        if self.unreachable.load(Ordering::Relaxed) {
            return Err(unreachable_cluster());
        }
        let running = self.running.lock().unwrap();
        Ok(running
            .get(start_id)
            .map(|running| started(start_id, running.port).state))
    }

    async fn resume(
        &self,
        state: &SpawnerState,
        request: &StartRequest,
        _: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        self.resumed.lock().unwrap().push(request.clone());
        let port = state.0["port"].as_u64().unwrap();
        Ok(started(id(state), u16::try_from(port).unwrap()))
    }

    async fn running(&self) -> Result<Vec<String>, Error> {
        Ok(self.running.lock().unwrap().keys().cloned().collect())
    }

    fn ended(&self) -> Option<broadcast::Receiver<String>> {
        Some(self.ended.subscribe())
    }

    async fn poll(&self, state: &SpawnerState) -> Result<Poll, Error> {
        self.note("poll");
        let running = self.running.lock().unwrap();
        Ok(match running.get(id(state)) {
            Some(running) if state.0["port"] != running.port => {
                let Started { url, state } = started(id(state), running.port);
                Poll::Moved { url, state }
            }
            Some(_) => Poll::Running,
            None => Poll::Stopped {
                reason: String::from("The server exited with status 3\nlast line of the log"),
            },
        })
    }

    async fn stop(&self, state: &SpawnerState) -> Result<(), Error> {
        while self.slow_stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Some(running) = self.running.lock().unwrap().remove(id(state)) {
            running.task.abort();
        }
        Ok(())
    }

    async fn log_tail(&self, _: &SpawnerState, _: usize) -> String {
        String::from("last line of the log")
    }
}
