//! A client of HTTP and HTTPS that follows no redirect and knows no proxy: it asks the address that it is given alone.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// For addresses as `url` is one: where it is of https, with the certificates of this machine.
///
/// # Errors
/// When this machine has no certificates to check the other side's by.
pub fn client(url: &str) -> std::io::Result<HttpClient> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(url)?)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// What a certificate is checked by. Our images hold no certificates, and where a server is reached by http none are
/// needed.
fn tls(url: &str) -> std::io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if url.starts_with("https:") {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = format!(
                "this machine has no certificates to check that of {url} by (SSL_CERT_FILE names others)"
            );
            return Err(std::io::Error::other(why));
        }
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
