//! Every other request type has its answer.

use std::process::Command;
use std::time::Duration;

use carrel_kernel::engine::Engine;
use carrel_kernel::rust_engine::RustEngine;
use serde_json::{Value, json};

use crate::frontend::{Frontend, types};

#[tokio::test]
async fn kernel_info_names_protocol_and_language() {
    let mut frontend = Frontend::start().await;
    let info = frontend.ask("kernel_info", json!({})).await;
    assert_eq!(info["status"], "ok");
    assert_eq!(info["protocol_version"], "5.5");
    assert_eq!(info["debugger"], false);
    assert_eq!(info["language_info"]["name"], "rust");
    assert_eq!(info["language_info"]["file_extension"], ".rs");
    assert_eq!(info["language_info"]["version"], "1.2.3");
    // The engine's is that of the compiler, to the last number.
    let version = RustEngine::default().language_version().await.unwrap();
    let rustc = Command::new("rustc").arg("--version").output().unwrap();
    let told = String::from_utf8(rustc.stdout).unwrap();
    assert!(
        told.starts_with(&format!("rustc {version} ")),
        "{told} {version}"
    );
}

#[tokio::test]
async fn control_answers_what_belongs_there_between_busy_and_idle() {
    let mut frontend = Frontend::start().await;
    let info = frontend.ask_control("kernel_info", json!({})).await;
    assert_eq!(info, frontend.ask("kernel_info", json!({})).await);
    let interrupt = frontend.ask_control("interrupt", json!({})).await;
    assert_eq!(interrupt, json!({ "status": "ok" }));
    let stray = frontend.ask_control("execute", json!({ "code": "" })).await;
    assert_eq!(stray["ename"], "UnsupportedRequest");
}

