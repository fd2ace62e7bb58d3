//! A running kernel: what the channels share, and the life from bind to shutdown.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::connection::ConnectionFile;
use crate::engine::Engine;
use crate::history::History;
use crate::iopub::IoPub;
use crate::sockets::{self, BindError, Sender, Sockets};
use crate::stdin::Stdin;
use crate::wire::frames::Codec;
use crate::wire::message::{Message, Session};
use crate::{control, shell};

/// How long the worker may take to end.
const ENGINE_SHUTDOWN: Duration = Duration::from_secs(3);
/// zeromq has no linger: its writer tasks get this long to hand the last replies to the system.
const LINGER: Duration = Duration::from_millis(100);

/// What shell and control share.
#[derive(Clone)]
pub struct Kernel {
    pub engine: Arc<dyn Engine>,
    pub session: Arc<Session>,
    pub iopub: IoPub,
    pub stdin: Stdin,
    stop: Arc<Notify>,
}

impl Kernel {
    /// Stops the running cell, also when it waits for input.
    pub fn interrupt(&self) {
        self.stdin.cancel();
        self.engine.interrupt();
    }

    /// Ends the worker. The kernel itself goes on until [`Kernel::stop`].
    pub async fn end_engine(&self) {
        self.stdin.cancel();
        if tokio::time::timeout(ENGINE_SHUTDOWN, self.engine.shutdown())
            .await
            .is_err()
        {
            tracing::error!(
                "The worker did not end within {} s",
                ENGINE_SHUTDOWN.as_secs()
            );
        }
    }

    /// Lets [`Server::serve`] return.
    pub fn stop(&self) {
        self.stop.notify_one();
    }
}

/// A bound kernel, ready to [`serve`](Server::serve).
pub struct Server {
    sockets: Sockets,
    kernel_key: String,
    engine: Arc<dyn Engine>,
    history: History,
}

impl Server {
    /// Binds the sockets; clients may connect from here on.
    pub async fn bind(
        connection: &ConnectionFile,
        engine: Arc<dyn Engine>,
        history: History,
    ) -> Result<Self, BindError> {
        let sockets = Sockets::bind(connection).await?;
        Ok(Self {
            sockets,
            kernel_key: connection.key.clone(),
            engine,
            history,
        })
    }

    /// Answers requests until a shutdown request, or until `end` completes.
    pub async fn serve(self, end: impl Future<Output = ()>, interrupts: mpsc::Receiver<()>) {
        let codec = Arc::new(Codec::new(&self.kernel_key));
        let session = Arc::new(Session::default());
        let (shell_sender, shell_messages) = sockets::open("shell", self.sockets.shell, &codec);
        let (control_sender, control_messages) =
            sockets::open("control", self.sockets.control, &codec);
        let (stdin_sender, stdin_messages) = sockets::open("stdin", self.sockets.stdin, &codec);
        let stop = Arc::new(Notify::new());
        let kernel = Kernel {
            engine: self.engine,
            session: session.clone(),
            iopub: IoPub::start(self.sockets.iopub, session.clone(), codec),
            stdin: Stdin::start(stdin_sender, stdin_messages, session),
            stop: stop.clone(),
        };
        tokio::spawn(sockets::heartbeat(self.sockets.heartbeat));
        tokio::spawn(warm_up(kernel.clone()));
        tokio::spawn(forward_interrupts(kernel.clone(), interrupts));
        tokio::spawn(control::run(
            kernel.clone(),
            control_sender,
            control_messages,
        ));
        tokio::spawn(
            shell::Shell::new(kernel.clone(), shell_sender, self.history).run(shell_messages),
        );

        tokio::select! {
            () = stop.notified() => {}
            () = end => kernel.end_engine().await,
        }
        kernel.iopub.flush().await;
        tokio::time::sleep(LINGER).await;
    }
}

/// Answers one request: a reply on the channel that it came from.
pub async fn reply(kernel: &Kernel, sender: &Sender, request: &Message, content: Value) {
    let msg_type = match request.header.msg_type.strip_suffix("_request") {
        Some(stem) => format!("{stem}_reply"),
        None => return,
    };
    let mut message = kernel
        .session
        .message(&msg_type, request.as_parent(), content);
    message.identities = request.identities.clone();
    sender.send(message).await;
}

async fn warm_up(kernel: Kernel) {
    kernel.iopub.status(&json!({}), "starting").await;
    kernel.engine.warm_up().await;
}

async fn forward_interrupts(kernel: Kernel, mut interrupts: mpsc::Receiver<()>) {
    while interrupts.recv().await.is_some() {
        kernel.interrupt();
    }
}
