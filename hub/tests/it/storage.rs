//! Where the database lies, and how the Hub talks to it.

use carrel_hub::config::{Config, DbUrl};
use carrel_hub::db::{Db, OpenError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{LIMIT, TestHub};

#[tokio::test]
async fn the_database_lies_in_a_folder_of_any_name() {
    for name in ["what?", "100%", "a%20b", "#1", "é ü"] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join(name);
        std::fs::create_dir(&state).unwrap();
        carrel_hub::run::migrate(&Config::default(), &state)
            .await
            .unwrap();
        assert!(state.join("hub.sqlite").exists(), "{name}");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_percent_sign_in_a_configured_path_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a%20b.sqlite");
    let text = format!("JupyterHub: {{db_url: 'sqlite:///{}'}}", file.display());
    let url = Config::parse("hub.yaml", &text)
        .unwrap()
        .jupyter_hub
        .db_url
        .unwrap();
    Db::open(&url.0).await.unwrap().close().await;
    assert!(file.exists());
    assert_eq!(DbUrl::sqlite(&file), url);
}

/// A PostgreSQL server that agrees to TLS and then reads what comes (PostgreSQL 18, 54.2.10).
#[tokio::test]
async fn a_connection_that_is_to_be_encrypted_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"S").await.unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).await.unwrap();
        (request, hello)
    });
    let url = format!("postgresql://hub@{address}/hub?sslmode=require");
    let opened = tokio::time::timeout(LIMIT, Db::open(&url)).await.unwrap();
    assert!(matches!(opened, Err(OpenError::Connect(_))), "{opened:?}");
    let (request, hello) = server.await.unwrap();
    // The code of an SSLRequest; a handshake record of TLS (RFC 8446, 5.1).
    assert_eq!(request[4..], 80_877_103_u32.to_be_bytes());
    assert_eq!(hello[..2], [22, 3]);
}

#[tokio::test]
async fn readiness_includes_the_database_and_health_does_not() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    browser.get("/hub/ready").await.expect(200);
    hub.app.db.close().await;
    browser.get("/hub/ready").await.expect(503);
    browser.get("/hub/health").await.expect(200);
}
