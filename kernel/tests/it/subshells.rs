//! Subshells (JEP 91), and what is answered beside a running cell without them.

use serde_json::{Value, json};

use crate::frontend::{Frontend, types};

#[tokio::test]
async fn subshells_are_created_listed_and_deleted_on_control() {
    let mut frontend = Frontend::start().await;
    let info = frontend.ask("kernel_info", json!({})).await;
    assert_eq!(info["supported_features"], json!(["kernel subshells"]));
    assert_eq!(list(&mut frontend).await, json!([]));
    let (first, second) = (create(&mut frontend).await, create(&mut frontend).await);
    let mut both = [first.clone(), second.clone()];
    both.sort();
    assert_eq!(list(&mut frontend).await, json!(both));
    let deleted = delete(&mut frontend, &first).await;
    assert_eq!(deleted, json!({ "status": "ok" }));
    assert_eq!(list(&mut frontend).await, json!([second]));
    let again = delete(&mut frontend, &first).await;
    assert_eq!(again["ename"], "UnknownSubshell");
}

#[tokio::test]
async fn a_subshell_answers_while_the_main_shell_runs_a_cell() {
    let mut frontend = Frontend::start().await;
    let subshell = create(&mut frontend).await;
    let cell = frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    for (stem, content) in [
        ("complete", json!({ "code": "whi", "cursor_pos": 3 })),
        ("inspect", json!({ "code": "x", "cursor_pos": 1 })),
        ("is_complete", json!({ "code": "1" })),
        ("history", json!({ "hist_access_type": "tail", "n": 1 })),
        ("comm_info", json!({})),
        ("kernel_info", json!({})),
    ] {
        let id = send_to(
            &mut frontend,
            &subshell,
            &format!("{stem}_request"),
            content,
        )
        .await;
        let reply = frontend.recv_shell().await;
        assert_eq!(reply.header.msg_type, format!("{stem}_reply"));
        assert!(reply.content["status"].is_string());
        assert_eq!(reply.parent_header["msg_id"], id.as_str());
        assert_eq!(reply.parent_header["subshell_id"], subshell.as_str());
        assert_eq!(types(&frontend.recv_outputs(&id).await), [""; 0]);
    }
    let content = json!({ "comm_id": "x1", "target_name": "nowhere", "data": {} });
    let id = send_to(&mut frontend, &subshell, "comm_open", content).await;
    assert_eq!(types(&frontend.recv_outputs(&id).await), ["comm_close"]);
    frontend.send_control("interrupt_request", json!({})).await;
    frontend.recv_control().await;
    let reply = frontend.recv_shell().await;
    assert_eq!(reply.parent_header["msg_id"], cell.as_str());
}

#[tokio::test]
async fn a_cell_on_a_subshell_runs_unless_another_runs() {
    let mut frontend = Frontend::start().await;
    let subshell = create(&mut frontend).await;
    let run = json!({ "code": "value 7" });
    let id = send_to(&mut frontend, &subshell, "execute_request", run.clone()).await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(types(&outputs), ["execute_input", "execute_result"]);
    assert_eq!(frontend.recv_shell().await.content["execution_count"], 1);

    frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    let id = send_to(&mut frontend, &subshell, "execute_request", run).await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(types(&outputs), ["execute_input", "error"]);
    let refused = frontend.recv_shell().await.content;
    assert_eq!(refused["ename"], "KernelBusy");
    let told = refused["evalue"].as_str().unwrap();
    assert!(told.contains("cells take turns"), "{told}");
    frontend.interrupt.send(()).await.unwrap();
    assert_eq!(frontend.recv_shell().await.content["ename"], "Interrupted");
    let next = frontend.ask("execute", json!({ "code": "value 8" })).await;
    assert_eq!(next["execution_count"], 3);
}

