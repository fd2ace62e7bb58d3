//! TFJobs with parameter servers, as processes: a master, a worker, two servers, an evaluator.

use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{
    Cluster, checkpoints, ended, epochs, free_port, mnist, rank, signal, text, wait_for,
    write_digits,
};

/// The outputs of tasks that must all end well.
fn all_done(tasks: Vec<Child>) -> Vec<String> {
    let done = |task| {
        let output: Output = ended(task);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    tasks.into_iter().map(done).collect()
}

#[test]
fn synchronous_servers_do_what_ranks_without_servers_do() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let kept = [folder.path().join("servers"), folder.path().join("ranks")];
    let arguments = |kept| mnist(folder.path(), "3", kept, &["--batch", "32"]);
    let said = all_done(Cluster::new().all(&arguments(&kept[0])));
    let port = free_port();
    let ranks = (0..2).map(|number| rank(number, 2, port, &arguments(&kept[1])));
    let expected = all_done(ranks.collect());
    for rank in 0..2 {
        let lines = epochs(rank, &expected[rank]);
        assert_eq!(lines.len(), 3);
        assert_eq!(epochs(rank, &said[rank]), lines);
    }
    // 20 steps an epoch; of the 8 parameters the largest, of 16,000 numbers, is alone on one server.
    let mut held: Vec<&str> = said[2..].iter().map(|said| said.trim_end()).collect();
    held.sort_unstable();
    assert_eq!(
        held,
        [
            "Held 1 parameters of 16000 numbers, updated 120 times",
            "Held 7 parameters of 5840 numbers, updated 120 times"
        ]
    );
}

#[test]
fn asynchronous_servers_take_each_ranks_gradients_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let kept = folder.path().join("checkpoints");
    let arguments = mnist(
        folder.path(),
        "3",
        &kept,
        &["--batch", "32", "--asynchronous"],
    );
    let said = all_done(Cluster::new().all(&arguments));
    for (rank, said) in said[..2].iter().enumerate() {
        let losses: Vec<f64> = epochs(rank, said)
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert!(losses.len() == 3 && losses[2] < losses[0], "{losses:?}");
    }
    for said in &said[2..] {
        assert!(said.trim_end().ends_with("updated 240 times"), "{said}");
    }
}

#[test]
fn a_lost_worker_and_a_lost_server_are_named_by_all_others() {
    for (lost, name) in [(1, "worker 0"), (3, "ps 1")] {
        let folder = tempfile::tempdir().unwrap();
        write_digits(folder.path(), 1280);
        let kept = folder.path().join("checkpoints");
        let arguments = mnist(folder.path(), "100000", &kept, &["--batch", "32"]);
        let mut tasks = Cluster::new().all(&arguments);
        wait_for("the first epoch", || checkpoints(&kept) > 0);
        signal(&tasks[lost], Signal::SIGKILL);
        let killed = Instant::now();
        ended(tasks.remove(lost));
        for output in tasks.into_iter().map(ended) {
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(
                said.contains(&format!("rank {lost} ({name} at 127.0.0.1:"))
                    || said.contains(&format!("rank {lost} (seen by rank 0)")),
                "{said}"
            );
            assert!(said.contains("was lost"), "{said}");
        }
        assert!(killed.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_stopped_job_goes_on_from_its_checkpoint_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let start = |kept: &Path| {
        let arguments = mnist(folder.path(), "4", kept, &["--batch", "32"]);
        Cluster::new().all(&arguments)
    };
    let expected = all_done(start(&folder.path().join("undisturbed")));
    let expected = epochs(0, &expected[0]);

    let kept = folder.path().join("disturbed");
    let tasks = start(&kept);
    wait_for("the first checkpoint", || checkpoints(&kept) > 0);
    for task in &tasks {
        signal(task, Signal::SIGTERM);
    }
    for output in tasks.into_iter().map(ended) {
        assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    }
    let rest = epochs(0, &all_done(start(&kept))[0]);
    assert!(!rest.is_empty() && rest.len() < 4, "{rest:?}");
    assert_eq!(rest, expected[4 - rest.len()..]);
}

#[test]
fn an_evaluator_tests_the_checkpoints_until_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let kept = folder.path().join("checkpoints");
    let arguments = mnist(folder.path(), "3", &kept, &["--batch", "32"]);
    let cluster = Cluster::new();
    let evaluator = cluster.task("evaluator", 0, &arguments);
    all_done(cluster.all(&arguments));
    let said = all_done(vec![evaluator]).remove(0);
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("Step 120, epoch 3: test loss ") && last.contains(", accuracy "),
        "{said}"
    );
    let data = folder.path().to_str().unwrap();
    let output = ended(cluster.task("evaluator", 0, &["mnist", "--data", data]));
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.contains("an evaluator tests checkpoints"),
        "{said}"
    );
}
