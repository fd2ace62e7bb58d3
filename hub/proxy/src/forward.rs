//! What changes in a request and in an answer on their way through: hop-by-hop and forwarding headers. Pure.

use http::header::{
    CONNECTION, EXPECT, Entry, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Uri, Version, request, response};

use crate::client::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What goes whether the Connection field lists it or not (RFC 9110 7.6.1; the last two are of RFC 9110 11.7).
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];
/// Options of nearly every message, which name no field or a known one.
const COMMON_OPTIONS: [&str; 4] = ["keep-alive", "close", "upgrade", "Upgrade"];

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
/// the connection-option, and then remove the Connection header field itself" (RFC 9110 7.6.1). A client cannot
/// have the host removed, by which targets choose whom to trust.
fn strip_connection_headers(headers: &mut HeaderMap) {
    let listed = connection_options(headers).filter(|option| !COMMON_OPTIONS.contains(option));
    let listed = listed
        .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
        .filter(|name| name != HOST);
    let known = headers
        .keys()
        .filter(|name| HOP_BY_HOP.contains(name))
        .cloned();
    for name in listed.chain(known).collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// Each read by itself: one that is no text names no field, and hides no other.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| std::str::from_utf8(option).ok())
        .map(str::trim)
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
    let (scheme, port) = if peer.https {
        ("https", "443")
    } else {
        ("http", "80")
    };
    let port = host
        .as_ref()
        .and_then(port_of)
        .unwrap_or(HeaderValue::from_static(port));
    append(headers, FORWARDED_FOR, peer.forwarded_for.clone());
    append(headers, FORWARDED_PORT, port);
    append(headers, FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

/// Appends to a list field, in one line: not every server joins several.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => drop(entry.insert(value)),
        Entry::Occupied(mut entry) => {
            let all: Vec<&[u8]> = entry
                .iter()
                .chain([&value])
                .map(HeaderValue::as_bytes)
                .collect();
            // Each part is a value already, so the whole is one.
            if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b',')) {
                entry.insert(joined);
            }
        }
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
