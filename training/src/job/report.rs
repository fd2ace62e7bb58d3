//! Reports of a rank over HTTP, to the operator that started it. A thread of its own sends them, so that nothing that
//! the address does or does not do slows training down or ends it.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carrel_ranks::{Environment, lock};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::http::{self, variable};
use super::{RankState, RankStatus, secret};
use crate::trainer::{Epoch, History, Step, Watcher};

/// Where a rank reports to.
pub const URL_VARIABLE: &str = "CARREL_STATUS_URL";
/// Sent with each report.
pub const TOKEN_VARIABLE: &str = "CARREL_STATUS_TOKEN";
/// The signature of a report's body by the job's secret, as `sha256=` and hexadecimal digits.
const SIGNATURE_HEADER: &str = "X-Carrel-Signature-256";
/// Between two reports, unless an epoch ends.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one report may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the last one, with the reason of a failure, may be tried.
const LAST: Duration = Duration::from_secs(5);

/// What a rank posts, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub rank: usize,
    /// The number of ranks.
    pub world: usize,
    /// The task of TF_CONFIG, such as `ps 0`.
    pub task: Option<String>,
    /// Milliseconds since 1970: an older report than another came late, or was sent by somebody else.
    pub time: u64,
    pub status: RankStatus,
}

/// Where reports go, and how they show that they are the job's.
#[derive(Clone)]
pub struct ReportTo {
    pub url: String,
    pub token: Option<String>,
    pub secret: Vec<u8>,
}

impl ReportTo {
    /// From the process's variables; None where no address is given.
    pub fn from_process() -> Option<Self> {
        Some(Self {
            url: variable(URL_VARIABLE)?,
            token: variable(TOKEN_VARIABLE),
            secret: secret(),
        })
    }
}

/// Sends the newest status of this rank.
pub struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    news: Mutex<News>,
    told: Condvar,
}

#[derive(Default)]
struct News {
    status: RankStatus,
    /// Not sent yet.
    is_new: bool,
    /// Not to wait for the pause.
    urgent: bool,
    ended: bool,
    /// Nothing more will be sent.
    finished: bool,
}

impl Reporter {
    pub fn start(to: ReportTo, environment: &Environment) -> Self {
        let shared = Arc::new(Shared::default());
        shared.change(true, |_| {});
        let mut sender = Sender {
            shared: shared.clone(),
            agent: http::agent().timeout_global(Some(PATIENCE)).build().into(),
            to,
            report: Report {
                rank: environment.rank,
                world: environment.world,
                task: environment.task.map(|task| task.to_string()),
                time: 0,
                status: RankStatus::default(),
            },
            complained: false,
        };
        thread::spawn(move || sender.run());
        Self { shared }
    }

    /// For the trainer.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(Watching(self.shared.clone()))
    }

    /// Says how the rank ended, and waits a few seconds until that is sent.
    pub fn end(self, state: RankState, reason: Option<String>) {
        self.shared.change(true, |news| {
            (news.status.state, news.status.reason) = (state, reason);
            news.ended = true;
        });
        let news = lock(&self.shared.news);
        let told = &self.shared.told;
        // Whether it was sent or not was said by the thread.
        let _ = told.wait_timeout_while(news, LAST + PATIENCE, |news| !news.finished);
    }
}

impl Shared {
    fn change(&self, urgent: bool, change: impl FnOnce(&mut News)) {
        let mut news = lock(&self.news);
        change(&mut news);
        news.is_new = true;
        news.urgent |= urgent;
        self.told.notify_all();
    }

    /// Waits for something to send: the status, and whether it is the last one.
    fn next(&self, sent: Option<Instant>) -> (RankStatus, bool) {
        let mut news = lock(&self.news);
        loop {
            let rest = sent.map_or(Duration::ZERO, |sent| PAUSE.saturating_sub(sent.elapsed()));
            if news.is_new && (news.urgent || rest.is_zero()) {
                (news.is_new, news.urgent) = (false, false);
                return (news.status.clone(), news.ended);
            }
            let pause = if news.is_new { rest } else { PAUSE };
            let waited = self.told.wait_timeout(news, pause);
            (news, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

struct Watching(Arc<Shared>);

impl Watcher for Watching {
    fn step(&mut self, step: &Step) {
        self.0.change(false, |news| news.status.step(step));
    }

    fn epoch(&mut self, number: usize, epoch: &Epoch) {
        self.0.change(true, |news| news.status.epoch(number, epoch));
    }

    fn end(&mut self, history: &History) {
        self.0.change(true, |news| news.status.end(history));
    }
}

struct Sender {
    shared: Arc<Shared>,
    agent: ureq::Agent,
    to: ReportTo,
    report: Report,
    complained: bool,
}

impl Sender {
    fn run(&mut self) {
        let mut sent = None;
        loop {
            let (status, last) = self.shared.next(sent);
            sent = Some(Instant::now());
            self.report.status = status;
            let mut result = self.send();
            while last
                && http::check(&self.to.url).is_ok()
                && result.is_err()
                && sent.is_some_and(|begun| begun.elapsed() < LAST)
            {
                thread::sleep(PAUSE / 4);
                result = self.send();
            }
            if let (Err(reason), false) = (&result, self.complained) {
                // Once: an operator may be away for long.
                self.complained = true;
                let url = &self.to.url;
                eprintln!("cannot report to {url}, but training goes on: {reason}");
            }
            if last {
                lock(&self.shared.news).finished = true;
                self.shared.told.notify_all();
                return;
            }
        }
    }

    fn send(&mut self) -> Result<(), String> {
        http::check(&self.to.url)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.report.time = now.map_or(0, |now| now.as_millis() as u64);
        let body = serde_json::to_vec(&self.report).map_err(|error| error.to_string())?;
        let mut request = http::request("POST", &self.to.url, self.to.token.as_deref());
        if !self.to.secret.is_empty() {
            request = request.header(SIGNATURE_HEADER, signature(&self.to.secret, &body)?);
        }
        let request = request.body(body).map_err(|error| error.to_string())?;
        let response = self.agent.run(request);
        response.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Shows that a body is of somebody who knows the secret.
fn signature(secret: &[u8], body: &[u8]) -> Result<String, String> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret);
    let mut mac = mac.map_err(|error| error.to_string())?;
    mac.update(body);
    let digits = hex::encode(mac.finalize().into_bytes());
    Ok(format!("sha256={digits}"))
}
