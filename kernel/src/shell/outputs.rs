//! What cells print, show and answer, on its way to iopub.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Shell;
use crate::engine::{Cell, Late, MimeBundle, Outcome, Output};
use crate::wire::message::Message;

/// Outputs that wait for the publisher before the cell waits too.
const OUTPUTS: usize = 16;

/// Publishes the outputs of one cell in the order in which they come.
struct CellOutputs<'a> {
    shell: &'a Shell,
    message: &'a Message,
    parent: &'a Value,
    cell: &'a Cell,
    silent: bool,
    /// Plain text of the result, for the history.
    result: Option<String>,
}

impl CellOutputs<'_> {
    async fn publish_all(&mut self, mut outputs: mpsc::Receiver<Output>) {
        while let Some(output) = outputs.recv().await {
            self.publish(output).await;
        }
    }

    async fn publish(&mut self, output: Output) {
        let iopub = &self.shell.kernel.iopub;
        match output {
            Output::Result { bundle } => {
                self.result = bundle
                    .data
                    .get("text/plain")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                // As in ipykernel, a silent cell hides its input and its result, and still prints.
                if !self.silent {
                    let mut content = bundle_content(bundle);
                    content["execution_count"] = json!(self.cell.number);
                    iopub.publish("execute_result", self.parent, content).await;
                }
            }
            // Dropping `reply` tells the cell that no line comes.
            Output::Input { .. } if !self.cell.allow_stdin => {}
            Output::Input {
                prompt,
                password,
                reply,
            } => {
                // A frontend shows the question below what was printed before it; of that, the unfinished last line
                // is the start of the question, unless it was published already.
                let line = iopub.take_unfinished_line().await;
                iopub.flush().await;
                self.shell
                    .kernel
                    .stdin
                    .ask(self.message, &(line + &prompt), password, reply)
                    .await;
            }
            output => self.shell.publish(self.parent, output).await,
        }
    }
}

impl Shell {
    /// Publishes the outputs of `run` while it runs; also gives the result's text.
    pub async fn publish_outputs<R: Future<Output = Outcome>>(
        &self,
        message: &Message,
        parent: &Value,
        cell: &Cell,
        silent: bool,
        run: impl FnOnce(mpsc::Sender<Output>) -> R,
    ) -> (Outcome, Option<String>) {
        let (sender, outputs) = mpsc::channel(OUTPUTS);
        let mut publisher = CellOutputs {
            shell: self,
            message,
            parent,
            cell,
            silent,
            result: None,
        };
        let (outcome, ()) = tokio::join!(run(sender), publisher.publish_all(outputs));
        let result = publisher.result;
        self.kernel.iopub.flush().await;
        (outcome, result)
    }

    /// Publishes what threads and tasks print and show when their cell has ended, until the engine ends.
    pub async fn publish_late(&self, mut outputs: mpsc::Receiver<Late>) {
        while let Some(Late { parent, output }) = outputs.recv().await {
            self.publish(&parent, output).await;
        }
    }

    /// Publishes an output that any thread of a cell can have.
    async fn publish(&self, parent: &Value, output: Output) {
        let iopub = &self.kernel.iopub;
        match output {
            Output::Stream { name, text } => iopub.stream(parent, name, text).await,
            Output::Display {
                bundle,
                display_id,
                update,
            } => {
                let msg_type = if update {
                    "update_display_data"
                } else {
                    "display_data"
                };
                let mut content = bundle_content(bundle);
                content["transient"] =
                    display_id.map_or_else(|| json!({}), |id| json!({ "display_id": id }));
                iopub.publish(msg_type, parent, content).await;
            }
            Output::ClearOutput { wait } => {
                iopub
                    .publish("clear_output", parent, json!({ "wait": wait }))
                    .await
            }
            Output::Comm(comm) => self.publish_comm(parent, comm).await,
            // Only a running cell has a result, and may ask.
            Output::Result { .. } | Output::Input { .. } => {}
        }
    }
}

fn bundle_content(bundle: MimeBundle) -> Value {
    json!({ "data": bundle.data, "metadata": bundle.metadata })
}
