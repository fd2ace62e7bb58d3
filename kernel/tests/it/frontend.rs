//! A frontend with verbs, over real ZeroMQ sockets; every wait has a bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carrel_kernel::connection::{ConnectionFile, Transport};
use carrel_kernel::history::History;
use carrel_kernel::server::Server;
use carrel_kernel::wire::frames::Codec;
use carrel_kernel::wire::message::{Message, Session};
use carrel_kernel::wire::signature::Scheme;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerSocket, ReqSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqMessage,
};

use crate::scripted::ScriptedEngine;

const LIMIT: Duration = Duration::from_secs(20);

pub struct Frontend {
    pub codec: Codec,
    pub shell: DealerSocket,
    pub control: DealerSocket,
    pub stdin: DealerSocket,
    pub iopub: SubSocket,
    pub heartbeat: ReqSocket,
    pub kernel: JoinHandle<()>,
    pub connection: ConnectionFile,
    pub interrupt: mpsc::Sender<()>,
    session: Session,
    _folder: TempDir,
}

impl Frontend {
    /// A kernel with a key, and a frontend whose `iopub_welcome` was read.
    pub async fn start() -> Self {
        Self::start_with("a secret key", Scheme::default()).await
    }

    pub async fn start_with(key: &str, signature_scheme: Scheme) -> Self {
        let folder = TempDir::new().unwrap();
        let connection = ConnectionFile {
            transport: Transport::Ipc,
            ip: folder.path().join("kernel").to_string_lossy().into_owned(),
            shell_port: 1,
            iopub_port: 2,
            stdin_port: 3,
            control_port: 4,
            hb_port: 5,
            key: key.to_owned(),
            signature_scheme,
        };
        let engine = Arc::new(ScriptedEngine::default());
        let server = Server::bind(&connection, engine, History::in_memory())
            .await
            .unwrap();
        let (interrupt, interrupts) = mpsc::channel(1);
        let kernel = tokio::spawn(server.serve(std::future::pending(), interrupts));
        let mut frontend = Self {
            codec: Codec::new(key, signature_scheme),
            shell: dealer(&connection, connection.shell_port, "tab").await,
            control: dealer(&connection, connection.control_port, "tab").await,
            stdin: dealer(&connection, connection.stdin_port, "tab").await,
            iopub: SubSocket::new(),
            heartbeat: ReqSocket::new(),
            kernel,
            interrupt,
            session: Session::default(),
            _folder: folder,
            connection,
        };
        frontend.iopub = subscriber(&frontend.connection, "").await;
        let hb = frontend.connection.address(frontend.connection.hb_port);
        frontend.heartbeat.connect(&hb.to_string()).await.unwrap();
        while frontend.recv_iopub().await.header.msg_type != "iopub_welcome" {}
        frontend
    }

    pub fn request(&self, msg_type: &str, content: Value) -> Message {
        self.session.message(msg_type, json!({}), content)
    }

    /// Sends on shell; gives the message id.
    pub async fn send_shell(&mut self, msg_type: &str, content: Value) -> String {
        let message = self.request(msg_type, content);
        let frames = self.codec.encode(&message);
        self.send_shell_frames(frames).await;
        message.header.msg_id
    }

    pub async fn send_shell_frames(&mut self, frames: Vec<Bytes>) {
        self.shell
            .send(ZmqMessage::try_from(frames).unwrap())
            .await
            .unwrap();
    }

    pub async fn send_execute(&mut self, code: &str) -> String {
        self.send_shell("execute_request", json!({ "code": code }))
            .await
    }

    pub async fn send_control(&mut self, msg_type: &str, content: Value) -> String {
        let message = self.request(msg_type, content);
        let frames = ZmqMessage::try_from(self.codec.encode(&message)).unwrap();
        self.control.send(frames).await.unwrap();
        message.header.msg_id
    }

    /// Answers an `input_request` as jupyter_client does, with no parent.
    pub async fn send_input(&mut self, value: &str) {
        let message = self.request("input_reply", json!({ "value": value }));
        let frames = ZmqMessage::try_from(self.codec.encode(&message)).unwrap();
        self.stdin.send(frames).await.unwrap();
    }

    pub async fn recv_shell(&mut self) -> Message {
        recv(&mut self.shell, &self.codec, "shell").await
    }

    pub async fn recv_control(&mut self) -> Message {
        recv(&mut self.control, &self.codec, "control").await
    }

    pub async fn recv_stdin(&mut self) -> Message {
        recv(&mut self.stdin, &self.codec, "stdin").await
    }

    pub async fn recv_iopub(&mut self) -> Message {
        recv(&mut self.iopub, &self.codec, "iopub").await
    }

    /// Messages on iopub of the request `id`, from busy to idle, both checked and left out.
    pub async fn recv_outputs(&mut self, id: &str) -> Vec<Message> {
        let mut outputs = Vec::new();
        let mut busy = false;
        loop {
            let message = self.recv_iopub().await;
            if message.parent_header["msg_id"] != id {
                continue;
            }
            match message.content["execution_state"].as_str() {
                Some("busy") => busy = true,
                Some("idle") => return outputs,
                _ => {
                    assert!(busy, "{} came before busy", message.header.msg_type);
                    outputs.push(message);
                }
            }
        }
    }

    /// Waits for an output of this type, whatever comes before.
    pub async fn recv_until(&mut self, msg_type: &str) -> Message {
        loop {
            let message = self.recv_iopub().await;
            if message.header.msg_type == msg_type {
                return message;
            }
        }
    }

    /// Asks on control and gives the reply's content, with busy and idle around it.
    pub async fn ask_control(&mut self, stem: &str, content: Value) -> Value {
        let id = self.send_control(&format!("{stem}_request"), content).await;
        let reply = self.recv_control().await;
        assert_eq!(reply.header.msg_type, format!("{stem}_reply"));
        assert_eq!(types(&self.recv_outputs(&id).await), [""; 0]);
        reply.content
    }

    /// Asks on shell and gives the reply's content, checked for its type and parent.
    pub async fn ask(&mut self, stem: &str, content: Value) -> Value {
        let id = self.send_shell(&format!("{stem}_request"), content).await;
        let reply = self.recv_shell().await;
        assert_eq!(reply.header.msg_type, format!("{stem}_reply"));
        assert_eq!(reply.parent_header["msg_id"], id.as_str());
        reply.content
    }
}

pub async fn dealer(connection: &ConnectionFile, port: u16, identity: &str) -> DealerSocket {
    let mut options = SocketOptions::default();
    options.peer_identity(identity.parse::<PeerIdentity>().unwrap());
    let mut socket = DealerSocket::with_options(options);
    let address = connection.address(port).to_string();
    socket.connect(&address).await.unwrap();
    socket
}

pub async fn subscriber(connection: &ConnectionFile, topic: &str) -> SubSocket {
    let mut socket = SubSocket::new();
    let address = connection.address(connection.iopub_port).to_string();
    socket.connect(&address).await.unwrap();
    socket.subscribe(topic).await.unwrap();
    socket
}

pub async fn recv(socket: &mut impl SocketRecv, codec: &Codec, channel: &str) -> Message {
    let frames = tokio::time::timeout(LIMIT, socket.recv()).await;
    let frames = frames
        .unwrap_or_else(|_| panic!("nothing came on {channel}"))
        .unwrap();
    codec.decode(frames.into_vec()).unwrap()
}

pub fn types(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.header.msg_type.as_str())
        .collect()
}
