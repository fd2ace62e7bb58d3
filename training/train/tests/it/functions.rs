//! Functions of a program's own as jobs: what ranks give back, how they fail, and that they heed a cancellation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use carrel_training::job::{JobState, Jobs, RankState, TrainJob};
use sha2::{Digest, Sha256};

use crate::harness::{ended, text, wait_for};

/// The example `function`, which cargo builds with the tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().unwrap().parent().unwrap();
    target.join("examples/function")
}

fn start(folder: &Path, name: &str) -> Child {
    Command::new(program())
        .arg(folder)
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn job(folder: &Path, name: &str) -> TrainJob {
    let jobs = Jobs {
        folder: folder.to_owned(),
        program: None,
    };
    jobs.attach(name).unwrap()
}

#[test]
fn ranks_call_the_function_and_their_results_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let output = ended(start(folder.path(), "mean"));
    assert_eq!(
        text(&output.stdout),
        "[2.0, 12.0, 22.0]\n",
        "{}",
        text(&output.stderr)
    );
    let job = job(folder.path(), "mean");
    assert_eq!(job.results::<f32>().unwrap(), [2.0, 12.0, 22.0]);
    assert_eq!(job.logs(2).unwrap(), "rank 2 of 3\n");
    let said = job.results::<String>().unwrap_err().to_string();
    assert!(
        said.contains("what rank 0 of mean-") && said.contains("gave back: invalid type"),
        "{said}"
    );
    assert!(job.model().is_err());
}

#[test]
fn results_are_the_very_values_also_where_json_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = ended(start(folder.path(), "exact"));
    assert_eq!(
        text(&output.stdout),
        "[(NaN, Some(NaN), {(1, true): -inf, (2, false): 0.1})]\n",
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_trainer_in_a_function_says_how_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let output = ended(start(folder.path(), "train"));
    let said = text(&output.stdout);
    let losses: Vec<f32> = said
        .trim_end()
        .trim_matches(['[', ']'])
        .split(", ")
        .map(|loss| loss.parse().unwrap())
        .collect();
    assert!(losses.len() == 3 && losses.iter().all(|loss| *loss < 0.01));
    let job = job(folder.path(), "train");
    for rank in job.status().unwrap().ranks {
        assert_eq!((rank.state, rank.epochs), (RankState::Succeeded, 20));
        assert_eq!(rank.losses.len(), 20);
    }
    assert!(job.folder().unwrap().checkpoints().is_dir());
}

#[test]
fn an_error_and_a_panic_are_the_jobs_reason() {
    for (name, reason) in [
        ("fail", "rank 1: there is no number one"),
        ("panic", "rank 2: it panicked: rank 2 does not like None"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = ended(start(folder.path(), name));
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{said}");
        let status = job(folder.path(), name).status().unwrap();
        assert_eq!(status.state(), JobState::Failed);
        assert_eq!(status.reason().as_deref(), Some(reason));
    }
}

#[test]
fn a_function_heeds_a_cancellation() {
    let folder = tempfile::tempdir().unwrap();
    let waiting = start(folder.path(), "wait");
    let jobs = Jobs {
        folder: folder.path().to_owned(),
        program: None,
    };
    wait_for("the job", || !jobs.list().is_empty());
    let job = job(folder.path(), "wait");
    wait_for("three functions", || {
        (0..3).all(|rank| job.logs(rank).is_ok_and(|log| log == "waiting\n"))
    });
    let status = || job.status().unwrap();
    assert_eq!(status().state(), JobState::Running);
    job.cancel().unwrap();
    wait_for("the end", || status().state().is_final());
    for rank in status().ranks {
        assert_eq!(rank.state, RankState::Stopped);
    }
    let output = ended(waiting);
    let said = text(&output.stderr);
    assert!(said.contains("has no results: wait-"), "{said}");
}

#[test]
fn a_program_that_is_not_prepared_is_told_so() {
    fn nothing(_: &carrel_training::job::Rank) -> Result<(), String> {
        Ok(())
    }
    let folder = tempfile::tempdir().unwrap();
    let jobs = Jobs {
        folder: folder.path().to_owned(),
        program: None,
    };
    let refused = TrainJob::function("nothing", nothing).submit_to(&jobs);
    let said = refused.err().unwrap().to_string();
    assert!(said.contains("does not call run_function first"), "{said}");
}

#[test]
fn another_build_of_the_program_calls_nothing() {
    let folder = tempfile::tempdir().unwrap();
    ended(start(folder.path(), "mean"));
    let job = job(folder.path(), "mean");
    let path = job.folder().unwrap().path();
    let description = path.join("job.json");
    let text_of = fs::read_to_string(&description).unwrap();
    let program = fs::read(program()).unwrap();
    let checksum = hex::encode(Sha256::digest(&program));
    assert!(text_of.contains(&checksum), "{text_of}");
    fs::write(&description, text_of.replace(&checksum, &"0".repeat(64))).unwrap();
    let output = Command::new(self::program())
        .arg("run-function")
        .arg(path)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(
        !output.status.success()
            && said.contains("by another build of this program")
            && said.contains("the program is 000000000000 there and"),
        "{said}"
    );
    // Nor does a program that would not know what it is asked.
    let said = job.resume().unwrap_err().to_string();
    assert!(said.contains("does not call run_function first"), "{said}");
}
