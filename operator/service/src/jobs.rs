//! All jobs, and what is done with them. What a user wants is written down on the cluster before it is done, so that a
//! service that ends in the midst of it goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use carrel_report::{Description, JobView};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::answer::Refusal;
use crate::objects::{self, Settings};
use crate::options::Quotas;
use crate::record::{Record, objects as objects_of};
use crate::submission;
use crate::turns::Turns;

/// What is asked of the cluster.
#[derive(Clone)]
pub struct Apis {
    pub records: Api<ConfigMap>,
    pub secrets: Api<Secret>,
    pub pods: Api<Pod>,
    pub objects: Api<DynamicObject>,
}

/// The kind of the objects that the operator runs.
pub fn resource() -> ApiResource {
    let (group, version) = objects::API_VERSION
        .split_once('/')
        .unwrap_or(("", objects::API_VERSION));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, objects::KIND))
}

impl Apis {
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self {
            records: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            objects: Api::namespaced_with(client.clone(), namespace, &resource()),
        }
    }
}

pub struct Jobs {
    pub apis: Apis,
    pub settings: Settings,
    pub quotas: Quotas,
    pub changed: Arc<Notify>,
    records: Mutex<Option<BTreeMap<String, Record>>>,
    /// Jobs that were deleted while they ran, until their pods are gone.
    leaving: Mutex<Vec<Record>>,
    /// One write at a time, so that none overtakes another.
    writing: tokio::sync::Mutex<()>,
    /// Requests of users, and of the ranks of their jobs.
    pub asking: Turns,
    pub reporting: Turns,
}