#[tokio::test]
async fn a_failure_on_a_subshell_aborts_nothing_of_the_main_shell() {
    let mut frontend = Frontend::start().await;
    let subshell = create(&mut frontend).await;
    let fail = json!({ "code": "slow fail" });
    let failing = send_to(&mut frontend, &subshell, "execute_request", fail).await;
    frontend.recv_until("execute_input").await;
    let aborted = send_to(
        &mut frontend,
        &subshell,
        "execute_request",
        json!({ "code": "value 1" }),
    )
    .await;
    let main = frontend.send_execute("value 2").await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let reply = frontend.recv_shell().await;
        let id = reply.parent_header["msg_id"].as_str().unwrap().to_owned();
        statuses.push((id, reply.content["status"].as_str().unwrap().to_owned()));
    }
    statuses.sort();
    let mut expected = [(failing, "error"), (aborted, "aborted"), (main, "ok")]
        .map(|(id, status)| (id, status.to_owned()));
    expected.sort();
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_message_to_a_subshell_that_is_not_there_is_refused() {
    let mut frontend = Frontend::start().await;
    let id = send_to(&mut frontend, "gone", "kernel_info_request", json!({})).await;
    assert_eq!(
        frontend.recv_shell().await.content["ename"],
        "UnknownSubshell"
    );
    assert_eq!(types(&frontend.recv_outputs(&id).await), [""; 0]);
    let id = send_to(
        &mut frontend,
        "gone",
        "comm_msg",
        json!({ "comm_id": "x", "data": {} }),
    )
    .await;
    assert_eq!(types(&frontend.recv_outputs(&id).await), [""; 0]);
    frontend.ask("kernel_info", json!({})).await;
}

#[tokio::test]
async fn completion_on_the_main_shell_overtakes_a_cell_which_is_still_shown_as_busy() {
    let mut frontend = Frontend::start().await;
    let cell = frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    let asked = json!({ "code": "whi", "cursor_pos": 3 });
    let reply = frontend.ask("complete", asked).await;
    assert_eq!(reply["matches"], json!(["while"]));
    let mut states = Vec::new();
    while states.len() < 3 {
        let status = frontend.recv_until("status").await;
        let of_cell = status.parent_header["msg_id"] == cell.as_str();
        states.push((of_cell, status.content["execution_state"].clone()));
    }
    let expected = [(false, "busy"), (false, "idle"), (true, "busy")];
    assert_eq!(
        states,
        expected.map(|(of_cell, state)| (of_cell, json!(state)))
    );
    frontend.interrupt.send(()).await.unwrap();
    frontend.recv_shell().await;
    let last = frontend.recv_until("status").await;
    assert_eq!(last.content["execution_state"], "idle");
    assert_eq!(last.parent_header["msg_id"], cell.as_str());
}

#[tokio::test]
async fn completion_waits_for_no_inspection_and_each_is_told_busy_and_idle() {
    let mut frontend = Frontend::start().await;
    let asked = json!({ "code": "wait", "cursor_pos": 4 });
    let slow = frontend.send_shell("inspect_request", asked).await;
    let asked = json!({ "code": "whi", "cursor_pos": 3 });
    let quick = frontend.send_shell("complete_request", asked).await;
    let reply = frontend.recv_shell().await;
    assert_eq!(reply.parent_header["msg_id"], quick.as_str());
    assert_eq!(reply.content["matches"], json!(["while"]));
    assert_eq!(types(&frontend.recv_outputs(&quick).await), [""; 0]);
    frontend.send_control("interrupt_request", json!({})).await;
    let reply = frontend.recv_shell().await;
    assert_eq!(reply.parent_header["msg_id"], slow.as_str());
    let mut states = Vec::new();
    while states.last() != Some(&json!("idle")) {
        let status = frontend.recv_until("status").await;
        if status.parent_header["msg_id"] == slow.as_str() {
            states.push(status.content["execution_state"].clone());
        }
    }
}

#[tokio::test]
async fn history_on_the_main_shell_waits_for_the_cells_before_it() {
    let mut frontend = Frontend::start().await;
    frontend.send_execute("value 1").await;
    let asked = json!({ "hist_access_type": "tail", "n": 1 });
    frontend.send_shell("history_request", asked).await;
    frontend.recv_shell().await;
    let reply = frontend.recv_shell().await.content;
    assert_eq!(reply["history"], json!([[1, 1, "value 1"]]));
}

async fn send_to(
    frontend: &mut Frontend,
    subshell: &str,
    msg_type: &str,
    content: Value,
) -> String {
    let mut message = frontend.request(msg_type, content);
    message.header.subshell_id = Some(subshell.to_owned());
    let frames = frontend.codec.encode(&message);
    frontend.send_shell_frames(frames).await;
    message.header.msg_id
}

async fn create(frontend: &mut Frontend) -> String {
    let reply = frontend.ask_control("create_subshell", json!({})).await;
    assert_eq!(reply["status"], "ok");
    reply["subshell_id"].as_str().unwrap().to_owned()
}

async fn list(frontend: &mut Frontend) -> Value {
    frontend.ask_control("list_subshell", json!({})).await["subshell_id"].clone()
}

async fn delete(frontend: &mut Frontend, subshell: &str) -> Value {
    frontend
        .ask_control("delete_subshell", json!({ "subshell_id": subshell }))
        .await
}
