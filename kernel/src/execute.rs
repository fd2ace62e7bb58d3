//! The life of one `execute_request`: count, input, outputs, reply.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::engine::{
    Cell, CommKind, CommMessage, Failure, Late, MimeBundle, Outcome, Output, Parent,
};
use crate::shell::{Answer, Shell};
use crate::wire::content::ExecuteRequest;
use crate::wire::message::Message;

/// Outputs that wait for the publisher before the cell waits too.
const OUTPUTS: usize = 16;

impl Shell {
    /// Runs a cell, when it is its turn. On a subshell that is now or never: cells take turns, for a variable belongs to
    /// one cell at a time, and a subshell that waits is of no more use than none.
    pub async fn execute(&self, message: &Message, request: &ExecuteRequest) -> Answer {
        let turn = match message.header.subshell_id {
            None => Some(self.turn.lock().await),
            Some(_) => self.turn.try_lock().ok(),
        };
        let store = turn.is_some() && request.store_history.unwrap_or(true) && !request.silent;
        let number = 1 + match store {
            true => self.execution_count.fetch_add(1, Ordering::Relaxed),
            false => self.execution_count.load(Ordering::Relaxed),
        };
        let parent = Parent::new(message.as_parent());
        if !request.silent {
            let content = json!({ "code": request.code, "execution_count": number });
            self.kernel
                .iopub
                .publish("execute_input", &parent, content)
                .await;
        }

        let cell = Cell {
            number,
            code: request.code.clone(),
            allow_stdin: request.allow_stdin,
            parent: parent.clone(),
        };
        let (outcome, result) = match turn {
            Some(_turn) => {
                let engine = &self.kernel.engine;
                let run = |outputs| engine.execute(&cell, outputs);
                let ended = self.publish_outputs(message, &parent, &cell, request.silent, run);
                let ended = ended.await;
                // Only a cell asks, and only one runs at a time.
                self.kernel.stdin.cancel();
                ended
            }
            None => (Outcome::Failed(not_its_turn()), None),
        };
        if store {
            self.history.store(number, &request.code, result);
        }
        match outcome {
            Outcome::Ok => {
                let expressions = self
                    .user_expressions(request.user_expressions.as_ref())
                    .await;
                let content = json!({
                    "status": "ok",
                    "execution_count": number,
                    "user_expressions": expressions,
                    "payload": [],
                });
                content.into()
            }
            Outcome::Failed(failure) => {
                self.kernel
                    .iopub
                    .publish("error", &parent, failure_content(&failure))
                    .await;
                let mut content = json!({ "status": "error", "execution_count": number, "user_expressions": {}, "payload": [] });
                extend(&mut content, failure_content(&failure));
                Answer {
                    content: Some(content),
                    failed: request.stop_on_error,
                }
            }
        }
    }

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

    async fn user_expressions(
        &self,
        expressions: Option<&Map<String, Value>>,
    ) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, expression) in expressions.into_iter().flatten() {
            let value = match expression.as_str() {
                Some(expression) => match self.kernel.engine.evaluate(expression).await {
                    Ok(bundle) => {
                        json!({ "status": "ok", "data": bundle.data, "metadata": bundle.metadata })
                    }
                    Err(failure) => user_expression_error(&failure),
                },
                None => user_expression_error(&Failure {
                    ename: "InvalidRequest".to_owned(),
                    evalue: format!("the user expression {name} is not a string"),
                    traceback: Vec::new(),
                }),
            };
            values.insert(name.clone(), value);
        }
        values
    }
}

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

    async fn publish_comm(&self, parent: &Value, comm: CommMessage) {
        self.comms().note(&comm.comm_id, &comm.kind);
        let mut content = json!({ "comm_id": comm.comm_id, "data": comm.data });
        let msg_type = match comm.kind {
            CommKind::Open { target_name } => {
                content["target_name"] = json!(target_name);
                "comm_open"
            }
            CommKind::Message => "comm_msg",
            CommKind::Close => "comm_close",
        };
        let mut message = self
            .kernel
            .session
            .message(msg_type, parent.clone(), content);
        message.metadata = comm.metadata;
        message.buffers = comm.buffers.into_iter().map(Bytes::from).collect();
        self.kernel.iopub.send(message).await;
    }
}

fn not_its_turn() -> Failure {
    Failure {
        ename: "KernelBusy".to_owned(),
        evalue: "a cell runs, and cells take turns, for a variable belongs to one cell at a time; \
                 run this again when that cell has ended"
            .to_owned(),
        traceback: Vec::new(),
    }
}

fn bundle_content(bundle: MimeBundle) -> Value {
    json!({ "data": bundle.data, "metadata": bundle.metadata })
}

/// Content of an `error` message.
pub fn failure_content(failure: &Failure) -> Value {
    json!({ "ename": failure.ename, "evalue": failure.evalue, "traceback": failure.traceback })
}

fn user_expression_error(failure: &Failure) -> Value {
    let mut content = json!({ "status": "error" });
    extend(&mut content, failure_content(failure));
    content
}

fn extend(content: &mut Value, more: Value) {
    if let (Value::Object(content), Value::Object(more)) = (content, more) {
        content.extend(more);
    }
}
