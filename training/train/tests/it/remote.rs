//! Jobs of a jobs service: the client against a small service that runs them as processes, as `JOBS.md` says.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use carrel_training::job::{
    Description, JobError, JobState, JobView, Jobs, RemoteJobs, TrainJob, Work,
};
use carrel_training::prelude::{Layer, Mnist};
use serde_json::json;

use crate::harness::{PROGRAM, free_port, text, wait_for, write_digits};
use crate::http::{Answer, Request, serve};

const TOKEN: &str = "t0ken";

/// A service whose jobs lie in a folder.
fn service(folder: &Path) -> RemoteJobs {
    write_digits(folder, 640);
    let jobs = Jobs {
        folder: folder.join("jobs"),
        program: Some(PROGRAM.into()),
    };
    let address = serve(move |request| {
        if request.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return refusal(403, "the token is missing or wrong");
        }
        answer(&jobs, request).unwrap_or_else(|error| match error {
            JobError::Running(_) => refusal(409, &error.to_string()),
            _ => refusal(400, &error.to_string()),
        })
    });
    RemoteJobs::new(&format!("{address}/services/training/"), Some(TOKEN.into()))
}

fn refusal(status: u16, message: &str) -> Answer {
    let body = json!({"status": status, "message": message});
    (status, body.to_string().into_bytes())
}

fn view(job: &TrainJob) -> Result<JobView, JobError> {
    Ok(JobView {
        id: job.id().to_owned(),
        description: job.description().clone(),
        started: None,
        attempt: 0,
        status: job.status()?,
    })
}

fn answer(jobs: &Jobs, request: &Request) -> Result<Answer, JobError> {
    let json = |status, value: serde_json::Value| Ok((status, value.to_string().into_bytes()));
    let path: Vec<&str> = request.path.split('/').skip(1).collect();
    let ["services", "training", "api", "v1", "jobs", rest @ ..] = path.as_slice() else {
        return Ok(refusal(404, "there is no such path"));
    };
    match (request.method.as_str(), rest) {
        ("POST", []) => {
            let new: Description = match serde_json::from_slice(&request.body) {
                Ok(new) => new,
                Err(error) => return Ok(refusal(400, &error.to_string())),
            };
            let Work::Recipe(recipe) = new.work else {
                return Ok(refusal(400, "this service runs recipes"));
            };
            let job = TrainJob::new(new.name).recipe(recipe).ranks(new.ranks);
            json(201, json!(view(&jobs.submit(job)?)?))
        }
        ("GET", []) => {
            let views: Result<Vec<JobView>, _> = jobs.list().iter().map(view).collect();
            json(200, json!({ "jobs": views? }))
        }
        (method, [id, rest @ ..]) => {
            let Ok(job) = jobs.attach(id) else {
                return Ok(refusal(404, &format!("there is no job {id}")));
            };
            match (method, rest) {
                ("GET", []) => json(200, json!(view(&job)?)),
                ("GET", ["ranks", rank, "log"]) => Ok((
                    200,
                    job.logs(rank.parse().unwrap())?.to_string().into_bytes(),
                )),
                ("GET", ["model"]) => Ok(newest_model(&job)),
                ("POST", ["cancel"]) => job.cancel().map(|()| (202, Vec::new())),
                ("POST", ["resume"]) => job.resume().map(|()| (202, Vec::new())),
                _ => Ok(refusal(404, "there is no such path")),
            }
        }
        _ => Ok(refusal(405, "this is not done here")),
    }
}

fn newest_model(job: &TrainJob) -> Answer {
    let checkpoints = fs::read_dir(job.folder().unwrap().checkpoints());
    let folders = checkpoints.into_iter().flatten().flatten();
    let models = folders.map(|folder| folder.path().join("model.safetensors"));
    match models.filter(|model| model.is_file()).max() {
        Some(model) => (200, fs::read(model).unwrap()),
        None => (204, Vec::new()),
    }
}

fn job(folder: &Path, name: &str, epochs: usize) -> carrel_training::job::NewJob {
    let recipe = Mnist {
        data: Some(folder.to_owned()),
        ..Mnist::default()
    };
    TrainJob::new(name)
        .recipe(recipe.epochs(epochs).batch(32))
        .ranks(2)
}

#[test]
fn a_job_of_a_service_is_submitted_watched_read_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = service(folder.path());
    let job = jobs.submit(job(folder.path(), "digits", 2)).unwrap();
    assert!(job.id().starts_with("digits-") && job.folder().is_none());
    let status = job.watch().unwrap();
    assert_eq!(status.state(), JobState::Succeeded, "{status}");
    assert_eq!(status.ranks[1].losses.len(), 2);
    assert!(job.logs(1).unwrap().contains("Rank  1 , epoch  1 :  "));
    assert!(matches!(job.logs(2), Err(JobError::NoRank(_, 2))));
    let network = job.model().unwrap();
    let accuracy = status.ranks[0].accuracy.unwrap();
    assert!(accuracy > 0.0 && network.parameters().len() == 8);
    assert_eq!(jobs.list().unwrap().len(), 1);
    assert_eq!(jobs.attach("digits").unwrap().id(), job.id());
    let said = jobs.attach("other").unwrap_err().to_string();
    assert!(
        said.contains("there is no job other in http://127.0.0.1:"),
        "{said}"
    );
}

