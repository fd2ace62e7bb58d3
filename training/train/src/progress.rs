//! Progress of a job for the operator that runs it, as Kubeflow's TrainJobs report it (KEP-2779). Rank 0 alone reports. A
//! thread of its own sends it: whatever becomes of that, training goes on.

mod post;

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use carrel_training::job::news::{News, Pace};
use carrel_training::job::{RankState, RankStatus};
use carrel_training::ranks::Environment;
use carrel_training::trainer::Watcher;
use serde_json::{Value, json};

/// Where it goes, whom to believe about that, and what to show; the last two are files.
const URL: &str = "KUBEFLOW_TRAINER_SERVER_URL";
const AUTHORITY: &str = "KUBEFLOW_TRAINER_SERVER_CA_CERT";
const TOKEN: &str = "KUBEFLOW_TRAINER_SERVER_TOKEN";
/// Each report is a change of the job, of which all who watch it hear.
const PACE: Pace = Pace {
    pause: Duration::from_secs(10),
    urgent: Duration::from_secs(1),
};
/// How long the last one is waited for.
const LAST: Duration = Duration::from_secs(5);

/// Sends the newest status of the job.
pub struct Progress {
    news: Arc<News>,
}

impl Progress {
    /// Of rank 0, where there is somebody to report to.
    pub fn from_process(environment: &Environment) -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = variable(URL).filter(|_| environment.rank == 0)?;
        let news = Arc::new(News::default());
        let sender = Sender {
            news: Arc::clone(&news),
            url,
            authority: variable(AUTHORITY).unwrap_or_default(),
            token: variable(TOKEN).unwrap_or_default(),
        };
        thread::spawn(move || sender.run());
        Some(Self { news })
    }

    /// For the trainer.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        self.news.watcher()
    }

    /// Says how it ended, and waits a few seconds until that is sent.
    pub fn end(&self, state: RankState) {
        self.news.end(LAST, |status| status.state = state);
    }
}

struct Sender {
    news: Arc<News>,
    url: String,
    authority: String,
    token: String,
}

impl Sender {
    fn run(&self) {
        let (mut sent, mut has_complained) = (None, false);
        loop {
            let (status, is_last) = self.news.next(sent, PACE);
            sent = Some(Instant::now());
            if let (Err(reason), false) = (self.send(&status), has_complained) {
                // Once: an operator may be away for long.
                has_complained = true;
                let url = &self.url;
                eprintln!("cannot report progress to {url}, but training goes on: {reason}");
            }
            if is_last {
                self.news.finish();
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
