//! Jobs as a cell drives them, on this machine.

use std::fs;
use std::path::Path;

use carrel_training::job::{JobError, JobState, Jobs, RankState, TrainJob};
use carrel_training::prelude::{Layer, Mnist};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{PROGRAM, checkpoints, wait_for, write_digits};

fn jobs(folder: &Path) -> Jobs {
    write_digits(folder, 640);
    Jobs {
        folder: folder.join("jobs"),
        program: Some(PROGRAM.into()),
    }
}

fn recipe(folder: &Path, epochs: usize) -> Mnist {
    Mnist {
        data: Some(folder.to_owned()),
        ..Mnist::default()
    }
    .epochs(epochs)
    .batch(32)
}

#[test]
fn jobs_are_shown_as_a_table_and_logs_as_text_until_they_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = jobs(folder.path());
    assert_eq!(
        jobs.table().unwrap().to_string(),
        "job  state  ranks  epoch  loss  started"
    );
    let new = TrainJob::new("digits").recipe(recipe(folder.path(), 2));
    let job = jobs.submit(new).unwrap();
    let long = TrainJob::new("long").recipe(recipe(folder.path(), 100_000));
    let long = jobs.submit(long).unwrap();
    let status = job.watch().unwrap();
    let table = jobs.table().unwrap();
    let (text, html) = (table.to_string(), table.html());
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    let loss = format!("{:.4}", status.ranks[0].loss.unwrap());
    assert_eq!(
        row[..5],
        [job.id(), "Succeeded", "1", "2/2", &loss],
        "{text}"
    );
    assert!(
        row[5..].ends_with(&["s", "ago"]) || row.ends_with(&["min", "ago"]),
        "{text}"
    );
    assert!(html.contains("<th>loss</th>") && html.contains(&format!("<td>{}</td>", row[0])));
    assert_eq!(format!("{table:?}"), text);
    assert!(table.len() == 2 && table[1].id() == long.id());
    // As it was printed, and not quoted.
    let log = job.logs(0).unwrap();
    assert_eq!(format!("{log:?}"), format!("{log}"));
    assert!(
        log.starts_with("Rank  0") || log.lines().count() > 1,
        "{log}"
    );
    assert!(matches!(long.clone().delete(), Err(JobError::Running(_))));
    let path = job.folder().unwrap().path().to_owned();
    job.delete().unwrap();
    assert!(!path.exists() && jobs.table().unwrap().len() == 1);
    long.cancel().unwrap();
    wait_for("the end", || long.status().unwrap().state().is_final());
}

#[test]
fn a_job_runs_to_its_end_and_gives_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = jobs(folder.path());
    let new = TrainJob::new("digits")
        .recipe(recipe(folder.path(), 3))
        .ranks(2);
    let job = jobs.submit(new).unwrap();
    let status = job.watch().unwrap();
    assert_eq!(
        status.state(),
        JobState::Succeeded,
        "{status}\n{}",
        job.logs(0).unwrap()
    );
    assert_eq!(
        status
            .ranks
            .iter()
            .map(|rank| rank.losses.len())
            .collect::<Vec<_>>(),
        [3, 3]
    );
    let losses = &status.ranks[0].losses;
    assert!(losses[2] < losses[0], "{losses:?}");
    let lines = status.to_string();
    assert!(
        lines.contains("Succeeded\nepoch  0  loss per rank ") && lines.contains("test accuracy"),
        "{lines}"
    );
    let log = job.logs(1).unwrap();
    assert!(
        log.contains(&format!(
            "Rank  1 , epoch  2 :  {}",
            status.ranks[1].losses[2]
        )),
        "{log}"
    );
    let state = job.model().unwrap().state().unwrap();
    let start = Mnist::default().network().unwrap().state().unwrap();
    let moved = (&state["fc2.weight"] - &start["fc2.weight"])
        .unwrap()
        .abs()
        .unwrap()
        .max_all()
        .unwrap();
    assert!(moved.to_scalar::<f32>().unwrap() > 1e-3);
    // Another kernel finds it again.
    assert_eq!(jobs.attach("digits").unwrap().status().unwrap(), status);
    assert_eq!(jobs.attach(job.id()).unwrap().id(), job.id());
    assert_eq!(jobs.list().len(), 1);
    assert!(
        job.logs(2)
            .unwrap_err()
            .to_string()
            .contains("has no rank 2")
    );
}

#[test]
fn a_cancelled_job_stops_with_a_checkpoint_and_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = jobs(folder.path());
    let new = TrainJob::new("long")
        .recipe(recipe(folder.path(), 100_000))
        .ranks(2);
    let job = jobs.submit(new).unwrap();
    wait_for("the first epoch", || {
        checkpoints(&job.folder().unwrap().checkpoints()) > 0
    });
    assert_eq!(job.status().unwrap().state(), JobState::Running);
    assert!(job.resume().unwrap_err().to_string().contains("still runs"));
    job.cancel().unwrap();
    wait_for("the end", || job.status().unwrap().state().is_final());
    assert_eq!(
        job.status().unwrap().state(),
        JobState::Stopped,
        "{}",
        job.status().unwrap()
    );
    let before = job.status().unwrap().ranks[0].losses.len();
    job.resume().unwrap();
    wait_for("more epochs", || {
        job.status().unwrap().ranks[0].losses.len() > before
    });
    job.cancel().unwrap();
    wait_for("the end", || job.status().unwrap().state().is_final());
}

#[test]
fn a_killed_rank_and_its_signal_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = jobs(folder.path());
    let new = TrainJob::new("killed")
        .recipe(recipe(folder.path(), 100_000))
        .ranks(2);
    let job = jobs.submit(new).unwrap();
    wait_for("the first epoch", || {
        checkpoints(&job.folder().unwrap().checkpoints()) > 0
    });
    let processes =
        fs::read_to_string(job.folder().unwrap().path().join("processes.json")).unwrap();
    let id = processes
        .split("\"id\":")
        .nth(2)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    kill(Pid::from_raw(id.parse().unwrap()), Signal::SIGKILL).unwrap();
    wait_for("the end", || job.status().unwrap().state().is_final());
    let status = job.status().unwrap();
    assert_eq!(
        (status.state(), status.ranks[1].state),
        (JobState::Failed, RankState::Failed)
    );
    wait_for("the reason", || {
        job.status()
            .unwrap()
            .reason()
            .is_some_and(|reason| reason.contains("SIGKILL"))
    });
    let said = job.status().unwrap().ranks[0].reason.clone().unwrap();
    assert!(
        said.contains("rank 1") && said.contains("was lost"),
        "{said}"
    );
}

#[test]
fn a_job_that_cannot_run_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = jobs(folder.path());
    let submit = |jobs: &Jobs, name: &str, ranks: usize| {
        let new = TrainJob::new(name)
            .recipe(recipe(folder.path(), 1))
            .ranks(ranks);
        jobs.submit(new).unwrap_err().to_string()
    };
    assert!(submit(&jobs, "a/b", 1).contains("is no name for a job"));
    assert!(submit(&jobs, "none", 0).contains("at least one rank"));
    assert!(
        jobs.submit(TrainJob::new("empty"))
            .unwrap_err()
            .to_string()
            .contains("has no recipe")
    );
    jobs.program = Some("/nowhere/carrel-train".into());
    assert!(submit(&jobs, "lost", 1).contains("/nowhere/carrel-train"));
    assert!(jobs.list().is_empty());
    assert!(
        jobs.attach("lost")
            .unwrap_err()
            .to_string()
            .contains("there is no job lost")
    );
}
