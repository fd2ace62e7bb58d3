//! The life of a kernel, from bind to shutdown.

use std::sync::Arc;

use carrel_zmtp::{Limits, XPub};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::connection::ConnectionFile;
use crate::control;
use crate::engine::Engine;
use crate::history::History;
use crate::iopub::IoPub;
use crate::kernel::Kernel;
use crate::lanes::Subshells;
use crate::shell::Shell;
use crate::sockets::{self, BindError, LINGER, Sockets};
use crate::stdin::Stdin;
use crate::wire::frames::Codec;
use crate::wire::message::Session;

/// A bound kernel, ready to [`serve`](Server::serve).
pub struct Server {
    sockets: Sockets,
    codec: Arc<Codec>,
    engine: Arc<dyn Engine>,
    history: History,
    ports: Value,
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
            codec: Arc::new(Codec::new(&connection.key, connection.signature_scheme)),
            engine,
            history,
            ports: connection.ports(),
        })
    }

    /// Answers requests until a shutdown request, or until `end` completes.
    pub async fn serve(self, end: impl Future<Output = ()>, interrupts: mpsc::Receiver<()>) {
        let codec = self.codec;
        let session = Arc::new(Session::default());
        let (shell_sender, shell_messages) = sockets::open("shell", self.sockets.shell, &codec);
        let (control_sender, control_messages) =
            sockets::open("control", self.sockets.control, &codec);
        let (stdin_sender, stdin_messages) = sockets::open("stdin", self.sockets.stdin, &codec);
        let stop = Arc::new(Notify::new());
        let kernel = Kernel {
            engine: self.engine,
            session: session.clone(),
            iopub: IoPub::start(
                XPub::open(self.sockets.iopub, Limits::default()),
                session.clone(),
                codec,
            ),
            stdin: Stdin::start(stdin_sender, stdin_messages, session),
            ports: self.ports,
            stop: stop.clone(),
        };
        let _heartbeat = carrel_zmtp::echo(self.sockets.heartbeat, Limits::default());
        tokio::spawn(warm_up(kernel.clone()));
        tokio::spawn(forward_interrupts(kernel.clone(), interrupts));
        let history = self.history;
        let shell = Shell::new(kernel.clone(), shell_sender.clone(), history.clone());
        let shell = Arc::new(shell);
        if let Some(late) = kernel.engine.late() {
            let shell = shell.clone();
            tokio::spawn(async move { shell.publish_late(late).await });
        }
        let subshells = Subshells::new(shell);
        tokio::spawn(control::run(
            kernel.clone(),
            subshells.clone(),
            control_sender.clone(),
            control_messages,
        ));
        tokio::spawn(subshells.dispatch(shell_messages));

        tokio::select! {
            () = stop.notified() => {}
            () = end => kernel.end_engine().await,
        }
        tokio::join!(
            kernel.iopub.end(),
            shell_sender.flush(),
            control_sender.flush(),
            history.flush(LINGER)
        );
    }
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
