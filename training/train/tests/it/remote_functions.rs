//! Functions as jobs of a jobs service: their files travel there once, and what ranks give back comes from there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use carrel_training::job::{Description, Report, SECRET_VARIABLE, Work};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::functions::program;
use crate::harness::{free_port, text};
use crate::http::{Answer, Request, serve};

/// Keeps objects, runs each job as processes, and notes what ranks say.
#[derive(Default)]
struct Service {
    folder: PathBuf,
    address: OnceLock<String>,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    results: Mutex<BTreeMap<String, Vec<u8>>>,
    /// By the rank's number.
    reports: Mutex<BTreeMap<usize, Report>>,
    uploads: Mutex<usize>,
    description: OnceLock<Description>,
}

const PREFIX: &str = "/services/training/api/v1/";

fn service(folder: &Path) -> Arc<Service> {
    let service = Arc::new(Service {
        folder: folder.to_owned(),
        ..Service::default()
    });
    let own = Arc::clone(&service);
    let address = serve(move |request| own.answer(request));
    let address = format!("{address}/services/training");
    service.address.set(address).unwrap();
    service
}

impl Service {
    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let path: Vec<&str> = path.split('/').collect();
        let found = |bytes: Option<&Vec<u8>>| match bytes {
            Some(bytes) => (200, bytes.clone()),
            None => (404, Vec::new()),
        };
        match (request.method.as_str(), path.as_slice()) {
            ("HEAD", ["objects", digest]) => {
                let there = self.objects.lock().unwrap().contains_key(*digest);
                (if there { 200 } else { 404 }, Vec::new())
            }
            ("PUT", ["objects", digest]) => {
                assert_eq!(hex::encode(Sha256::digest(&request.body)), *digest);
                *self.uploads.lock().unwrap() += 1;
                let body = request.body.clone();
                self.objects
                    .lock()
                    .unwrap()
                    .insert((*digest).to_owned(), body);
                (204, Vec::new())
            }
            ("GET", ["jobs", _, "objects", digest]) => {
                found(self.objects.lock().unwrap().get(*digest))
            }
            ("POST", ["jobs"]) => self.start(&request.body),
            ("GET", ["jobs", _]) => (200, self.view().to_string().into_bytes()),
            ("POST", ["jobs", _, "ranks", rank, "status"]) => {
                let report = serde_json::from_slice(&request.body).unwrap();
                let rank = rank.parse().unwrap();
                self.reports.lock().unwrap().insert(rank, report);
                (204, Vec::new())
            }
            ("PUT", ["jobs", _, "ranks", rank, "result"]) => {
                let body = request.body.clone();
                self.results
                    .lock()
                    .unwrap()
                    .insert((*rank).to_owned(), body);
                (204, Vec::new())
            }
            ("GET", ["jobs", _, "ranks", rank, "result"]) => {
                found(self.results.lock().unwrap().get(*rank))
            }
            _ => (
                404,
                json!({"status": 404, "message": request.path})
                    .to_string()
                    .into_bytes(),
            ),
        }
    }

    fn start(&self, body: &[u8]) -> Answer {
        let description: Description = serde_json::from_slice(body).unwrap();
        let Work::Function(_) = &description.work else {
            panic!("no function: {description:?}")
        };
        let (port, job) = (
            free_port(),
            format!("{}/api/v1/jobs/one-1", self.address.get().unwrap()),
        );
        for rank in 0..description.ranks {
            // As in a pod: nothing is there but the description, and a folder for objects.
            let folder = self.folder.join(rank.to_string());
            let objects = folder.join("objects");
            fs::create_dir_all(&objects).unwrap();
            fs::write(folder.join("job.json"), body).unwrap();
            let mut child = Command::new(program())
                .arg("run-function")
                .arg(&folder)
                .env("RANK", rank.to_string())
                .env("WORLD_SIZE", description.ranks.to_string())
                .env("MASTER_ADDR", "127.0.0.1")
                .env("MASTER_PORT", port.to_string())
                .env("LD_LIBRARY_PATH", &objects)
                .env(SECRET_VARIABLE, "secret")
                .env("CARREL_JOB", "one-1")
                .env("CARREL_STATUS_URL", format!("{job}/ranks/{{rank}}/status"))
                .env("CARREL_STATUS_TOKEN", "t0ken")
                .env("CARREL_OBJECTS_URL", format!("{job}/objects"))
                .env("CARREL_RESULT_URL", format!("{job}/ranks/{{rank}}/result"))
                .env_remove("LOAD")
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            thread::spawn(move || child.wait());
        }
        self.description.set(description).unwrap();
        (201, self.view().to_string().into_bytes())
    }

    fn view(&self) -> Value {
        let description = self.description.get().unwrap();
        let reports = self.reports.lock().unwrap();
        let status = |rank| {
            reports
                .get(&rank)
                .map_or(json!({}), |report| json!(report.status))
        };
        let ranks: Vec<_> = (0..description.ranks).map(status).collect();
        json!({"id": "one-1", "description": description, "status": {"id": "one-1", "ranks": ranks}})
    }

    fn run(&self, name: &str, load: Option<&Path>) -> Output {
        let mut command = Command::new(program());
        command.arg(self.address.get().unwrap()).arg(name);
        command.envs(load.map(|path| ("LOAD", path)));
        command.stdin(Stdio::null()).output().unwrap()
    }
}

#[test]
fn a_service_runs_a_function_and_hands_its_results_over() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let output = service.run("train", None);
    let said = text(&output.stdout);
    let losses = said.trim_end().trim_matches(['[', ']']).split(", ");
    let losses: Vec<f32> = losses.map(|loss| loss.parse().unwrap()).collect();
    assert!(
        losses.len() == 3 && losses.iter().all(|loss| *loss < 0.01),
        "{said}"
    );
    // The trainer in the function reports as that of a recipe does.
    let reports = service.reports.lock().unwrap();
    assert!(
        reports
            .values()
            .all(|report| report.status.losses.len() == 20)
    );
}

#[test]
fn objects_travel_once_and_are_loaded_by_each_rank() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("cell.c");
    fs::write(&source, "int cell(void) { return 7; }").unwrap();
    let object = folder.path().join("libcell_1.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&object);
    assert!(compiler.arg(&source).status().unwrap().success());
    let expected = "[{\"libcell_1.so\"}, {\"libcell_1.so\"}]\n";
    let first = service(&folder.path().join("first"));
    let output = first.run("loaded", Some(&object));
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    assert_eq!(*first.uploads.lock().unwrap(), 1);
    // A service that has them is not sent them again.
    let second = service(&folder.path().join("second"));
    *second.objects.lock().unwrap() = first.objects.lock().unwrap().clone();
    let output = second.run("loaded", Some(&object));
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    assert_eq!(*second.uploads.lock().unwrap(), 0);
}

#[test]
fn what_a_rank_cannot_have_or_hand_over_is_its_failure() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let output = service.run("fail", None);
    let said = text(&output.stderr);
    assert!(said.contains("rank 1: there is no number one"), "{said}");
}