#[tokio::test]
async fn connect_tells_the_ports() {
    let mut frontend = Frontend::start().await;
    let ports = frontend.ask("connect", json!({})).await;
    assert_eq!(
        ports,
        json!({ "status": "ok", "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5 })
    );
}

#[tokio::test]
async fn is_complete_tells_the_three_states() {
    let mut frontend = Frontend::start().await;
    let deep = "(".repeat(20_000) + &")".repeat(20_000);
    let minus = "-".repeat(30_000) + "1";
    for (code, status) in [
        ("", "complete"),
        ("1 + 1", "complete"),
        ("let x = 1;", "complete"),
        ("fn f() -> char { '{' }", "complete"),
        ("struct S<'a>(&'a str);", "complete"),
        ("let s = r#\"un\"closed( \"#;", "complete"),
        ("1 // {", "complete"),
        (":dep ndarray", "complete"),
        ("!echo \"it's", "complete"),
        ("!(true &&", "incomplete"),
        ("fn f() {", "incomplete"),
        ("let x =", "incomplete"),
        ("let x = 1", "incomplete"),
        ("1 +", "incomplete"),
        ("\"abc", "incomplete"),
        ("/* a /* b */", "incomplete"),
        ("vec![1,", "incomplete"),
        ("f(1 +)", "invalid"),
        ("}", "invalid"),
        ("(]", "invalid"),
        ("let = 2;", "invalid"),
        ("fn fn() {}", "invalid"),
        (&deep, "unknown"),
        (&minus, "complete"),
    ] {
        let reply = frontend.ask("is_complete", json!({ "code": code })).await;
        let shown: String = code.chars().take(30).collect();
        assert_eq!(reply["status"], status, "{shown:?}");
    }
    let reply = frontend
        .ask("is_complete", json!({ "code": "fn f() {\n    if a {" }))
        .await;
    assert_eq!(reply["indent"], "        ");
}

#[tokio::test]
async fn completion_counts_in_code_points() {
    let mut frontend = Frontend::start().await;
    let code = "\"\u{1f980}e\u{301}\"; str";
    let reply = frontend
        .ask(
            "complete",
            json!({ "code": code, "cursor_pos": code.chars().count() }),
        )
        .await;
    assert_eq!(reply["matches"], json!(["struct"]));
    assert_eq!(
        (&reply["cursor_start"], &reply["cursor_end"]),
        (&json!(7), &json!(10))
    );
    let beyond = frontend
        .ask("complete", json!({ "code": "wh", "cursor_pos": 99 }))
        .await;
    assert_eq!(beyond["matches"], json!(["where", "while"]));
    assert_eq!(beyond["cursor_end"], 2);
    let member = frontend
        .ask(
            "complete",
            json!({ "code": "lead; x.le", "cursor_pos": 10 }),
        )
        .await;
    assert_eq!(member["matches"], json!(["lead"]));
}

#[tokio::test]
async fn what_the_engine_knows_comes_with_its_types() {
    let mut frontend = Frontend::start().await;
    let code = "known.me";
    let reply = frontend
        .ask("complete", json!({ "code": code, "cursor_pos": 6 }))
        .await;
    assert_eq!(reply["matches"], json!(["method"]));
    let typed =
        json!({ "start": 6, "end": 6, "text": "method", "type": "method", "signature": "fn()" });
    assert_eq!(
        reply["metadata"]["_jupyter_types_experimental"],
        json!([typed])
    );
    let request = json!({ "code": "known é", "cursor_pos": 7, "detail_level": 1 });
    let reply = frontend.ask("inspect", request).await;
    assert_eq!(reply["found"], true);
    assert_eq!(reply["data"]["text/plain"], "known é true");
}

#[tokio::test]
async fn history_gives_tail_range_and_search() {
    let mut frontend = Frontend::start().await;
    for code in ["value 1", "print 1", "value 1"] {
        frontend.ask("execute", json!({ "code": code })).await;
    }
    let tail = json!({ "hist_access_type": "tail", "n": 1, "output": true, "raw": true });
    assert_eq!(
        history(&mut frontend, tail).await,
        json!([[1, 3, ["value 1", "1"]]])
    );
    let range = json!({ "hist_access_type": "range", "session": 0, "start": 2, "stop": 3 });
    assert_eq!(
        history(&mut frontend, range).await,
        json!([[1, 2, "print 1"]])
    );
    let search = json!({ "hist_access_type": "search", "pattern": "v?l*1", "unique": true });
    assert_eq!(
        history(&mut frontend, search).await,
        json!([[1, 3, "value 1"]])
    );
}

#[tokio::test]
async fn inspect_comm_info_debug_and_unknown_types_are_answered() {
    let mut frontend = Frontend::start().await;
    let inspect = frontend
        .ask("inspect", json!({ "code": "x", "cursor_pos": 1 }))
        .await;
    assert_eq!(inspect["found"], false);
    assert_eq!(
        frontend.ask("comm_info", json!({})).await["comms"],
        json!({})
    );
    let debug = frontend
        .ask("debug", json!({ "command": "initialize" }))
        .await;
    assert_eq!(debug["ename"], "UnsupportedRequest");
    assert_eq!(frontend.ask("flibber", json!({})).await["status"], "error");
    let id = frontend.send_shell("flibber", json!({})).await;
    assert_eq!(types(&frontend.recv_outputs(&id).await), [""; 0]);
}

#[tokio::test]
async fn a_comm_to_an_unknown_target_is_closed() {
    let mut frontend = Frontend::start().await;
    let content = json!({ "comm_id": "x1", "target_name": "nowhere", "data": {} });
    let id = frontend.send_shell("comm_open", content).await;
    let outputs = frontend.recv_outputs(&id).await;
    assert_eq!(types(&outputs), ["comm_close"]);
    assert_eq!(outputs[0].content["comm_id"], "x1");
}

#[tokio::test]
async fn messages_of_an_open_comm_reach_the_cells_with_their_buffers() {
    let mut frontend = Frontend::start().await;
    let content = json!({ "comm_id": "e1", "target_name": "echo", "data": {} });
    frontend.send_shell("comm_open", content).await;
    let comms = frontend.ask("comm_info", json!({})).await["comms"].clone();
    assert_eq!(comms, json!({ "e1": { "target_name": "echo" } }));
    let mut message = frontend.request("comm_msg", json!({ "comm_id": "e1", "data": [1] }));
    message.buffers = vec![vec![0, 255].into(), b"second".to_vec().into()];
    let frames = frontend.codec.encode(&message);
    frontend.send_shell_frames(frames).await;
    let outputs = frontend.recv_outputs(&message.header.msg_id).await;
    assert_eq!(types(&outputs), ["comm_msg"]);
    assert_eq!(outputs[0].content["data"], json!([1]));
    assert_eq!(outputs[0].buffers, message.buffers);
    let failing = json!({ "comm_id": "e1", "data": null });
    let id = frontend.send_shell("comm_msg", failing).await;
    assert_eq!(types(&frontend.recv_outputs(&id).await), ["error"]);
    let unknown = json!({ "comm_id": "e2", "data": {} });
    let id = frontend.send_shell("comm_msg", unknown).await;
    assert_eq!(types(&frontend.recv_outputs(&id).await), [""; 0]);
}

#[tokio::test]
async fn shutdown_answers_says_idle_and_ends_the_kernel() {
    let mut frontend = Frontend::start().await;
    frontend.send_execute("wait").await;
    frontend.recv_until("stream").await;
    let id = frontend
        .send_control("shutdown_request", json!({ "restart": true }))
        .await;
    let reply = frontend.recv_control().await;
    assert_eq!(reply.header.msg_type, "shutdown_reply");
    assert_eq!(reply.content, json!({ "status": "ok", "restart": true }));
    assert_eq!(types(&frontend.recv_outputs(&id).await), ["shutdown_reply"]);
    tokio::time::timeout(Duration::from_secs(10), frontend.kernel)
        .await
        .unwrap()
        .unwrap();
}

async fn history(frontend: &mut Frontend, content: Value) -> Value {
    frontend.ask("history", content).await["history"].clone()
}
