//! Frames, signatures, identities, buffers, heartbeat, several clients.

use bytes::Bytes;
use carrel_kernel::wire::frames::Codec;
use serde_json::json;
use zeromq::{Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use crate::frontend::{Frontend, dealer, recv};

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
    let mut frontend = Frontend::start_with_key("").await;
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
    for _ in 0..20 {
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
    let mut late = SubSocket::new();
    let endpoint = frontend.connection.endpoint(frontend.connection.iopub_port);
    late.connect(&endpoint).await.unwrap();
    late.subscribe("kernel.").await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_does_not_block_the_kernel_for_ever() {
    let mut frontend = Frontend::start().await;
    let mut stalled = SubSocket::new();
    let endpoint = frontend.connection.endpoint(frontend.connection.iopub_port);
    stalled.connect(&endpoint).await.unwrap();
    stalled.subscribe("").await.unwrap();
    recv(
        &mut stalled,
        &Codec::new(&frontend.connection.key),
        "the stalled iopub",
    )
    .await;

    // Far more than the buffers of a socket hold; `stalled` reads none of it.
    frontend.send_execute("print 500000").await;
    let Frontend {
        shell,
        iopub,
        codec,
        ..
    } = &mut frontend;
    let reply = tokio::select! {
        reply = recv(shell, codec, "shell") => reply,
        () = async { loop { recv(iopub, codec, "iopub").await; } } => unreachable!(),
    };
    assert_eq!(reply.content["status"], "ok");
    // Every connection was closed; a subscriber that comes back is served.
    let mut again = SubSocket::new();
    again.connect(&endpoint).await.unwrap();
    again.subscribe("").await.unwrap();
    recv(
        &mut again,
        &Codec::new(&frontend.connection.key),
        "the new iopub",
    )
    .await;
    frontend.iopub = again;
    frontend.send_execute("value 1").await;
    frontend.recv_until("execute_result").await;
}

/// The next reply is the one to a request sent now: nothing before it was answered.
async fn assert_only_answers(frontend: &mut Frontend) {
    frontend.ask("kernel_info", json!({})).await;
}