#[test]
fn a_job_of_a_service_is_cancelled_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = service(folder.path());
    let job = jobs.submit(job(folder.path(), "long", 100_000)).unwrap();
    let epochs = || job.status().unwrap().ranks[0].losses.len();
    assert!(matches!(job.model(), Err(JobError::NoModel(_))) || epochs() > 0);
    wait_for("the first epoch", || epochs() > 0);
    assert!(matches!(job.resume(), Err(JobError::Running(_))));
    job.cancel().unwrap();
    let state = || job.status().unwrap().state();
    wait_for("the end", || state().is_final());
    assert_eq!(state(), JobState::Stopped);
    let before = epochs();
    job.resume().unwrap();
    wait_for("more epochs", || epochs() > before);
    job.cancel().unwrap();
    wait_for("the end", || state().is_final());
}

#[test]
fn what_a_service_refuses_or_says_wrongly_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let submit = |jobs: &RemoteJobs, name: &str| {
        let refused = jobs.submit(job(folder.path(), name, 1));
        refused.unwrap_err().to_string()
    };
    let url = serve(|request| match request.headers.get("authorization") {
        Some(_) => (200, b"<html>".to_vec()),
        None => refusal(403, "the token is missing or wrong"),
    });
    let said = submit(&RemoteJobs::new(&url, None), "digits");
    assert!(
        said.contains("/api/v1/jobs with status 403: the token is missing or wrong"),
        "{said}"
    );
    let said = submit(&RemoteJobs::new(&url, Some("t".into())), "digits");
    assert!(said.contains("something else than a job"), "{said}");
    let away = format!("http://127.0.0.1:{}", free_port());
    let said = submit(&RemoteJobs::new(&away, None), "digits");
    assert!(
        said.contains("cannot be reached: ") && said.contains(&away),
        "{said}"
    );
    let said = submit(&RemoteJobs::new("https://127.0.0.1:1", None), "digits");
    assert!(said.contains("knows no TLS"), "{said}");
    // Before anything is sent.
    assert!(submit(&RemoteJobs::new(&away, None), "a/b").contains("is no name for a job"));
    let strange = serve(|request| {
        let description: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let status = json!({"id": "x", "ranks": []});
        let job = json!({"id": "../x", "description": description, "status": status});
        (201, job.to_string().into_bytes())
    });
    let said = submit(&RemoteJobs::new(&strange, None), "digits");
    assert!(said.contains("\"../x\" is no id of a job"), "{said}");
    let debug = format!("{:?}", RemoteJobs::new(&away, Some("s3cret".into())));
    assert!(!debug.contains("s3cret"), "{debug}");
}

#[test]
fn a_job_that_this_version_cannot_read_hides_no_other() {
    let url = serve(|_| {
        let job = |id: &str, recipe: &str| {
            json!({
                "id": id,
                "description": { "name": "digits", "ranks": 1, "recipe": { "recipe": recipe } },
                "status": { "id": id, "ranks": [{ "state": "Running" }] },
            })
        };
        let jobs = [job("digits-1", "sonnets"), job("digits-2", "mnist")];
        (200, json!({ "jobs": jobs }).to_string().into_bytes())
    });
    let jobs = RemoteJobs::new(&url, None).table().unwrap();
    assert_eq!(jobs.len(), 1);
    let said = jobs.to_string();
    assert!(
        said.ends_with("\nand 1 that this version of Carrel cannot read"),
        "{said}"
    );
}

#[test]
fn watching_outlives_a_service_that_is_away_for_a_moment() {
    let asked = AtomicUsize::new(0);
    let url = serve(move |request| {
        let description = json!({
            "name": "digits", "ranks": 1, "recipe": {"recipe": "mnist", "epochs": 3}
        });
        let state = match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => "Starting",
            2 | 3 => return (0, Vec::new()),
            _ => "Succeeded",
        };
        let status = json!({
            "id": "digits-1", "message": "waits for a node", "ranks": [{"state": state}]
        });
        assert!(text(&request.body).len() < 1000);
        let job = json!({"id": "digits-1", "description": description, "status": status});
        let body = match request.path.ends_with("/jobs") {
            true => json!({ "jobs": [job] }),
            false => job,
        };
        (200, body.to_string().into_bytes())
    });
    let job = RemoteJobs::new(&url, None).attach("digits").unwrap();
    let status = job.watch().unwrap();
    assert_eq!(status.state(), JobState::Succeeded);
    assert!(status.to_string().contains("Succeeded, waits for a node"));
}
