//! What changes in a request and in an answer on their way through: hop-by-hop and forwarding headers. Pure.

use http::header::{
    CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Uri, Version, request, response};

use crate::serve::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The protocol that a request asks to change to, or that an answer changes to (RFC 9110 7.8).
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let asked = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    asked.then(|| protocol.clone())
}

/// Makes a request to the target at `address` of the client's one. The path stays whole, with the route's prefix.
pub(crate) fn rewrite_request(
    head: &mut request::Parts,
    address: &str,
    upgrade: Option<HeaderValue>,
) {
    strip_connection_headers(&mut head.headers);
    // The server end of hyper sends `100 Continue` itself as soon as the target's connection wants the body.
    head.headers.remove(EXPECT);
    if !head.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(
            head.uri
                .authority()
                .map_or(address, |authority| authority.as_str()),
        )
    {
        head.headers.insert(HOST, host);
    }
    if let Some(peer) = head.extensions.remove::<Peer>() {
        add_forwarded(&mut head.headers, &peer);
    }
    restore_upgrade(&mut head.headers, upgrade);
    head.extensions.clear();
    head.version = Version::HTTP_11;
    if head.uri.scheme().is_some() {
        head.uri = origin_form(&head.uri);
    }
}

/// Makes an answer to the client of the target's one.
pub(crate) fn rewrite_answer(head: &mut response::Parts, upgrade: Option<HeaderValue>) {
    strip_connection_headers(&mut head.headers);
    restore_upgrade(&mut head.headers, upgrade);
    head.extensions.clear();
    head.version = Version::HTTP_11;
}

/// "Intermediaries MUST parse a received Connection header field before a message is forwarded and, for each
/// connection-option in this field, remove any header or trailer field(s) from the message with the same name as
/// the connection-option, and then remove the Connection header field itself" (RFC 9110 7.6.1); the names after
/// it are those that the section wants removed even when the field does not list them.
fn strip_connection_headers(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let listed: Vec<HeaderName> = connection_options(headers)
            .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
            .filter(|name| name != HOST)
            .collect();
        for name in listed {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
    ] {
        headers.remove(name);
    }
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn restore_upgrade(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// As configurable-http-proxy does: the host is that of the first proxy, the others list one value per proxy.
fn add_forwarded(headers: &mut HeaderMap, peer: &Peer) {
    let host = headers.get(HOST).cloned();
    let port = host
        .as_ref()
        .and_then(port_of)
        .unwrap_or(HeaderValue::from_static("80"));
    append(headers, FORWARDED_FOR, peer.forwarded_for.clone());
    append(headers, FORWARDED_PORT, port);
    append(headers, FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

/// Appends to a list field, in one line: not every server joins several.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let earlier: Vec<&[u8]> = headers
        .get_all(&name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let joined = match earlier.is_empty() {
        true => Some(value),
        false => {
            HeaderValue::from_bytes(&[&earlier.join(&b','), value.as_bytes()].join(&b',')).ok()
        }
    };
    if let Some(joined) = joined {
        headers.insert(name, joined);
    }
}

fn port_of(host: &HeaderValue) -> Option<HeaderValue> {
    let (_, port) = host.to_str().ok()?.rsplit_once(':')?;
    port.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| HeaderValue::from_str(port).ok())?
}

/// "When making a request directly to an origin server, ... a client MUST send only the absolute path and query
/// components" (RFC 9112 3.2.1); a client that takes the Hub for its forward proxy sends the absolute form.
fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .cloned()
        .map_or_else(|| Uri::from_static("/"), Uri::from)
}
