//! The life of one `execute_request`: count, input, run, reply.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::{Answer, Shell};
use crate::engine::{Cell, Failure, Outcome, Parent};
use crate::replies::failure_content;
use crate::wire::content::ExecuteRequest;
use crate::wire::message::Message;

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

fn not_its_turn() -> Failure {
    Failure {
        ename: "KernelBusy".to_owned(),
        evalue: "a cell runs, and cells take turns, for a variable belongs to one cell at a time; \
                 run this again when that cell has ended"
            .to_owned(),
        traceback: Vec::new(),
    }
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
