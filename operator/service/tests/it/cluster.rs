//! The service on a real cluster with a real operator, behind a real Hub (`make test-cluster`), asked by the client that
//! notebooks have. The Hub, the operator and the service are processes of this machine.

mod site;

use carrel_training::job::{JobError, JobState, NewJob, RankState, TrainJob};
use carrel_training::prelude::{Layer as _, Mnist};

use site::{Site, until};

const DATA: &str = "/data";

fn job(name: &str, epochs: usize) -> NewJob {
    let recipe = Mnist {
        data: Some(DATA.into()),
        pictures: Some(1024),
        ..Mnist::default()
    };
    TrainJob::new(name).recipe(recipe.epochs(epochs)).ranks(2)
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn cluster_runs_the_job_of_a_notebook_and_gives_its_model() {
    let site = Site::new("notebook");
    let (ada, bob) = (site.user("ada"), site.user("bob"));
    let job = ada.submit(job("digits", 2)).unwrap();
    let refused = bob.attach(job.id()).unwrap_err();
    assert!(matches!(refused, JobError::Unknown { .. }), "{refused}");
    let status = job.watch().unwrap();
    assert_eq!(
        status.state(),
        JobState::Succeeded,
        "{status}\n{}",
        site.traces()
    );
    for rank in 0..2 {
        assert_eq!(status.ranks[rank].losses.len(), 2, "{status}");
        let log = job.logs(rank).unwrap();
        assert!(
            log.contains(&format!("Rank  {rank} , epoch  1 :  ")),
            "{log}"
        );
    }
    assert!(status.ranks[0].accuracy.unwrap() > 0.0);
    assert_eq!(job.model().unwrap().parameters().len(), 8);
    // What its pods may do: nothing with Kubernetes.
    let pods = site.get("pods");
    for pod in pods["items"].as_array().unwrap() {
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    }
    job.delete().unwrap();
    assert!(ada.list().unwrap().is_empty());
    until("the end of all that belongs to the job", || {
        let kinds = "pods,pytorchjobs,secrets,configmaps,services";
        let selector = "app.kubernetes.io/managed-by=carrel-jobs-service";
        let left = site.kubectl(&["get", kinds, "-l", selector, "-o", "name"]);
        left.trim().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn cluster_keeps_a_job_through_the_death_of_the_service_cancels_and_resumes_it() {
    let mut site = Site::new("faults");
    let ada = site.user("ada");
    let job = ada.submit(job("long", 100_000)).unwrap();
    let epochs = || {
        job.status()
            .map_or(0, |status| status.ranks[1].losses.len())
    };
    until("the first epoch", || (epochs() > 0).then_some(()));
    let before = epochs();
    site.kill_service();
    site.start_service();
    until("more epochs", || (epochs() > before).then_some(()));
    job.cancel().unwrap();
    let ended = || job.status().ok().filter(|status| status.state().is_final());
    let status = until("the end", ended);
    assert_eq!(status.state(), JobState::Stopped, "{status}");
    assert!(
        status
            .ranks
            .iter()
            .all(|rank| rank.state == RankState::Stopped),
        "{status}"
    );
    // Logs outlive a cancelled job, and the job the service.
    let log = job.logs(1).unwrap();
    assert!(log.contains("Rank  1 , epoch  0 :  "), "{log}");
    site.kill_service();
    site.start_service();
    let found = until("the job", || ada.attach("long").ok());
    assert_eq!(found.status().unwrap(), status);
    found.resume().unwrap();
    assert!(matches!(found.resume(), Err(JobError::Running(_))));
    let before = status.ranks[1].losses.len();
    until("epochs after those before", || {
        (epochs() > before).then_some(())
    });
    let status = found.status().unwrap();
    assert!(
        status.ranks[0].begun_at.unwrap() > 0.0,
        "it went on from its checkpoint"
    );
    found.cancel().unwrap();
    until("the end", ended);
    assert!(job.logs(0).is_ok());
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn cluster_says_what_a_job_waits_for_and_ends_what_never_began() {
    let site = Site::with("waiting", "127.0.0.1:1/none:1");
    let ada = site.user("ada");
    let job = ada.submit(job("waits", 2)).unwrap();
    // Of the rank that comes first, once all are seen.
    let waits = "rank 0 waits: the image 127.0.0.1:1/none:1 cannot be pulled";
    until("what it waits for", || {
        let message = job.status().ok()?.message?;
        (message == waits).then_some(())
    });
    job.cancel().unwrap();
    let ended = || job.status().ok().filter(|status| status.state().is_final());
    let status = until("the end", ended);
    assert_eq!(status.state(), JobState::Stopped, "{status}");
    assert!(matches!(
        job.model(),
        Err(JobError::Refused { status: 404, .. })
    ));
}
