//! Ranks that end, are killed or stand still, and the seed's sample of a TFJob.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{
    Cluster, PROGRAM, checkpoints, ended, epochs, free_port, mnist, rank, signal, text, wait_for,
    write_digits,
};

#[test]
fn a_job_whose_rank_was_killed_goes_on_from_its_checkpoint_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let start = |checkpoints: &Path| -> Vec<Child> {
        let port = free_port();
        let arguments = mnist(folder.path(), "4", checkpoints, &["--batch", "32"]);
        (0..2)
            .map(|number| rank(number, 2, port, &arguments))
            .collect()
    };
    let undisturbed = folder.path().join("undisturbed");
    let whole: Vec<_> = start(&undisturbed).into_iter().map(ended).collect();
    assert!(
        whole.iter().all(|rank| rank.status.success()),
        "{}",
        text(&whole[0].stderr)
    );
    let expected = epochs(0, &text(&whole[0].stdout));
    assert_eq!(expected.len(), 4);

    let disturbed = folder.path().join("disturbed");
    let mut ranks = start(&disturbed);
    wait_for("the first checkpoint", || checkpoints(&disturbed) > 0);
    signal(&ranks[1], Signal::SIGKILL);
    let killed = Instant::now();
    ended(ranks.remove(1));
    let survivor = ended(ranks.remove(0));
    assert!(killed.elapsed() < Duration::from_secs(20));
    let said = text(&survivor.stderr);
    // It may have been done already, on a quick machine: then it has nothing to complain of.
    assert!(
        !survivor.status.success()
            && said.contains("rank 1 (127.0.0.1:")
            && said.contains("was lost"),
        "{said}"
    );

    let rest: Vec<_> = start(&disturbed).into_iter().map(ended).collect();
    assert!(rest[0].status.success(), "{}", text(&rest[0].stderr));
    let rest = epochs(0, &text(&rest[0].stdout));
    assert!(!rest.is_empty() && rest.len() < 4, "{rest:?}");
    assert_eq!(rest, expected[4 - rest.len()..]);
}

#[test]
fn sigterm_writes_a_checkpoint_and_ends_with_143() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let kept = folder.path().join("checkpoints");
    let arguments = mnist(folder.path(), "1000", &kept, &[]);
    let child = rank(0, 1, free_port(), &arguments);
    wait_for("the first epoch", || checkpoints(&kept) > 0);
    signal(&child, Signal::SIGTERM);
    let output = ended(child);
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert!(checkpoints(&kept) > 0);
    // While it waits for others it ends too.
    let mut lonely = rank(1, 2, free_port(), &arguments);
    let lines = BufReader::new(lonely.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "Done!"));
    signal(&lonely, Signal::SIGTERM);
    assert_eq!(ended(lonely).status.code(), Some(143));
}

#[test]
fn a_rank_that_stands_still_is_named_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let kept = folder.path().join("checkpoints");
    let arguments = mnist(folder.path(), "1000", &kept, &["--batch", "32"]);
    let port = free_port();
    let mut ranks: Vec<Child> = (0..3)
        .map(|number| rank(number, 3, port, &arguments))
        .collect();
    wait_for("the first epoch", || checkpoints(&kept) > 0);
    signal(&ranks[2], Signal::SIGSTOP);
    let stopped = Instant::now();
    let outputs: Vec<_> = ranks.drain(..2).map(ended).collect();
    assert!(
        stopped.elapsed() < Duration::from_secs(30),
        "{:?}",
        stopped.elapsed()
    );
    for output in outputs {
        let said = text(&output.stderr);
        assert!(
            said.contains("rank 2") && said.contains("no sign of life"),
            "{said}"
        );
    }
    signal(&ranks[0], Signal::SIGKILL);
    ended(ranks.remove(0));
}

#[test]
fn the_sample_of_a_tfjob_multiplies_matrices_on_every_task() {
    let cluster = Cluster::new();
    let tasks = [("ps", 1), ("worker", 0), ("ps", 0), ("master", 0)]
        .map(|(kind, index)| cluster.task(kind, index, &["smoke"]));
    for task in tasks {
        let output = ended(task);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(
            said.starts_with("Carrel version: ") && said.contains("\ntf_config: {\"cluster\""),
            "{said}"
        );
        assert!(said.contains("is the same on all 4 tasks"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_the_call_is_said() {
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let said = run(&[("RANK", "2")], &["smoke"]);
    assert!(
        said.starts_with("carrel-train: RANK is set but WORLD_SIZE is not"),
        "{said}"
    );
    let said = run(&[], &["mnist", "--data", "/nowhere"]);
    assert!(
        said.contains("there is no train-images-idx3-ubyte.gz in /nowhere"),
        "{said}"
    );
    let said = run(&[], &["run", "/nowhere"]);
    assert!(said.contains("/nowhere/job.json"), "{said}");
}
