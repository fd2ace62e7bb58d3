//! A server that belongs to the program that started it, such as a notebook's kernel: it says its ports on standard output, and
//! ends when that program does.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use tokio::sync::oneshot;
use tracing::warn;

/// Says the ports, in a line of JSON.
///
/// # Errors
/// Where the program does not listen.
pub fn announce(http: SocketAddr, grpc: SocketAddr) -> io::Result<()> {
    let (http, grpc) = (http.port(), grpc.port());
    let mut out = io::stdout();
    writeln!(out, "{}", serde_json::json!({ "http": http, "grpc": grpc }))?;
    out.flush()
}

/// Returns when standard input ends: the program closed its end of it, or is gone, however it was ended.
pub async fn program_is_gone() {
    let (gone, told) = oneshot::channel();
    // A thread and no task: the runtime would wait for one that reads.
    std::thread::spawn(move || {
        // What is said there is of no use, and an end by an error is an end too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    });
    let _ = told.await;
}

/// Removes the folder that the program made for this server.
pub fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        // The program has removed it itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!("Could not remove {}: {error}", folder.display()),
        Ok(()) => {}
    }
}
