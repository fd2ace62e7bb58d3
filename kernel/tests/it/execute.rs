//! `execute_request`: outputs, order, errors, input, interrupt.

use serde_json::json;

use crate::frontend::{Frontend, types};

#[tokio::test]
async fn counts_from_one_and_publishes_between_busy_and_idle() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("value 2").await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(types(&outputs), ["execute_input", "execute_result"]);
    assert_eq!(
        outputs[0].content,
        json!({ "code": "value 2", "execution_count": 1 })
    );
    assert_eq!(outputs[1].content["data"], json!({ "text/plain": "2" }));
    let reply = frontend.recv_shell().await;
    assert_eq!(reply.content["status"], "ok");
    assert_eq!(reply.content["execution_count"], 1);
    assert_eq!(reply.parent_header["msg_id"], id.as_str());
}

#[tokio::test]
async fn ten_thousand_prints_become_few_messages_with_all_text_in_order() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("print 10000").await;
    let outputs = frontend.recv_outputs(&id).await;
    let streams: Vec<_> = outputs
        .iter()
        .filter(|m| m.header.msg_type == "stream")
        .collect();
    assert!(streams.len() <= 60, "{} stream messages", streams.len());
    let text: String = streams
        .iter()
        .filter_map(|m| m.content["text"].as_str())
        .collect();
    let expected: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
    assert_eq!(text, expected);
}

#[tokio::test]
async fn display_and_clear_output_keep_their_fields() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("display").await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(
        types(&outputs),
        ["execute_input", "display_data", "clear_output"]
    );
    assert_eq!(
        outputs[1].content["transient"],
        json!({ "display_id": "d1" })
    );
    assert_eq!(outputs[2].content, json!({ "wait": true }));
}

#[tokio::test]
async fn a_failure_is_one_error_message_and_an_error_reply() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("fail").await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(types(&outputs), ["execute_input", "error"]);
    let reply = frontend.recv_shell().await.content;
    for field in ["ename", "evalue", "traceback"] {
        assert_eq!(reply[field], outputs[1].content[field]);
    }
    assert_eq!(reply["status"], "error");
    assert_eq!(reply["ename"], "panic");
}

#[tokio::test]
async fn stop_on_error_aborts_what_is_queued_and_nothing_after() {
    let mut frontend = Frontend::start().await;
    frontend.send_execute("slow fail").await;
    frontend.send_execute("value 1").await;
    let tail = json!({ "hist_access_type": "tail", "n": 1 });
    frontend.send_shell("history_request", tail).await;
    assert_eq!(frontend.recv_shell().await.content["status"], "error");
    assert_eq!(
        frontend.recv_shell().await.content,
        json!({ "status": "aborted" })
    );
    assert_eq!(frontend.recv_shell().await.header.msg_type, "history_reply");
    let reply = frontend.ask("execute", json!({ "code": "value 2" })).await;
    assert_eq!(
        (&reply["status"], &reply["execution_count"]),
        (&json!("ok"), &json!(2))
    );
}

#[tokio::test]
async fn what_is_sent_with_one_click_is_aborted_by_a_cell_that_fails_at_once() {
    let mut frontend = Frontend::start().await;
    for _ in 0..20 {
        frontend.send_execute("fail").await;
        frontend.send_execute("value 1").await;
        assert_eq!(frontend.recv_shell().await.content["status"], "error");
        assert_eq!(frontend.recv_shell().await.content["status"], "aborted");
        // Sent in knowledge of the failure.
        let reply = frontend.ask("execute", json!({ "code": "value 2" })).await;
        assert_eq!(reply["status"], "ok");
    }
}

#[tokio::test]
async fn without_store_history_a_cell_is_shown_and_not_counted() {
    let mut frontend = Frontend::start().await;
    let content = json!({ "code": "value 1", "store_history": false });
    let id = frontend.send_shell("execute_request", content).await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(types(&outputs), ["execute_input", "execute_result"]);
    assert_eq!(frontend.recv_shell().await.content["execution_count"], 1);
    let reply = frontend.ask("execute", json!({ "code": "value 2" })).await;
    assert_eq!(reply["execution_count"], 1);
    let tail = json!({ "hist_access_type": "tail", "n": 9 });
    let history = frontend.ask("history", tail).await;
    assert_eq!(history["history"], json!([[1, 1, "value 2"]]));
}

