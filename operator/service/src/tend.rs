//! Does what [`plan`] says about every job that goes on, whenever something has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use carrel_report::RankState;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::answer::Refusal;
use crate::jobs::{Jobs, now, unless_gone};
use crate::plan::{AT_ONCE, Plan, is_late, plan};
use crate::watch::{self, Seen};

/// Between two looks at all jobs.
const PAUSE: Duration = Duration::from_millis(200);
/// When to look again though nothing was heard of.
const RESYNC: Duration = Duration::from_secs(5);
/// Between two writes of how the ranks of a job stand; how they ended is written at once.
const WRITES: Duration = Duration::from_secs(10);

/// For ever.
pub async fn tend(jobs: Arc<Jobs>, seen: Arc<Seen>) {
    let mut written = HashMap::new();
    if !seen.wait().await {
        return;
    }
    loop {
        // Whether something was heard or not.
        let _ = timeout(RESYNC, jobs.changed.notified()).await;
        let going = seen.going();
        jobs.let_go(|record| going.contains_key(&record.id));
        jobs.count_pods(&going);
        let alive = jobs.alive();
        written.retain(|id, _| alive.contains(id));
        for id in &alive {
            if let Err(refusal) = look(&jobs, &seen, id, &mut written).await {
                let message = refusal.message;
                tracing::warn!(id, message, "The job {id} is to be looked at again");
            }
        }
        sleep(PAUSE).await;
    }
}

/// Writes down what was not written yet, before the end.
pub async fn write_all(jobs: &Jobs) {
    for id in jobs.alive() {
        let is_changed = jobs.with_job(&id, |record| Ok(record.is_changed));
        if is_changed == Ok(true)
            && let Err(refusal) = jobs.write(&id).await
        {
            let message = refusal.message;
            tracing::error!(id, message, "How the job {id} stands could not be kept");
        }
    }
}

async fn look(
    jobs: &Jobs,
    seen: &Seen,
    id: &str,
    written: &mut HashMap<String, Instant>,
) -> Result<(), Refusal> {
    let (mut planned, attempt, doubted) = jobs.with_job(id, |record| {
        let sight = seen.of(record);
        if record.is_over() {
            record.over_since.get_or_insert_with(now);
        }
        let planned = plan(record, &sight, now());
        let is_doubted = sight.object.is_none() && is_late(record, now());
        let doubted = is_doubted.then(|| (record.clone(), sight));
        Ok((planned, record.kept.attempt, doubted))
    })?;
    if let Some((record, mut sight)) = doubted {
        // A watch that is silent is no proof.
        let object = jobs.apis.objects.get_opt(&record.object()).await?;
        sight.object = object.map(|object| watch::seen(&object.data));
        planned = plan(&record, &sight, now());
    }
    let plan = planned;
    if plan.makes
        && let Err(refusal) = jobs.make(id).await
    {
        return refused(jobs, id, attempt, refusal).await;
    }
    // Before it is known that the job is over: nobody looks at it any more then.
    act(jobs, &plan).await?;
    let (is_urgent, is_changed) = jobs.with_job(id, |record| {
        if record.kept.attempt == attempt {
            record.end(&plan.ended);
            record.message = plan.message;
        }
        Ok((record.is_over(), record.is_changed))
    })?;
    let is_due = written
        .get(id)
        .is_none_or(|written| written.elapsed() >= WRITES);
    if is_changed && (is_urgent || is_due) {
        written.insert(id.to_owned(), Instant::now());
        jobs.write(id).await?;
    }
    Ok(())
}

/// The job says why the cluster does not take it, and ends where that stays so.
async fn refused(jobs: &Jobs, id: &str, attempt: u64, refusal: Refusal) -> Result<(), Refusal> {
    let ends = jobs.with_job(id, |record| {
        let is_final = refusal.status == StatusCode::UNPROCESSABLE_ENTITY;
        if record.kept.attempt != attempt {
            return Ok(false);
        }
        record.message = Some(refusal.message.clone());
        if is_final {
            let ends = record.all(RankState::Failed, Some(&refusal.message));
            record.end(&ends);
        }
        Ok(is_final)
    })?;
    match ends {
        true => jobs.write(id).await,
        false => Err(refusal),
    }
}

async fn act(jobs: &Jobs, plan: &Plan) -> Result<(), Refusal> {
    let merge = PatchParams::default();
    for pod in &plan.end {
        let patch = json!({ "spec": { "activeDeadlineSeconds": AT_ONCE } });
        unless_gone(
            jobs.apis
                .pods
                .patch(pod, &merge, &Patch::Merge(patch))
                .await,
        )?;
    }
    for pod in &plan.delete {
        unless_gone(jobs.apis.pods.delete(pod, &DeleteParams::default()).await)?;
    }
    if let Some(object) = &plan.suspend {
        let patch = Patch::Merge(json!({ "spec": { "runPolicy": { "suspend": true } } }));
        unless_gone(jobs.apis.objects.patch(object, &merge, &patch).await)?;
    }
    Ok(())
}
