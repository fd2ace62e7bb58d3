//! Hands the newest model of rank 0 to the jobs service that started it, so that a notebook has it without a volume.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use carrel_report::{MODEL_URL_VARIABLE, SIGNATURE_HEADER, TOKEN_VARIABLE, sign};

use super::secret;
use crate::http::{self, variable};
use crate::trainer::{Checkpoint, Epoch, Watcher};

/// How long one may take. A pod that is ended has 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends what a folder of checkpoints has that is new.
pub struct ModelSender {
    epochs: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl ModelSender {
    /// As the process's variables say; None where they name nobody who keeps models.
    pub fn from_process(checkpoints: PathBuf) -> Option<Self> {
        let mut upload = Upload {
            url: variable(MODEL_URL_VARIABLE)?,
            token: variable(TOKEN_VARIABLE),
            secret: secret(),
            agent: http::agent().timeout_global(Some(PATIENCE)).build().into(),
            checkpoints,
            sent: None,
        };
        // One epoch that waits stands for all.
        let (epochs, told) = sync_channel(1);
        let thread = thread::spawn(move || upload.run(&told));
        Some(Self { epochs, thread })
    }

    /// For the trainer.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(Epochs(self.epochs.clone()))
    }

    /// Sends the last one, after the trainer and its watchers are gone.
    pub fn end(self) {
        drop(self.epochs);
        // What went wrong was said by the thread.
        let _ = self.thread.join();
    }
}

struct Epochs(SyncSender<()>);

impl Watcher for Epochs {
    fn epoch(&mut self, _number: usize, _epoch: &Epoch) {
        // Full where one waits already.
        let _ = self.0.try_send(());
    }
}

struct Upload {
    url: String,
    token: Option<String>,
    secret: Vec<u8>,
    agent: ureq::Agent,
    checkpoints: PathBuf,
    sent: Option<PathBuf>,
}

impl Upload {
    /// After an epoch, and once more at the end.
    fn run(&mut self, told: &Receiver<()>) {
        let mut complained = false;
        loop {
            let is_last = told.recv().is_err();
            if let (Err(reason), false) = (self.send_newest(), complained) {
                complained = true;
                let url = &self.url;
                eprintln!("cannot hand the model to {url}, but training goes on: {reason}");
            }
            if is_last {
                return;
            }
        }
    }

    fn send_newest(&mut self) -> Result<(), String> {
        let Some(path) = Checkpoint::newest_model(&self.checkpoints) else {
            return Ok(());
        };
        if self.sent.as_ref() == Some(&path) {
            return Ok(());
        }
        http::check(&self.url)?;
        let body = std::fs::read(&path).map_err(|error| error.to_string())?;
        let request = http::request("PUT", &self.url, self.token.as_deref())
            .header(SIGNATURE_HEADER, sign(&self.secret, &body));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let response = self.agent.run(request);
        response.map_err(|error| error.to_string())?;
        self.sent = Some(path);
        Ok(())
    }
}
