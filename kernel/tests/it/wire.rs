//! Frames, signatures, identities, buffers, heartbeat, several clients.

use bytes::Bytes;
use carrel_kernel::connection::ConnectionFile;
use carrel_kernel::wire::signature::Scheme;
use serde_json::json;
use zeromq::{SocketRecv, SocketSend, ZmqMessage};

use crate::frontend::{Frontend, dealer, recv, subscriber, types};

#[tokio::test]
async fn a_dropped_message_leaves_the_kernel_answering() {
    let mut frontend = Frontend::start().await;
    let good = frontend
        .codec
        .encode(&frontend.request("kernel_info_request", json!({})));
    let mut four_parts = good.clone();
    four_parts.truncate(5);
    let mut forged = good.clone();
    forged[1] = Bytes::from("0".repeat(64));
    let mut not_hex = good.clone();
    not_hex[1] = Bytes::from_static(b"zz\xff");
    let mut changed = good.clone();
    changed[5] = Bytes::from_static(b"{\"a\":1}");
    let only_text = vec![Bytes::from_static(b"hello")];
    for bad in [four_parts, forged, not_hex, changed, only_text] {
        frontend.send_shell_frames(bad).await;
    }
    assert_only_answers(&mut frontend).await;
}

#[tokio::test]
async fn a_replayed_message_is_answered_once() {
    let mut frontend = Frontend::start().await;
    let frames = frontend
        .codec
        .encode(&frontend.request("kernel_info_request", json!({})));
    frontend.send_shell_frames(frames.clone()).await;
    frontend.recv_shell().await;
    frontend.send_shell_frames(frames).await;
    assert_only_answers(&mut frontend).await;
}

#[tokio::test]
async fn broken_json_under_an_empty_key_is_dropped() {
    let mut frontend = Frontend::start_with("", Scheme::default()).await;
    let good = frontend
        .codec
        .encode(&frontend.request("kernel_info_request", json!({})));
    for part in 2..6 {
        let mut bad = good.clone();
        bad[part] = Bytes::from_static(b"{\"msg_id\":");
        frontend.send_shell_frames(bad).await;
    }
    assert_only_answers(&mut frontend).await;
}

#[tokio::test]
async fn content_of_the_wrong_shape_is_answered_with_an_error() {
    let mut frontend = Frontend::start().await;
    let reply = frontend.ask("execute", json!({ "code": 7 })).await;
    assert_eq!(
        (&reply["status"], &reply["ename"]),
        (&json!("error"), &json!("InvalidRequest"))
    );
}

#[tokio::test]
async fn buffers_are_outside_the_signature_in_both_directions() {
    let mut frontend = Frontend::start().await;
    let mut message = frontend.request("execute_request", json!({ "code": "comm" }));
    message.buffers = vec![Bytes::from_static(b"\xff\x00 raw")];
    let frames = frontend.codec.encode(&message);
    frontend.send_shell_frames(frames).await;
    let open = frontend.recv_until("comm_open").await;
    assert_eq!(open.content["target_name"], "plot");
    assert_eq!(
        open.buffers,
        [
            Bytes::from_static(b"\x00\xff"),
            Bytes::from_static(b"second")
        ]
    );
    frontend.recv_shell().await;
    let info = frontend.ask("comm_info", json!({})).await;
    assert_eq!(info["comms"], json!({ "c1": { "target_name": "plot" } }));
}

#[tokio::test]
async fn identities_of_several_frames_come_back() {
    let mut frontend = Frontend::start().await;
    let mut message = frontend.request("kernel_info_request", json!({}));
    message.identities = vec![Bytes::from_static(b"via"), Bytes::from_static(b"proxy")];
    let frames = frontend.codec.encode(&message);
    frontend.send_shell_frames(frames).await;
    assert_eq!(frontend.recv_shell().await.identities, message.identities);
}

