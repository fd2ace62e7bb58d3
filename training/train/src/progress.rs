//! Progress of a job for the operator that runs it, as Kubeflow's TrainJobs report it (KEP-2779). Rank 0 alone reports. A
//! thread of its own sends it: whatever becomes of that, training goes on.

mod post;

use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use carrel_training::job::{RankState, RankStatus};
use carrel_training::ranks::Environment;
use carrel_training::trainer::{Epoch, History, Step, Watcher};
use serde_json::{Value, json};

/// Where it goes, whom to believe about that, and what to show; the last two are files.
const URL: &str = "KUBEFLOW_TRAINER_SERVER_URL";
const AUTHORITY: &str = "KUBEFLOW_TRAINER_SERVER_CA_CERT";
const TOKEN: &str = "KUBEFLOW_TRAINER_SERVER_TOKEN";
/// Between two reports, unless an epoch ends: each is a change of the job, of which all who watch it hear.
const PAUSE: Duration = Duration::from_secs(10);
/// Between two reports in any case.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long the last one is waited for.
const LAST: Duration = Duration::from_secs(5);

/// Sends the newest status of the job.
pub struct Progress {
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
    /// Not to wait for the whole pause.
    is_urgent: bool,
    has_ended: bool,
    /// Nothing more will be sent.
    is_finished: bool,
}

impl Progress {
    /// Of rank 0, where there is somebody to report to.
    pub fn from_process(environment: &Environment) -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = variable(URL).filter(|_| environment.rank == 0)?;
        let shared = Arc::new(Shared::default());
        let sender = Sender {
            shared: Arc::clone(&shared),
            url,
            authority: variable(AUTHORITY).unwrap_or_default(),
            token: variable(TOKEN).unwrap_or_default(),
        };
        thread::spawn(move || sender.run());
        Some(Self { shared })
    }

    /// For the trainer.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(Watching(Arc::clone(&self.shared)))
    }

    /// Says how it ended, and waits a few seconds until that is sent.
    pub fn end(&self, state: RankState) {
        self.shared.change(true, |news| {
            news.status.state = state;
            news.has_ended = true;
        });
        let news = self.shared.lock();
        let told = &self.shared.told;
        // Whether it was sent was said by the thread.
        let _ = told.wait_timeout_while(news, LAST, |news| !news.is_finished);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, is_urgent: bool, change: impl FnOnce(&mut News)) {
        let mut news = self.lock();
        change(&mut news);
        news.is_new = true;
        news.is_urgent |= is_urgent;
        self.told.notify_all();
    }

    /// Waits for something to send: the status, and whether it is the last one.
    fn next(&self, sent: Option<Instant>) -> (RankStatus, bool) {
        let mut news = self.lock();
        loop {
            let pause = match (news.has_ended, news.is_urgent) {
                (true, _) => Duration::ZERO,
                (false, true) => SHORTEST,
                (false, false) => PAUSE,
            };
            let left = sent.map_or(Duration::ZERO, |sent| pause.saturating_sub(sent.elapsed()));
            if news.is_new && left.is_zero() {
                (news.is_new, news.is_urgent) = (false, false);
                return (news.status.clone(), news.has_ended);
            }
            let wait = if news.is_new { left } else { PAUSE };
            let waited = self.told.wait_timeout(news, wait);
            (news, _) = waited.unwrap_or_else(PoisonError::into_inner);
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
    url: String,
    authority: String,
    token: String,
}

impl Sender {
    fn run(&self) {
        let (mut sent, mut has_complained) = (None, false);
        loop {
            let (status, is_last) = self.shared.next(sent);
            sent = Some(Instant::now());
            if let (Err(reason), false) = (self.send(&status), has_complained) {
                // Once: an operator may be away for long.
                has_complained = true;
                let url = &self.url;
                eprintln!("cannot report progress to {url}, but training goes on: {reason}");
            }
            if is_last {
                self.shared.lock().is_finished = true;
                self.shared.told.notify_all();
                return;
            }
        }
    }

    fn send(&self, status: &RankStatus) -> Result<(), String> {
        let read = |path: &str| fs::read(path).map_err(|error| format!("{path:?}: {error}"));
        // Each time: its node renews the token.
        let (authority, token) = (read(&self.authority)?, read(&self.token)?);
        let body = json!({ "trainerStatus": report(status) }).to_string();
        let token = String::from_utf8_lossy(&token);
        post::post(&self.url, &authority, token.trim(), &body)
    }
}

/// In the shape of `status.trainerStatus`.
fn report(status: &RankStatus) -> Value {
    let metric = |name: &str, value: String| json!({ "name": name, "value": value });
    let mut metrics = Vec::new();
    if status.epochs > 0 {
        metrics.push(metric("epoch", status.epoch.to_string()));
    }
    if let Some(loss) = status.loss {
        metrics.push(metric("loss", loss.to_string()));
    }
    if let Some(accuracy) = status.accuracy {
        metrics.push(metric("accuracy", accuracy.to_string()));
    }
    let mut report = json!({
        "progressPercentage": (status.done() * 100.0).floor() as i32,
        "metrics": metrics,
        "lastUpdatedTime": format!("{:.0}", jiff::Timestamp::now()),
    });
    if let Some(left) = status.seconds_left() {
        report["estimatedRemainingSeconds"] = json!(left.round() as i32);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_how_far_it_is() {
        let mut status = RankStatus {
            state: RankState::Running,
            epoch: 1,
            epochs: 4,
            batch: 5,
            batches: 10,
            loss: Some(0.25),
            seconds: 30.0,
            begun_at: Some(0.0),
            ..RankStatus::default()
        };
        let said = report(&status);
        assert_eq!(said["progressPercentage"], 37);
        assert_eq!(said["estimatedRemainingSeconds"], 50);
        let metrics =
            json!([{ "name": "epoch", "value": "1" }, { "name": "loss", "value": "0.25" }]);
        assert_eq!(said["metrics"], metrics);
        let time = said["lastUpdatedTime"].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
        status.state = RankState::Succeeded;
        assert_eq!(report(&status)["progressPercentage"], 100);
        assert_eq!(report(&RankStatus::default())["metrics"], json!([]));
    }
}
