//! What follows from what the cluster shows of a job.

use carrel_jobs_service::plan::{Plan, Pod, SeenObject, Sight, plan};
use carrel_jobs_service::record::{End, Record};
use carrel_operator::seen::{Phase, SeenPod, Stage};
use carrel_report::RankState;

use crate::site::record;

const SOON: u64 = 2_000;
const LATER: u64 = 100_000;

fn pod(name: &str, phase: Phase) -> Pod {
    Pod {
        seen: SeenPod {
            attempt: 0,
            name: name.to_owned(),
            uid: format!("uid of {name}"),
            place: None,
            phase,
            is_deleting: false,
            exit_code: None,
            restarts: 0,
            reason: None,
            created: None,
            stage: Stage::Placed,
            ended: None,
        },
        has_node: true,
        has_deadline: false,
    }
}

fn because(mut pod: Pod, reason: &str) -> Option<Pod> {
    pod.seen.reason = Some(reason.to_owned());
    Some(pod)
}

fn without_node(name: &str) -> Pod {
    Pod {
        has_node: false,
        ..pod(name, Phase::Pending)
    }
}

fn sight(pods: [Option<Pod>; 2]) -> Sight {
    Sight {
        object: Some(SeenObject::default()),
        pods: pods.into(),
    }
}

fn over(mut sight: Sight, why: &str) -> Sight {
    sight.object = Some(SeenObject {
        over: Some(why.to_owned()),
        ..SeenObject::default()
    });
    sight
}

fn cancelled() -> Record {
    let mut record = record(2);
    record.kept.cancelled = Some(1_000);
    record
}

fn ends(plan: &Plan) -> Vec<(usize, RankState, &str)> {
    let ends = plan.ended.iter();
    ends.map(
        |End {
             rank,
             state,
             reason,
         }| (*rank, *state, reason.as_deref().unwrap_or_default()),
    )
    .collect()
}

#[test]
fn what_was_written_down_and_not_made_is_made() {
    let mut record = record(2);
    record.kept.made = 0;
    assert!(plan(&record, &Sight::default(), LATER).makes);
    record.kept.made = 1;
    assert!(!plan(&record, &Sight::default(), SOON).makes);
    record.kept.attempt = 2;
    assert!(plan(&record, &Sight::default(), SOON).makes);
}

/// One whose object the cluster refuses ends when its user has enough of it; one that was made after all is ended as others.
#[test]
fn a_job_that_was_never_made_can_be_cancelled() {
    let mut record = cancelled();
    record.kept.made = 0;
    let early = plan(&record, &Sight::default(), SOON);
    assert_eq!(
        (early.makes, early.ended.len()),
        (false, 0),
        "it may come yet"
    );
    let late = plan(&record, &Sight::default(), LATER);
    let stopped = [(0, RankState::Stopped, ""), (1, RankState::Stopped, "")];
    assert_eq!(ends(&late), stopped);
    assert!(plan(&record, &sight([None, None]), LATER).suspend.is_some());
}

#[test]
fn what_a_job_waits_for_is_said() {
    let record = record(2);
    let message = |sight: &Sight| plan(&record, sight, SOON).message.unwrap_or_default();
    assert_eq!(message(&sight([None, None])), "it waits for its pods");
    let running = || Some(pod("a", Phase::Running));
    let waits = because(without_node("b"), "it has no node: 0/1 nodes are available");
    assert_eq!(
        message(&sight([running(), waits])),
        "rank 1 waits: it has no node: 0/1 nodes are available"
    );
    assert_eq!(message(&sight([running(), running()])), "");
    let mut quota = sight([running(), None]);
    quota.object.as_mut().unwrap().reason = Some("exceeded quota".to_owned());
    assert_eq!(message(&quota), "exceeded quota");
}

#[test]
fn what_a_rank_can_no_longer_say_is_said_for_it() {
    let mut record = record(2);
    let evicted = because(
        pod("a", Phase::Failed),
        "Evicted: The node was low on memory.",
    );
    let killed = because(pod("b", Phase::Failed), "OOMKilled, exit code 137");
    let shown = sight([evicted, killed]);
    let found = plan(&record, &shown, SOON);
    assert_eq!(
        ends(&found),
        [
            (
                0,
                RankState::Failed,
                "its pod was evicted: The node was low on memory."
            ),
            (
                1,
                RankState::Failed,
                "its pod failed: OOMKilled, exit code 137"
            ),
        ]
    );
    // What a rank said itself counts.
    record.ranks[0].status.state = RankState::Failed;
    record.ranks[0].status.reason = Some("no data".to_owned());
    assert_eq!(ends(&plan(&record, &shown, SOON)).len(), 1);
    record.end(&found.ended);
    assert_eq!(record.ranks[0].status.reason.as_deref(), Some("no data"));
    assert!(record.is_over());
    let mut stopped = pod("a", Phase::Failed);
    stopped.seen.exit_code = Some(143);
    let record = crate::site::record(2);
    let shown = sight([Some(stopped), Some(pod("b", Phase::Succeeded))]);
    assert_eq!(
        ends(&plan(&record, &shown, SOON)),
        [(0, RankState::Stopped, ""), (1, RankState::Succeeded, "")]
    );
}