#[tokio::test]
async fn without_stop_on_error_the_queue_goes_on() {
    let mut frontend = Frontend::start().await;
    let content = json!({ "code": "slow fail", "stop_on_error": false });
    frontend.send_shell("execute_request", content).await;
    frontend.send_execute("value 1").await;
    assert_eq!(frontend.recv_shell().await.content["status"], "error");
    assert_eq!(frontend.recv_shell().await.content["status"], "ok");
}

#[tokio::test]
async fn a_silent_cell_has_no_input_no_result_no_count_and_no_history() {
    let mut frontend = Frontend::start().await;
    let id = frontend
        .send_shell(
            "execute_request",
            json!({ "code": "value 1", "silent": true }),
        )
        .await;
    assert_eq!(types(&frontend.recv_outputs(&id).await), [""; 0]);
    frontend.recv_shell().await;
    let reply = frontend.ask("execute", json!({ "code": "value 2" })).await;
    assert_eq!(reply["execution_count"], 1);
    let history = frontend
        .ask("history", json!({ "hist_access_type": "tail", "n": 9 }))
        .await;
    assert_eq!(history["history"], json!([[1, 1, "value 2"]]));
}

#[tokio::test]
async fn user_expressions_are_evaluated_each_by_itself() {
    let mut frontend = Frontend::start().await;
    let expressions = json!({ "a": "x", "b": "bad", "c": 3 });
    let content = json!({ "code": "value 1", "user_expressions": expressions });
    let values = frontend.ask("execute", content).await["user_expressions"].clone();
    assert_eq!(values["a"]["data"], json!({ "text/plain": "x" }));
    assert_eq!(values["b"]["status"], "error");
    assert_eq!(values["c"]["status"], "error");
}

#[tokio::test]
async fn input_goes_to_the_asking_frontend_with_its_parent_and_the_unfinished_line() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("input name?").await;
    let question = frontend.recv_stdin().await;
    assert_eq!(question.header.msg_type, "input_request");
    assert_eq!(question.content["password"], false);
    assert_eq!(question.parent_header["msg_id"], id.as_str());
    frontend.send_input("Ada").await;
    let mut printed = String::new();
    for output in frontend.recv_outputs(&id).await {
        printed.push_str(output.content["text"].as_str().unwrap_or_default());
    }
    let (before, after) = printed.split_once("got Ada\n").unwrap();
    assert_eq!(after, "");
    // Text that was published already, on a slow machine, is not asked with again.
    let prompt = question.content["prompt"].as_str().unwrap();
    assert_eq!(format!("{before}{prompt}"), "asking\nDear name?");
}

#[tokio::test]
async fn input_is_refused_without_allow_stdin_and_ended_by_an_interrupt() {
    let mut frontend = Frontend::start().await;
    let content = json!({ "code": "input x", "allow_stdin": false });
    assert_eq!(frontend.ask("execute", content).await["ename"], "no input");
    frontend.send_execute("input y").await;
    frontend.recv_stdin().await;
    frontend.send_control("interrupt_request", json!({})).await;
    assert_eq!(frontend.recv_shell().await.content["ename"], "no input");
}

#[tokio::test]
async fn control_answers_and_interrupts_while_a_cell_runs() {
    let mut frontend = Frontend::start().await;
    frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    frontend
        .send_control("kernel_info_request", json!({}))
        .await;
    assert_eq!(
        frontend.recv_control().await.header.msg_type,
        "kernel_info_reply"
    );
    frontend.send_control("interrupt_request", json!({})).await;
    assert_eq!(
        frontend.recv_control().await.header.msg_type,
        "interrupt_reply"
    );
    assert_eq!(frontend.recv_shell().await.content["ename"], "Interrupted");
}

#[tokio::test]
async fn an_interrupt_on_the_shell_channel_does_not_wait_for_the_cell() {
    let mut frontend = Frontend::start().await;
    frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    frontend.ask("interrupt", json!({})).await;
    assert_eq!(frontend.recv_shell().await.content["ename"], "Interrupted");
}

#[tokio::test]
async fn sigint_interrupts_like_the_message() {
    let mut frontend = Frontend::start().await;
    frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    frontend.interrupt.send(()).await.unwrap();
    assert_eq!(frontend.recv_shell().await.content["ename"], "Interrupted");
}
