//! Reports of a rank over HTTP, to the operator that started it. A thread of its own sends them, so that nothing that
//! the address does or does not do slows training down or ends it.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carrel_ranks::{Environment, lock};
use carrel_report::{
    ATTEMPT_VARIABLE, JOB_VARIABLE, RankState, RankStatus, Report, SIGNATURE_HEADER,
    TOKEN_VARIABLE, URL_VARIABLE, sign,
};

use super::secret;
use crate::http::{self, variable};
use crate::trainer::{Epoch, History, Step, Watcher};

/// Between two reports, unless an epoch ends.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one report may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the last one, with the reason of a failure, may be tried.
const LAST: Duration = Duration::from_secs(5);

/// Where reports go, and how they show that they are the job's.
#[derive(Clone)]
pub struct ReportTo {
    /// `{rank}` in it stands for the rank's number.
    pub url: String,
    pub token: Option<String>,
    pub secret: Vec<u8>,
    /// The id of the job, and how often it was started.
    pub job: String,
    pub attempt: u64,
}

impl ReportTo {
    /// From the process's variables; None where no address is given.
    pub fn from_process() -> Option<Self> {
        Some(Self {
            url: variable(URL_VARIABLE)?,
            token: variable(TOKEN_VARIABLE),
            secret: secret(),
            job: variable(JOB_VARIABLE).unwrap_or_default(),
            attempt: variable(ATTEMPT_VARIABLE).map_or(0, |text| text.parse().unwrap_or(0)),
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
    pub fn start(mut to: ReportTo, environment: &Environment) -> Self {
        to.url = to.url.replace("{rank}", &environment.rank.to_string());
        let shared = Arc::new(Shared::default());
        shared.change(true, |_| {});
        let mut sender = Sender {
            shared: shared.clone(),
            agent: http::agent().timeout_global(Some(PATIENCE)).build().into(),
            report: Report {
                job: to.job.clone(),
                attempt: to.attempt,
                rank: environment.rank,
                world: environment.world,
                task: environment.task.map(|task| task.to_string()),
                begun: now(),
                ..Report::default()
            },
            to,
            complained: false,
        };
        thread::spawn(move || sender.run());
        Self { shared }
    }

    /// For the trainer.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(Watching(self.shared.clone()))
    }

    /// Says that the rank has come to its work.
    pub fn begin(&self) {
        self.shared
            .change(true, |news| news.status.state = RankState::Running);
    }

    /// Says how the rank ended, and waits a few seconds until that is sent.
    pub fn end(&self, state: RankState, reason: Option<String>) {
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
        self.report.time = now();
        self.report.sequence += 1;
        let body = serde_json::to_vec(&self.report).map_err(|error| error.to_string())?;
        let mut request = http::request("POST", &self.to.url, self.to.token.as_deref());
        if !self.to.secret.is_empty() {
            request = request.header(SIGNATURE_HEADER, sign(&self.to.secret, &body));
        }
        let request = request.body(body).map_err(|error| error.to_string())?;
        let response = self.agent.run(request);
        response.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Now, in milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}
