//! One line in the notebook that changes in place while dependencies are built.

use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use uuid::Uuid;

use crate::engine::{MimeBundle, Output};

#[derive(Debug)]
pub struct Progress<'a> {
    outputs: &'a mpsc::Sender<Output>,
    display_id: String,
    begun: Instant,
    step: String,
    shown: Option<String>,
    over: bool,
    notes: Vec<String>,
}

impl<'a> Progress<'a> {
    pub fn new(outputs: &'a mpsc::Sender<Output>) -> Self {
        Self {
            outputs,
            display_id: Uuid::new_v4().to_string(),
            begun: Instant::now(),
            step: String::new(),
            shown: None,
            over: false,
            notes: Vec::new(),
        }
    }

    pub async fn step(&mut self, step: &str) {
        if self.step != step {
            step.clone_into(&mut self.step);
            self.tick().await;
        }
    }

    /// Shows the step with the time that has passed.
    pub async fn tick(&mut self) {
        let seconds = self.begun.elapsed().as_secs();
        let text = match (self.step.is_empty(), seconds) {
            (true, _) => return,
            (false, 0) => self.step.clone(),
            (false, _) => format!("{} ({seconds} s)", self.step),
        };
        self.show(text).await;
    }

    /// Something to be told behind the line that stays.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The line that stays.
    pub async fn end(&mut self, text: &str) {
        let text = match self.notes.is_empty() {
            true => text.to_owned(),
            false => format!("{text} ({})", self.notes.join("; ")),
        };
        let seconds = self.begun.elapsed().as_secs();
        self.over = true;
        match seconds {
            0 => self.show(text).await,
            _ => self.show(format!("{text}, in {seconds} s")).await,
        }
    }

    /// A line that does not look as if something went on.
    pub async fn fail(&mut self) {
        self.close("failed").await;
    }

    /// A line that stays where one was shown.
    pub async fn close(&mut self, text: &str) {
        self.over = true;
        if self.shown.is_some() {
            self.show(text.to_owned()).await;
        }
    }

    async fn show(&mut self, text: String) {
        if self.shown.as_ref() == Some(&text) {
            return;
        }
        let output = self.line(&text, self.shown.is_some());
        self.shown = Some(text);
        // Nobody listens if the frontend is gone.
        let _ = self.outputs.send(output).await;
    }

    fn line(&self, text: &str, update: bool) -> Output {
        Output::Display {
            bundle: MimeBundle::plain(text.to_owned()),
            display_id: Some(self.display_id.clone()),
            update,
        }
    }
}

/// An interrupt drops what is built where it stands.
impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.over || self.shown.is_none() {
            return;
        }
        let line = self.line("interrupted", true);
        let Err(TrySendError::Full(line)) = self.outputs.try_send(line) else {
            return;
        };
        // The cell's outputs end when this was sent too.
        let outputs = self.outputs.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { outputs.send(line).await });
        }
    }
}