/// A function need not meet its ranks: rank 0 may be done before another one has a node.
#[test]
fn ranks_that_have_not_begun_go_on_when_rank_0_has_succeeded() {
    let record = record(2);
    let done = || Some(pod("a", Phase::Succeeded));
    let succeeded = |pods| {
        let mut shown = over(sight(pods), "is done");
        if let Some(object) = &mut shown.object {
            object.has_succeeded = true;
        }
        plan(&record, &shown, SOON)
    };
    let found = succeeded([done(), Some(without_node("b"))]);
    assert_eq!(found.delete, [""; 0]);
    assert_eq!(ends(&found), [(0, RankState::Succeeded, "")]);
    // Of one without a pod there is nothing that could go on.
    let found = succeeded([done(), None]);
    let why = "it never began, and the job is over: is done";
    assert_eq!(ends(&found)[1], (1, RankState::Failed, why));
}

#[test]
fn a_rank_that_never_began_ends_with_its_job() {
    let record = record(2);
    let failed = because(pod("a", Phase::Failed), "exit code 1");
    let shown = sight([failed, Some(without_node("b"))]);
    assert_eq!(plan(&record, &shown, SOON).delete, [""; 0]);
    let found = plan(&record, &over(shown, "master-0 failed"), SOON);
    assert_eq!(found.delete, ["b"]);
    assert_eq!(
        ends(&found)[1],
        (
            1,
            RankState::Failed,
            "it never began, and the job is over: master-0 failed"
        )
    );
}

#[test]
fn a_job_that_is_gone_from_the_cluster_has_failed_and_one_that_was_just_made_has_not() {
    let record = record(2);
    let nothing = Sight {
        object: None,
        pods: vec![None, None],
    };
    assert_eq!(ends(&plan(&record, &nothing, SOON)), []);
    assert_eq!(
        ends(&plan(&record, &nothing, LATER)),
        [0, 1].map(|rank| (
            rank,
            RankState::Failed,
            "the job was taken from the cluster"
        ))
    );
}

#[test]
fn a_cancelled_job_is_ended_so_that_its_logs_stay() {
    let record = cancelled();
    let mut asked = pod("a", Phase::Running);
    asked.has_deadline = true;
    let found = plan(
        &record,
        &sight([Some(asked.clone()), Some(pod("b", Phase::Running))]),
        SOON,
    );
    assert_eq!(
        (found.end.as_slice(), found.suspend),
        (&["b".to_owned()][..], None)
    );
    assert_eq!(found.message.as_deref(), Some("it is being cancelled"));
    // Who does not listen is taken away.
    let shown = sight([Some(asked.clone()), Some(asked)]);
    assert!(plan(&record, &shown, SOON).suspend.is_none());
    assert!(plan(&record, &shown, LATER).suspend.is_some());
    // Their end is no failure.
    let ended = || because(pod("a", Phase::Failed), "DeadlineExceeded");
    let shown = over(sight([ended(), Some(without_node("b"))]), "master-0 failed");
    let found = plan(&record, &shown, SOON);
    assert_eq!(
        ends(&found),
        [0, 1].map(|rank| (rank, RankState::Stopped, ""))
    );
    assert_eq!(
        (found.delete.as_slice(), found.suspend),
        (&["b".to_owned()][..], None)
    );
}

#[test]
fn a_cancelled_job_that_has_not_begun_is_suspended() {
    let record = cancelled();
    let waiting = sight([Some(without_node("a")), None]);
    let found = plan(&record, &waiting, SOON);
    // The attempt that is meant is named: the job may be resumed before it is suspended.
    assert_eq!(found.suspend.as_deref(), Some("digits-1-0a-1"));
    assert!(found.end.is_empty());
    let mut suspended = sight([None, None]);
    suspended.object.as_mut().unwrap().is_suspended = true;
    let found = plan(&record, &suspended, SOON);
    assert_eq!(found.suspend, None);
    assert_eq!(
        ends(&found),
        [0, 1].map(|rank| (rank, RankState::Stopped, ""))
    );
}

/// A rank may say that it has ended and go on.
#[test]
fn what_outlives_the_end_that_its_ranks_have_said_is_ended() {
    let mut record = record(2);
    for rank in &mut record.ranks {
        rank.status.state = RankState::Succeeded;
    }
    record.over_since = Some(1_000);
    let (running, waiting) = (|| Some(pod("a", Phase::Running)), Some(without_node("b")));
    let at = |sight: &Sight, now| plan(&record, sight, now);
    let shown = sight([running(), waiting]);
    let early = at(&shown, SOON);
    assert!(early.end.is_empty() && early.suspend.is_none() && early.delete.is_empty());
    let late = at(&shown, LATER);
    assert_eq!(late.end, ["a"]);
    // What has not begun would begin yet.
    assert_eq!(late.suspend.as_deref(), Some("digits-1-0a-1"));
    let over = over(shown, "is done");
    assert_eq!(at(&over, LATER).delete, ["b"]);
    // Its log stays, unless it does not listen.
    let mut asked = pod("a", Phase::Running);
    asked.has_deadline = true;
    let shown = sight([Some(asked), Some(pod("b", Phase::Succeeded))]);
    assert_eq!(
        at(&shown, LATER),
        Plan {
            message: at(&shown, LATER).message,
            ..Plan::default()
        }
    );
    assert!(at(&shown, 2 * LATER).suspend.is_some());
}
