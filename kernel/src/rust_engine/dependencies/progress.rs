//! One line in the notebook that changes in place while dependencies are built.

use std::time::Instant;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::engine::{MimeBundle, Output};

#[derive(Debug)]
pub struct Progress<'a> {
    outputs: &'a mpsc::Sender<Output>,
    display_id: String,
    begun: Instant,
    step: String,
    shown: Option<String>,
}

impl<'a> Progress<'a> {
    pub fn new(outputs: &'a mpsc::Sender<Output>) -> Self {
        Self {
            outputs,
            display_id: Uuid::new_v4().to_string(),
            begun: Instant::now(),
            step: String::new(),
            shown: None,
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

    /// The line that stays.
    pub async fn end(&mut self, text: &str) {
        let seconds = self.begun.elapsed().as_secs();
        match seconds {
            0 => self.show(text.to_owned()).await,
            _ => self.show(format!("{text}, in {seconds} s")).await,
        }
    }

    /// A line that does not look as if something went on.
    pub async fn fail(&mut self) {
        if self.shown.is_some() {
            self.show("failed".to_owned()).await;
        }
    }

    async fn show(&mut self, text: String) {
        if self.shown.as_ref() == Some(&text) {
            return;
        }
        let output = Output::Display {
            bundle: MimeBundle::plain(text.clone()),
            display_id: Some(self.display_id.clone()),
            update: self.shown.replace(text).is_some(),
        };
        // Nobody listens if the frontend is gone.
        let _ = self.outputs.send(output).await;
    }
}
