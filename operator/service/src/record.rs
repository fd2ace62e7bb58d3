//! What the service knows of a job, and how that is kept: in a ConfigMap of the job's name, which owns all other objects
//! of the job.

use carrel_report::{Description, JobView, ObjectFile, Order, RankState, RankStatus, Work};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Of all objects of this service.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const SERVICE: &str = "carrel-jobs-service";
/// The job's id, on its pods too.
pub const ID_LABEL: &str = "carrel.dev/job";
pub const ATTEMPT_LABEL: &str = "carrel.dev/attempt";
/// The user, as names of servers hold it.
pub const USER_LABEL: &str = "carrel.dev/user";

/// Keys of the ConfigMap.
const JOB: &str = "job.json";
const RANKS: &str = "ranks.json";
/// More of the ranks is not kept over a restart: etcd takes objects of 1.5 MB.
const LARGEST: usize = 400_000;
/// What is kept of losses then.
const FEW: usize = 100;

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: String,
    /// Of the ConfigMap; None before there is one.
    pub uid: Option<String>,
    /// Since when there is one, where this process has made it; milliseconds since 1970.
    pub made_at: u64,
    pub kept: Kept,
    pub ranks: Vec<Rank>,
    /// What the job waits for, for people.
    pub message: Option<String>,
    /// Whether the ConfigMap says less than this.
    pub is_changed: bool,
    /// Pods of all its attempts that go on, as the watch has told.
    pub pods: usize,
    /// Since when all ranks are known to have ended, as far as this process knows; milliseconds since 1970.
    pub over_since: Option<u64>,
}

/// What is written down before it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub user: String,
    pub description: Description,
    /// Milliseconds since 1970.
    pub submitted: u64,
    /// How often it was started, and when the last time.
    pub attempt: u64,
    pub started: u64,
    /// The attempt whose object was made.
    pub made: u64,
    /// When the attempt was cancelled.
    pub cancelled: Option<u64>,
}

/// How a rank stands, and by which report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    pub order: Order,
    pub status: RankStatus,
}

/// The files that ranks need for this work.
pub fn objects(work: &Work) -> Vec<ObjectFile> {
    let Work::Function(function) = work else {
        return Vec::new();
    };
    let objects = function.get("objects").cloned().unwrap_or_default();
    serde_json::from_value(objects).unwrap_or_default()
}

/// How a rank ended that can no longer say it itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub rank: usize,
    pub state: RankState,
    pub reason: Option<String>,
}

impl Record {
    pub fn new(id: String, user: &str, description: Description, now: u64) -> Self {
        let ranks = vec![Rank::default(); description.ranks];
        Self {
            id,
            uid: None,
            made_at: 0,
            kept: Kept {
                user: user.to_owned(),
                description,
                submitted: now,
                attempt: 1,
                started: now,
                made: 0,
                cancelled: None,
            },
            ranks,
            message: None,
            is_changed: false,
            pods: 0,
            over_since: None,
        }
    }

    /// Whether it holds something of the cluster: ranks say themselves that they have ended, and their pods may go on.
    pub fn is_running(&self) -> bool {
        !self.is_over() || self.pods > 0
    }

    /// How many ranks of it count as running.
    pub fn running_ranks(&self) -> usize {
        match self.is_over() {
            true => self.pods,
            false => self.pods.max(self.ranks.len()),
        }
    }

    pub fn is_over(&self) -> bool {
        self.ranks.iter().all(|rank| rank.status.state.is_final())
    }

    /// The object of the present attempt.
    pub fn object(&self) -> String {
        format!("{}-{}", self.id, self.kept.attempt)
    }

    /// Begins the next attempt. What the ranks did before is shown until they say more.
    pub fn begin_again(&mut self, now: u64) {
        self.kept.attempt += 1;
        self.kept.started = now;
        self.kept.cancelled = None;
        self.over_since = None;
        for rank in &mut self.ranks {
            rank.order = Order::default();
            rank.status.state = RankState::Starting;
            rank.status.reason = None;
        }
        self.message = None;
        self.is_changed = true;
    }

    /// The same end for all ranks that go on.
    pub fn all(&self, state: RankState, reason: Option<&str>) -> Vec<End> {
        let going = |(_, rank): &(usize, &Rank)| !rank.status.state.is_final();
        let ranks = self.ranks.iter().enumerate().filter(going);
        let end = |(rank, _)| End {
            rank,
            state,
            reason: reason.map(str::to_owned),
        };
        ranks.map(end).collect()
    }

    /// Notes the end of ranks. What they said last themselves counts more.
    pub fn end(&mut self, ends: &[End]) {
        for end in ends {
            let Some(rank) = self.ranks.get_mut(end.rank) else {
                continue;
            };
            if !rank.status.state.is_final() {
                rank.status.state = end.state;
                rank.status.reason.clone_from(&end.reason);
                self.is_changed = true;
            }
        }
    }

    pub fn view(&self) -> JobView {
        JobView {
            id: self.id.clone(),
            description: self.kept.description.clone(),
            started: Some(self.kept.started),
            attempt: self.kept.attempt,
            status: carrel_report::JobStatus {
                id: self.id.clone(),
                message: self.message.clone().filter(|_| !self.is_over()),
                ranks: self.ranks.iter().map(|rank| rank.status.clone()).collect(),
            },
        }
    }

    /// The fields of the ConfigMap that change.
    pub fn data(&self) -> Value {
        let job = serde_json::to_string(&self.kept).unwrap_or_default();
        let mut ranks = serde_json::to_string(&self.ranks).unwrap_or_default();
        if ranks.len() > LARGEST {
            let mut shorter = self.ranks.clone();
            for rank in &mut shorter {
                rank.status.losses.truncate(FEW);
            }
            ranks = serde_json::to_string(&shorter).unwrap_or_default();
        }
        json!({ JOB: job, RANKS: ranks })
    }

    /// What a ConfigMap says; None where it is no job's.
    pub fn read(map: &ConfigMap) -> Option<Self> {
        let data = map.data.as_ref()?;
        let kept: Kept = serde_json::from_str(data.get(JOB)?).ok()?;
        let ranks = data.get(RANKS).map_or("", String::as_str);
        let mut ranks: Vec<Rank> = serde_json::from_str(ranks).unwrap_or_default();
        ranks.resize(kept.description.ranks, Rank::default());
        Some(Self {
            id: map.metadata.name.clone()?,
            uid: Some(map.metadata.uid.clone()?),
            made_at: 0,
            kept,
            ranks,
            message: None,
            is_changed: false,
            pods: 0,
            over_since: None,
        })
    }
}