#[tokio::test]
async fn each_client_gets_its_own_reply_also_after_reconnecting() {
    let mut frontend = Frontend::start().await;
    for _ in 0..100 {
        let mut other = dealer(
            &frontend.connection,
            frontend.connection.shell_port,
            "other",
        )
        .await;
        let message = frontend.request("kernel_info_request", json!({}));
        let frames = ZmqMessage::try_from(frontend.codec.encode(&message)).unwrap();
        other.send(frames).await.unwrap();
        let reply = recv(&mut other, &frontend.codec, "the other shell").await;
        assert_eq!(
            reply.parent_header["msg_id"],
            message.header.msg_id.as_str()
        );
    }
    assert_only_answers(&mut frontend).await;
}

#[tokio::test]
async fn each_subscription_is_welcomed_under_its_topic() {
    let frontend = Frontend::start().await;
    let mut late = subscriber(&frontend.connection, "kernel.").await;
    let welcome = recv(&mut late, &frontend.codec, "the late iopub").await;
    assert_eq!(welcome.header.msg_type, "iopub_welcome");
    assert_eq!(welcome.content, json!({ "subscription": "kernel." }));
}

#[tokio::test]
async fn heartbeat_echoes_the_payload() {
    let mut frontend = Frontend::start().await;
    for payload in ["ping", "", "\u{1f980}"] {
        frontend.heartbeat.send(payload.into()).await.unwrap();
        let echo = frontend.heartbeat.recv().await.unwrap().into_vec();
        assert_eq!(echo, [Bytes::from(payload)]);
    }
}

#[tokio::test]
async fn every_signature_scheme_of_sha2_is_spoken() {
    for scheme in [
        Scheme::Sha224,
        Scheme::Sha256,
        Scheme::Sha384,
        Scheme::Sha512,
    ] {
        let mut frontend = Frontend::start_with("key", scheme).await;
        frontend.ask("kernel_info", json!({})).await;
    }
}

#[test]
fn a_signature_scheme_that_is_not_known_is_refused_by_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("connection.json");
    let with_scheme = |scheme: &str| {
        let content = json!({ "ip": "127.0.0.1", "transport": "tcp", "key": "k", "signature_scheme": scheme,
            "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5 });
        std::fs::write(&path, content.to_string()).unwrap();
        ConnectionFile::read(&path).map(|connection| connection.signature_scheme)
    };
    assert_eq!(with_scheme("hmac-sha512").unwrap(), Scheme::Sha512);
    assert_eq!(with_scheme("").unwrap(), Scheme::Sha256);
    for refused in ["hmac-md5", "sha256", "hmac-sha256 "] {
        let error = with_scheme(refused).err().unwrap().to_string();
        let told = format!("signature_scheme {refused:?} is not supported");
        assert!(error.contains(&told), "{error}");
    }
}

#[tokio::test]
async fn a_display_of_fifty_megabytes_arrives_whole() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("large 50").await;
    let outputs = frontend.recv_outputs(&id).await;
    let text = outputs[1].content["data"]["text/plain"].as_str().unwrap();
    assert_eq!(text.len(), 50 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_holds_up_no_other() {
    let mut frontend = Frontend::start().await;
    let mut stalled = subscriber(&frontend.connection, "").await;
    recv(&mut stalled, &frontend.codec, "the stalled iopub").await;

    // Far more than waits for one subscriber; `stalled` reads none of it.
    for _ in 0..3 {
        let id = frontend.send_execute("large 50").await;
        assert_eq!(
            types(&frontend.recv_outputs(&id).await),
            ["execute_input", "display_data"]
        );
        assert_eq!(frontend.recv_shell().await.content["status"], "ok");
    }
    let mut again = subscriber(&frontend.connection, "").await;
    let welcome = recv(&mut again, &frontend.codec, "the new iopub").await;
    assert_eq!(welcome.header.msg_type, "iopub_welcome");
}

#[tokio::test]
async fn a_million_small_prints_come_in_order() {
    let mut frontend = Frontend::start().await;
    let id = frontend.send_execute("print 1000000").await;
    let mut next = 0;
    for message in frontend.recv_outputs(&id).await.iter().skip(1) {
        for line in message.content["text"].as_str().unwrap().lines() {
            assert_eq!(line, format!("line {next}"));
            next += 1;
        }
    }
    assert_eq!(next, 1_000_000);
}

/// The next reply is the one to a request sent now: nothing before it was answered.
async fn assert_only_answers(frontend: &mut Frontend) {
    frontend.ask("kernel_info", json!({})).await;
}
