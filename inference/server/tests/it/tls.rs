//! Both ports over TLS, and a certificate that changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use carrel_model_server::config::{Config, ModelConfig};
use carrel_model_server::models::Models;
use carrel_model_server::proto::inference::ServerLiveRequest;
use carrel_model_server::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use carrel_model_server::service::Service;
use carrel_model_server::{grpc, http};
use carrel_tls::{H2, HTTP_1, Tls};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::Endpoint;
use tower::service_fn;

use crate::networks::engines;
use crate::server::{HEAD, LIMITS, all_access, doubling};

/// Writes a new certificate and its key; what a client has to trust.
fn issue(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

async fn connect(
    address: &str,
    protocol: &[u8],
    trusted: CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect("localhost".try_into().unwrap(), stream)
        .await
}

/// The state of the server by HTTPS.
async fn health(address: &str, trusted: CertificateDer<'static>) -> std::io::Result<String> {
    let mut stream = connect(address, HTTP_1, trusted).await?;
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    // What came before the end counts, however that was said.
    let _ = stream.read_to_string(&mut text).await;
    Ok(text)
}

async fn is_live(address: &str, trusted: CertificateDer<'static>) -> bool {
    let address = address.to_owned();
    let connector = service_fn(move |_| {
        let (address, trusted) = (address.clone(), trusted.clone());
        async move { Ok::<_, std::io::Error>(TokioIo::new(connect(&address, H2, trusted).await?)) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let Ok(channel) = endpoint.connect_with_connector(connector).await else {
        return false;
    };
    let answered = GrpcInferenceServiceClient::new(channel)
        .server_live(ServerLiveRequest {})
        .await;
    answered.is_ok_and(|answer| answer.into_inner().live)
}

/// A service of one model and the certificate of this folder for a protocol; none without ONNX Runtime.
fn serving(folder: &Path, base: &Path, protocol: &[u8]) -> Option<(Arc<Service>, Tls)> {
    doubling(&base.join("1"));
    let models = vec![ModelConfig::new("m", base)];
    let models = Models::new(engines()?, Config { models });
    let service = Service::new(Arc::new(models), LIMITS, all_access());
    let (key, certificate) = (folder.join("key.pem"), folder.join("cert.pem"));
    let tls = Tls::open_for(key, certificate, &[protocol]).unwrap();
    Some((Arc::new(service), tls))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_no_hello_keeps_the_server_from_no_end() {
    const LONG: Duration = Duration::from_secs(600);
    let (folder, base) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let trusted = issue(folder.path());
    let Some((service, tls)) = serving(folder.path(), base.path(), HTTP_1) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (end, ended) = oneshot::channel::<()>();
    let router = http::router(service);
    let end_of_it = async {
        let _ = ended.await;
    };
    let served = http::serve::serve(listener, router, Some(tls), LONG, end_of_it);
    let served = tokio::spawn(served);
    let _silent = TcpStream::connect(&address).await.unwrap();
    // Who came later was answered, so the silent one was accepted.
    assert!(health(&address, trusted).await.unwrap().ends_with("ok\n"));
    end.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(8), served).await;
    ended.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ports_speak_it_and_take_a_new_certificate() {
    let (folder, base) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let old = issue(folder.path());
    let Some(engines) = engines() else { return };
    doubling(&base.path().join("1"));
    let models = vec![ModelConfig::new("m", base.path())];
    let models = Models::new(engines, Config { models });
    let service = Arc::new(Service::new(Arc::new(models), LIMITS, all_access()));
    let open = |protocol: &[u8]| {
        let (key, certificate) = (
            folder.path().join("key.pem"),
            folder.path().join("cert.pem"),
        );
        Tls::open_for(key, certificate, &[protocol]).unwrap()
    };
    let (of_http, of_grpc) = (open(HTTP_1), open(H2));
    let listen = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    };
    let (listener, http_address) = listen().await;
    let router = http::router(Arc::clone(&service));
    let never = std::future::pending();
    let tls = Some(of_http.clone());
    tokio::spawn(http::serve::serve(listener, router, tls, HEAD, never));
    let (listener, grpc_address) = listen().await;
    let never = std::future::pending();
    tokio::spawn(grpc::serve(listener, service, Some(of_grpc.clone()), never));

    let said = health(&http_address, old.clone()).await.unwrap();
    assert!(
        said.starts_with("HTTP/1.1 200") && said.ends_with("ok\n"),
        "{said}"
    );
    // Who says no hello keeps nobody.
    let _silent = TcpStream::connect(&grpc_address).await.unwrap();
    assert!(is_live(&grpc_address, old.clone()).await);

    let new = issue(folder.path());
    assert!(health(&http_address, new.clone()).await.is_err());
    of_http.reread();
    of_grpc.reread();
    assert!(health(&http_address, new.clone()).await.is_ok());
    assert!(is_live(&grpc_address, new).await);
    assert!(health(&http_address, old).await.is_err());
}
