//! What ranks report to an operator, and that they train whatever the operator does.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use carrel_report::verify;
use carrel_training::job::{RankState, Report};

use crate::harness::{ended, epochs, free_port, mnist, rank_with, text, write_digits};
use crate::http::serve;

/// Two ranks that report to an address.
fn two_ranks(data: &Path, url: &str) -> Vec<Output> {
    let kept = data.join("checkpoints");
    let arguments = mnist(data, "3", &kept, &["--batch", "32"]);
    let port = free_port();
    let variables = [
        ("CARREL_STATUS_URL", url),
        ("CARREL_STATUS_TOKEN", "t0ken"),
        ("CARREL_JOB", "digits-7"),
        ("CARREL_JOB_ATTEMPT", "3"),
    ];
    let ranks: Vec<_> = (0..2)
        .map(|number| rank_with(number, 2, port, &arguments, &variables))
        .collect();
    ranks.into_iter().map(ended).collect()
}

#[test]
fn every_rank_reports_its_losses_and_its_end_with_token_and_signature() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = reports.clone();
    let address = serve(move |request| {
        let report: Report = serde_json::from_slice(&request.body).unwrap();
        let signature = &request.headers["x-carrel-signature-256"];
        let is_right = verify(b"secret", &request.body, signature)
            && request.headers["authorization"] == "Bearer t0ken"
            && [request.method.as_str(), request.path.as_str()]
                == ["POST", &*format!("/{}/status", report.rank)];
        kept.lock().unwrap().push((is_right, report));
        (204, Vec::new())
    });
    for output in two_ranks(folder.path(), &format!("{address}/{{rank}}/status")) {
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("cannot report"));
    }
    let reports = reports.lock().unwrap();
    assert!(reports.iter().all(|(is_right, _)| *is_right));
    for rank in 0..2 {
        let own: Vec<&Report> = reports
            .iter()
            .map(|(_, report)| report)
            .filter(|report| report.rank == rank)
            .collect();
        assert!(own.is_sorted_by_key(|report| report.time));
        assert!(own.is_sorted_by(|one, next| one.order() < next.order()));
        assert_eq!(own[0].status.state, RankState::Starting);
        let last = own.last().unwrap();
        assert_eq!((last.world, last.task.as_deref()), (2, None));
        assert_eq!((last.job.as_str(), last.attempt), ("digits-7", 3));
        assert_eq!(last.sequence, own.len() as u64);
        let status = &last.status;
        assert_eq!(status.state, RankState::Succeeded);
        assert_eq!((status.epochs, status.losses.len()), (3, 3));
        assert!(status.losses[2] < status.losses[0]);
        assert!(status.items_per_second.unwrap() > 0.0);
        // The test set is rank 0's.
        assert_eq!(status.accuracy.is_some(), rank == 0);
    }
}

#[test]
fn the_reason_of_a_failure_is_reported() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = reports.clone();
    let address = serve(move |request| {
        let report: Report = serde_json::from_slice(&request.body).unwrap();
        kept.lock().unwrap().push(report);
        (200, Vec::new())
    });
    let variables = [("CARREL_STATUS_URL", address.as_str())];
    let arguments = ["mnist", "--data", "/nowhere"];
    let output = ended(rank_with(0, 1, free_port(), &arguments, &variables));
    assert_eq!(output.status.code(), Some(1));
    let reports = reports.lock().unwrap();
    let status = &reports.last().unwrap().status;
    assert_eq!(status.state, RankState::Failed);
    let reason = status.reason.as_ref().unwrap();
    assert!(reason.contains("train-images-idx3-ubyte"), "{reason}");
}

#[test]
fn an_operator_that_refuses_is_away_or_never_answers_does_not_disturb() {
    let refusing = serve(|_| (500, Vec::new()));
    let away = format!("http://127.0.0.1:{}", free_port());
    // The system accepts for it, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let secure = "https://127.0.0.1:1/status".to_owned();
    let cases = [
        (refusing, "500"),
        (away, "refused"),
        (silent, "timeout"),
        (secure, "TLS"),
    ];
    let lines: Vec<Vec<String>> = thread::scope(|scope| {
        let cases = cases.map(|(url, reason)| scope.spawn(move || undisturbed(&url, reason)));
        cases.map(|case| case.join().unwrap()).into()
    });
    assert!(
        lines
            .iter()
            .all(|said| said.len() == 3 && *said == lines[0])
    );
}

/// The lines of rank 0, whose reports fail for a reason that is said once.
fn undisturbed(url: &str, reason: &str) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    write_digits(data.path(), 1280);
    let begun = Instant::now();
    let outputs = two_ranks(data.path(), url);
    assert!(begun.elapsed() < Duration::from_secs(30));
    for output in &outputs {
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let complaints = said.lines().filter(|line| line.contains("cannot report"));
        let complaints: Vec<_> = complaints.collect();
        assert!(
            complaints.len() == 1 && complaints[0].contains(url) && complaints[0].contains(reason),
            "{said}"
        );
    }
    epochs(0, &text(&outputs[0].stdout))
}
