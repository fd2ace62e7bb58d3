//! Reports of a rank over HTTP, to the operator that started it. A thread of its own sends them, so that nothing that
//! the address does or does not do slows training down or ends it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carrel_ranks::Environment;
use carrel_report::{
    ATTEMPT_VARIABLE, JOB_VARIABLE, RankState, Report, SIGNATURE_HEADER, TOKEN_VARIABLE,
    URL_VARIABLE, sign,
};

use super::news::{News, Pace};
use super::secret;
use crate::http::{self, variable};
use crate::trainer::Watcher;

/// Between two reports, unless an epoch ends.
const PAUSE: Duration = Duration::from_secs(1);
const PACE: Pace = Pace {
    pause: PAUSE,
    urgent: Duration::ZERO,
};
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
    news: Arc<News>,
}

impl Reporter {
    pub fn start(mut to: ReportTo, environment: &Environment) -> Self {
        to.url = to.url.replace("{rank}", &environment.rank.to_string());
        let news = Arc::new(News::default());
        news.change(true, |_| {});
        let mut sender = Sender {
            news: Arc::clone(&news),
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
        Self { news }
    }

    /// For the trainer.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        self.news.watcher()
    }

    /// Says that the rank has come to its work.
    pub fn begin(&self) {
        self.news
            .change(true, |status| status.state = RankState::Running);
    }

    /// Says how the rank ended, and waits a few seconds until that is sent.
    pub fn end(&self, state: RankState, reason: Option<String>) {
        self.news.end(LAST + PATIENCE, |status| {
            (status.state, status.reason) = (state, reason);
        });
    }
}

struct Sender {
    news: Arc<News>,
    agent: ureq::Agent,
    to: ReportTo,
    report: Report,
    complained: bool,
}

impl Sender {
    fn run(&mut self) {
        let mut sent = None;
        loop {
            let (status, last) = self.news.next(sent, PACE);
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
                self.news.finish();
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