impl Jobs {
    pub fn new(apis: Apis, settings: Settings, quotas: Quotas, changed: Arc<Notify>) -> Self {
        Self {
            apis,
            settings,
            quotas,
            changed,
            records: Mutex::new(None),
            leaving: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            asking: Turns::of_users(),
            reporting: Turns::of_ranks(&quotas),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all jobs were read once.
    pub fn is_ready(&self) -> bool {
        self.lock().is_some()
    }

    /// Does something with all jobs, once they were read.
    ///
    /// # Errors
    /// Before they were.
    fn with<T>(
        &self,
        what: impl FnOnce(&mut BTreeMap<String, Record>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match self.lock().as_mut() {
            Some(records) => what(records),
            None => Err(Refusal::away("the service has not read all jobs yet")),
        }
    }

    /// Does something with a job that exists.
    ///
    /// # Errors
    /// Where there is none of this id.
    pub fn with_job<T>(
        &self,
        id: &str,
        what: impl FnOnce(&mut Record) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.with(|records| {
            let record = records.get_mut(id).filter(|record| record.uid.is_some());
            what(record.ok_or_else(|| Refusal::no_job(id))?)
        })
    }

    /// The same with a job of a user; those of others are not there.
    ///
    /// # Errors
    /// Where there is none.
    pub fn with_own<T>(
        &self,
        user: &str,
        id: &str,
        what: impl FnOnce(&mut Record) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.with_job(id, |record| match record.kept.user == user {
            true => what(record),
            false => Err(Refusal::no_job(id)),
        })
    }

    /// Whether a job is a user's.
    pub fn is_of(&self, user: &str, id: &str) -> bool {
        self.with_own(user, id, |_| Ok(())).is_ok()
    }

    /// The digests of all objects that jobs of a user need: of those that run, or may be resumed.
    ///
    /// # Errors
    /// Before all jobs were read.
    pub fn used_objects(&self, user: &str) -> Result<HashSet<String>, Refusal> {
        let may_resume = self.settings.claim.is_some();
        self.with(|records| {
            let own = records.values().filter(|record| record.kept.user == user);
            let own = own.filter(|record| may_resume || !record.is_over());
            let objects = own.flat_map(|record| objects_of(&record.kept.description.work));
            Ok(objects.map(|object| object.sha256).collect())
        })
    }

    /// The ids of all jobs that something may become of.
    pub fn alive(&self) -> Vec<String> {
        let records = self.lock();
        let records = records.iter().flatten().map(|(_, record)| record);
        let alive = records.filter(|record| {
            let is_alive = record.is_running() || record.is_changed;
            record.uid.is_some() && is_alive
        });
        alive.map(|record| record.id.clone()).collect()
    }

    /// All jobs of a user, oldest first.
    ///
    /// # Errors
    /// Before all were read.
    pub fn list(&self, user: &str) -> Result<Vec<JobView>, Refusal> {
        self.with(|records| {
            let own = records.values().filter(|record| record.kept.user == user);
            let mut own: Vec<_> = own.filter(|record| record.uid.is_some()).collect();
            own.sort_by_key(|record| record.kept.submitted);
            Ok(own.into_iter().map(Record::view).collect())
        })
    }

    /// What there was at a time, in milliseconds since 1970; jobs that were made since stay.
    pub fn set_all(&self, listed: Vec<Record>, begun: u64) {
        let mut records = self.lock();
        let records = records.get_or_insert_default();
        let uids: Vec<_> = listed.iter().filter_map(|one| one.uid.clone()).collect();
        records.retain(|_, record| {
            let is_there = |uid: &String| uids.contains(uid);
            record.uid.as_ref().is_none_or(is_there) || record.made_at >= begun
        });
        for record in listed {
            records.entry(record.id.clone()).or_insert(record);
        }
        self.changed.notify_one();
    }

    pub fn add_unknown(&self, record: Record) {
        let mut records = self.lock();
        if let Some(records) = records.as_mut() {
            records.entry(record.id.clone()).or_insert(record);
            self.changed.notify_one();
        }
    }

    pub fn forget(&self, uid: &str) {
        if let Some(records) = self.lock().as_mut() {
            records.retain(|_, record| record.uid.as_deref() != Some(uid));
        }
    }

    /// Starts a job.
    ///
    /// # Errors
    /// When the user may have no more, or the cluster does not take it.
    pub async fn submit(&self, user: &str, description: Description) -> Result<JobView, Refusal> {
        let id = submission::id(&description.name);
        let record = self.with(|records| {
            self.allow(records, user, description.ranks, true)?;
            let record = Record::new(id.clone(), user, description, now());
            // It counts from now on, and is shown once it is written down.
            records.insert(id.clone(), record.clone());
            Ok(record)
        })?;
        let made = match self.write_first(&record).await {
            Ok(made) => made,
            Err(refusal) => {
                self.drop_record(&id);
                // It may have been written though nobody was told so; it is nobody's then.
                if refusal.status.is_server_error() {
                    let background = DeleteParams::background();
                    let _ = self.apis.records.delete(&id, &background).await;
                }
                return Err(refusal);
            }
        };
        self.with(|records| {
            if let Some(record) = records.get_mut(&id) {
                record.uid.clone_from(&made.metadata.uid);
                record.made_at = now();
            }
            Ok(())
        })?;
        if let Err(refusal) = self.make(&id).await {
            // It would be made by and by; who was told that it was refused does not wait for it.
            self.take_away(&id).await?;
            return Err(refusal);
        }
        tracing::info!(id, user, "The job {id} was submitted");
        self.with_job(&id, |record| Ok(record.view()))
    }

    async fn write_first(&self, record: &Record) -> Result<ConfigMap, Refusal> {
        let map = object(objects::record(record))?;
        let parameters = PostParams::default();
        Ok(self.apis.records.create(&parameters, &map).await?)
    }

    fn drop_record(&self, id: &str) -> Option<Record> {
        self.lock().as_mut()?.remove(id)
    }

    /// Makes the object of the present attempt, unless it is there.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub async fn make(&self, id: &str) -> Result<(), Refusal> {
        let record = self.with_job(id, |record| Ok(record.clone()))?;
        let parameters = PostParams::default();
        let secret = object::<Secret>(objects::secret(&record, &self.settings))?;
        unless_there(self.apis.secrets.create(&parameters, &secret).await)?;
        let job = object::<DynamicObject>(objects::job(&record, &self.settings))?;
        unless_there(self.apis.objects.create(&parameters, &job).await)?;
        let attempt = record.kept.attempt;
        self.with_job(id, |record| {
            record.kept.made = record.kept.made.max(attempt);
            record.is_changed = true;
            Ok(())
        })?;
        self.write(id).await
    }

    /// Asks all ranks to write a checkpoint and end.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub async fn cancel(&self, user: &str, id: &str) -> Result<(), Refusal> {
        self.with_own(user, id, |record| {
            if !record.is_over() && record.kept.cancelled.is_none() {
                record.kept.cancelled = Some(now());
                record.is_changed = true;
            }
            Ok(())
        })?;
        self.write(id).await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Starts a job that has ended again.
    ///
    /// # Errors
    /// When it runs, has nothing to go on from, or the user may have no more.
    pub async fn resume(&self, user: &str, id: &str) -> Result<(), Refusal> {
        let before = self.with(|records| {
            let record = records.get(id).filter(|record| record.kept.user == user);
            let record = record.filter(|record| record.uid.is_some());
            let record = record.ok_or_else(|| Refusal::no_job(id))?.clone();
            if !record.is_over() {
                return Err(Refusal::conflict(format!(
                    "the job {id} still runs: cancel it first, or wait for its end"
                )));
            }
            if self.settings.claim.is_none() {
                return Err(Refusal::conflict(format!(
                    "the job {id} has no checkpoint to go on from: it went with the pod of rank 0, as this service has \
                     no volume for checkpoints (--claim)"
                )));
            }
            self.allow(records, user, record.ranks.len(), false)?;
            if let Some(record) = records.get_mut(id) {
                record.begin_again(now());
            }
            Ok(record)
        })?;
        if let Err(refusal) = self.write(id).await {
            // Nobody knows of it.
            return self.with_job(id, |record| {
                *record = before;
                Err(refusal)
            });
        }
        let (old, background) = (before.object(), DeleteParams::background());
        unless_gone(self.apis.objects.delete(&old, &background).await)?;
        self.make(id).await
    }

    /// Ends a job that runs, and forgets it.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub async fn delete(&self, user: &str, id: &str) -> Result<(), Refusal> {
        self.with_own(user, id, |_| Ok(()))?;
        self.take_away(id).await
    }

    async fn take_away(&self, id: &str) -> Result<(), Refusal> {
        // All other objects are owned by it.
        let background = DeleteParams::background();
        unless_gone(self.apis.records.delete(id, &background).await)?;
        let record = self.drop_record(id);
        let record = record.filter(Record::is_running);
        self.lock_leaving().extend(record);
        self.changed.notify_one();
        Ok(())
    }

    fn lock_leaving(&self) -> MutexGuard<'_, Vec<Record>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a user may start a job of so many ranks.
    fn allow(
        &self,
        records: &BTreeMap<String, Record>,
        user: &str,
        ranks: usize,
        is_new: bool,
    ) -> Result<(), Refusal> {
        let is_own = |record: &&Record| record.kept.user == user;
        let leaving = self.lock_leaving();
        let leaving = leaving.iter().filter(is_own);
        let own = records.values().filter(is_own);
        submission::allow(&self.quotas, own, leaving, ranks, is_new)
    }

    /// Counts deleted jobs no more that have no pods.
    pub fn let_go(&self, has_pods: impl Fn(&Record) -> bool) {
        self.lock_leaving().retain(has_pods);
    }

    /// Notes how many pods of each job go on.
    pub fn count_pods(&self, going: &HashMap<String, usize>) {
        for (id, record) in self.lock().iter_mut().flatten() {
            record.pods = going.get(id).copied().unwrap_or_default();
        }
    }

    /// Writes down what has changed.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub async fn write(&self, id: &str) -> Result<(), Refusal> {
        let _turn = self.writing.lock().await;
        let (uid, data) = self.with_job(id, |record| {
            record.is_changed = false;
            Ok((record.uid.clone(), record.data()))
        })?;
        // Not one of the same name that somebody made since.
        let patch = Patch::Merge(json!({ "metadata": { "uid": uid }, "data": data }));
        let parameters = PatchParams::default();
        let written = self.apis.records.patch(id, &parameters, &patch).await;
        if let Err(error) = written {
            self.with_job(id, |record| {
                record.is_changed = true;
                Ok(())
            })?;
            return Err(error.into());
        }
        Ok(())
    }
}

/// Now, in milliseconds since 1970.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// An object that this program made.
fn object<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| {
        tracing::error!(%error, "An object of a job is none");
        Refusal::bad(format!("the job cannot be made: {error}"))
    })
}

fn unless_there<T>(made: kube::Result<T>) -> kube::Result<()> {
    unless(made, 409)
}

/// For what may be gone already.
///
/// # Errors
/// Those of all other reasons.
pub fn unless_gone<T>(gone: kube::Result<T>) -> kube::Result<()> {
    unless(gone, 404)
}

fn unless<T>(done: kube::Result<T>, code: u16) -> kube::Result<()> {
    match done {
        Err(kube::Error::Api(status)) if status.code == code => Ok(()),
        done => done.map(|_| ()),
    }
}
