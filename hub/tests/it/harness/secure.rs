//! A certificate of the test's own, and HTTP/2 by TLS with whoever has it.

use std::path::PathBuf;
use std::sync::Arc;

use carrel_hub::config::{Config, FilePath};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Request, Url};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{LIMIT, Reply};

/// A certificate in files.
pub struct Certificate {
    folder: TempDir,
    trusted: RootCertStore,
}

impl Certificate {
    pub fn issue(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut trusted = RootCertStore::empty();
        trusted.add(made.cert.der().clone()).unwrap();
        let issued = Self { folder, trusted };
        std::fs::write(issued.certificate(), made.cert.pem()).unwrap();
        std::fs::write(issued.key(), made.signing_key.serialize_pem()).unwrap();
        issued
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// Has a Hub speak HTTPS with it.
    pub fn configure(&self, config: &mut Config) {
        config.jupyter_hub.ssl_cert = Some(FilePath(self.certificate()));
        config.jupyter_hub.ssl_key = Some(FilePath(self.key()));
        config.jupyter_hub.hub_port = Some(0);
    }

    /// A way to who has it, by this protocol.
    pub fn way(&self, protocol: &str) -> Way {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.trusted.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        Way(TlsConnector::from(Arc::new(config)))
    }
}

#[derive(Clone)]
pub struct Way(TlsConnector);

impl Way {
    pub async fn connect(&self, url: &Url) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(url.host_str().unwrap().to_owned()).unwrap();
        let port = url.port_or_known_default().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        self.0.connect(name, stream).await
    }

    /// One request over a connection of its own.
    pub async fn send(&self, mut request: Request, jar: &Jar) -> Reply {
        let url = request.url().clone();
        if let Some(cookies) = jar.cookies(&url) {
            request.headers_mut().insert(COOKIE, cookies);
        }
        let stream = TokioIo::new(self.connect(&url).await.unwrap());
        let handshake = http2::handshake(TokioExecutor::new(), stream);
        let (mut sender, connection) = handshake.await.unwrap();
        let driver = tokio::spawn(connection);
        let request = http::Request::<reqwest::Body>::try_from(request).unwrap();
        let answer = tokio::time::timeout(LIMIT, sender.send_request(request));
        let (head, body) = answer.await.unwrap().unwrap().into_parts();
        jar.set_cookies(&mut head.headers.get_all(SET_COOKIE).iter(), &url);
        let body = body.collect().await.unwrap().to_bytes();
        driver.abort();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}
