//! One request with a token over TLS, to an address whose authority is given, each part of it bounded in time and size.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Uri;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long the connection, each write and the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is read of an answer.
const LARGEST: usize = 16 << 10;

/// Posts JSON; `authority` is a file of certificates in PEM.
pub(super) fn post(url: &str, authority: &[u8], token: &str, body: &str) -> Result<(), String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("no address: {error}"))?;
    if uri.scheme_str() != Some("https") {
        return Err("it is no https address, and the token would be read on its way".to_owned());
    }
    let name = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let client = ClientConnection::new(Arc::new(config(authority)?), server);
    let client = client.map_err(|error| error.to_string())?;
    let connection = connect(name, uri.port_u16().unwrap_or(443))?;
    let mut stream = StreamOwned::new(client, connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or(name, |authority| authority.as_str());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let sent = stream.write_all(request.as_bytes());
    sent.and_then(|()| stream.flush())
        .map_err(|error| error.to_string())?;
    taken(&answer(&mut stream)?)
}

fn config(authority: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|error| format!("its authority: {error}"))?;
        let added = roots.add(certificate);
        added.map_err(|error| format!("its authority: {error}"))?;
    }
    let provider = Arc::new(default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// To the first of its addresses that answers.
fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = (host, port).to_socket_addrs();
    let mut failed = "it has no address".to_owned();
    for address in addresses.map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(connection) => {
                let limit = Some(PATIENCE);
                let limited = connection.set_read_timeout(limit);
                let limited = limited.and_then(|()| connection.set_write_timeout(limit));
                return limited
                    .map(|()| connection)
                    .map_err(|error| error.to_string());
            }
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

/// The beginning of the answer, with its status.
fn answer(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> Result<Vec<u8>, String> {
    let begun = Instant::now();
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    while !answer.contains(&b'\n') && answer.len() < LARGEST {
        if begun.elapsed() > PATIENCE {
            return Err("it answers too slowly".to_owned());
        }
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) => return Err(format!("it does not answer: {error}")),
        }
    }
    Ok(answer)
}

/// `HTTP/1.1 200 OK`
fn taken(answer: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default().trim();
    let status = line.split_whitespace().nth(1).unwrap_or_default();
    match status.starts_with('2') && line.starts_with("HTTP/1.") {
        true => Ok(()),
        false => Err(format!("it answers {line:?}")),
    }
}
