//! Mappings in the annotation of a Service, as Ambassador of 2018 reads them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::headers::changeable;
use crate::rule::{Edits, Host, Match, Path, Rewrite};

pub const ANNOTATION: &str = "getambassador.io/config";

/// As Ambassador had it then.
const TIMEOUT: u64 = 3000;
/// What has no meaning here, and does no harm: websockets always pass, and nobody asks for an authority.
const WITHOUT_EFFECT: [&str; 3] = ["use_websocket", "bypass_auth", "grpc"];
/// What would send requests elsewhere than it looks, were it left out.
const CHANGES_THE_WAY: [&str; 9] = [
    "prefix_regex",
    "host_regex",
    "method_regex",
    "regex_headers",
    "host_redirect",
    "path_redirect",
    "shadow",
    "weight",
    "ambassador_id",
];

/// One document of an annotation.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub name: String,
    pub matches: Match,
    pub service: Service,
    pub rewrite: Option<Rewrite>,
    pub host: Option<HeaderValue>,
    pub request: Edits,
    /// None: as long as it takes.
    pub timeout: Option<Duration>,
    /// Keys that nothing is done with.
    pub unknown: Vec<String>,
}

/// `[https://]name[.namespace][:port]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub namespace: Option<String>,
    pub port: u16,
    pub https: bool,
}

/// What is wrong with a document, and its name where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub part: String,
    pub text: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Fields {
    prefix: String,
    service: String,
    #[serde(default)]
    rewrite: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    host_rewrite: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    add_request_headers: BTreeMap<String, String>,
    #[serde(default)]
    tls: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// All Mappings of an annotation: what is wrong with one does not concern the others.
pub fn read(annotation: &str) -> Vec<Result<Mapping, Mistake>> {
    let mut documents = vec![String::new()];
    for line in annotation.lines() {
        match line.starts_with("---") {
            true => documents.push(String::new()),
            false => {
                if let Some(document) = documents.last_mut() {
                    document.push_str(line);
                    document.push('\n');
                }
            }
        }
    }
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    documents.retain(|document| !document.lines().all(is_blank));
    documents.iter().map(|document| one(document)).collect()
}

fn one(text: &str) -> Result<Mapping, Mistake> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| Mistake {
        part: String::new(),
        text: format!("it is no YAML of a Mapping: {error}"),
    })?;
    let part = document.name.clone();
    if !is_name(&part) {
        return Err(Mistake {
            part: String::new(),
            text: "its name is not up to 253 letters, digits, `.`, `_` and `-`".to_owned(),
        });
    }
    mapping(document).map_err(|text| Mistake { part, text })
}

/// What can stand in a line of a log and in a label of Prometheus as it is.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= 253 && name.bytes().all(is_plain)
}

fn mapping(document: Document) -> Result<Mapping, String> {
    let Document {
        api_version,
        kind,
        name,
        rest,
    } = document;
    if !matches!(api_version.as_str(), "ambassador/v0" | "ambassador/v1") {
        return Err(format!("the apiVersion `{api_version}` is not taken"));
    }
    if kind != "Mapping" {
        return Err(format!("the kind `{kind}` is not taken, only Mapping"));
    }
    let fields: Fields = serde_json::from_value(Value::Object(rest))
        .map_err(|error| format!("it does not read: {error}"))?;
    if let Some(key) = CHANGES_THE_WAY.iter().find(|key| is_set(&fields.rest, key)) {
        return Err(format!("`{key}` is not supported, and goes astray without"));
    }
    Path::check(&fields.prefix).map_err(|text| format!("the prefix {text}"))?;
    let tls = fields
        .tls
        .as_ref()
        .is_some_and(|tls| *tls != Value::Bool(false));
    let unknown = fields.rest.keys();
    let unknown = unknown.filter(|key| !WITHOUT_EFFECT.contains(&key.as_str()));
    let timeout = fields.timeout_ms.unwrap_or(TIMEOUT);
    Ok(Mapping {
        name,
        matches: matches(&fields)?,
        service: service(&fields.service, tls)?,
        rewrite: rewrite(fields.rewrite.as_deref())?,
        host: fields.host_rewrite.as_deref().map(value).transpose()?,
        request: Edits {
            add: pairs(&fields.add_request_headers)?,
            ..Edits::default()
        },
        timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
        unknown: unknown.cloned().collect(),
    })
}

fn rewrite(path: Option<&str>) -> Result<Option<Rewrite>, String> {
    let path = path.unwrap_or("/");
    if path.is_empty() {
        return Ok(None);
    }
    Path::check(path).map_err(|text| format!("the rewrite {text}"))?;
    Ok(Some(Rewrite::Prefix(path.to_owned())))
}

fn is_set(rest: &Map<String, Value>, key: &str) -> bool {
    let value = rest.get(key);
    value.is_some_and(|value| *value != Value::Bool(false) && value != "default")
}

fn matches(fields: &Fields) -> Result<Match, String> {
    let method = fields.method.as_deref().map(|method| {
        let read = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
        read.map_err(|_| format!("`{method}` is no method"))
    });
    let headers = fields.headers.iter().map(|(name, wanted)| {
        let wanted = match wanted {
            Value::Bool(true) => None,
            Value::String(text) => Some(value(text)?),
            other => return Err(format!("the header `{name}` cannot be {other}")),
        };
        Ok((header(name)?, wanted))
    });
    Ok(Match {
        host: fields.host.as_deref().map(Host::read).unwrap_or_default(),
        path: Path::Prefix(fields.prefix.clone()),
        method: method.transpose()?,
        headers: headers.collect::<Result<_, _>>()?,
        query: Vec::new(),
    })
}

fn pairs(texts: &BTreeMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let read = texts
        .iter()
        .map(|(name, text)| Ok((changeable(header(name)?)?, value(text)?)));
    read.collect()
}

pub fn header(name: &str) -> Result<HeaderName, String> {
    name.parse()
        .map_err(|_| format!("`{name}` is no name of a header"))
}

pub fn value(text: &str) -> Result<HeaderValue, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no value of a header"))
}

fn service(text: &str, tls: bool) -> Result<Service, String> {
    let wrong = || format!("the service `{text}` is not of the form name.namespace:port");
    let (https, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        Some(_) => return Err(wrong()),
        None => (tls, text),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (rest, if https { 443 } else { 80 }),
    };
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let mut labels = host.strip_suffix(".svc").unwrap_or(host).split('.');
    let name = labels.next().unwrap_or_default();
    let namespace = labels.next();
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_read = labels.next().is_none() && is_label(name) && namespace.is_none_or(is_label);
    if !is_read || port == 0 {
        return Err(wrong());
    }
    Ok(Service {
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        port,
        https,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Kubeflow's package for model servers wrote it in 2018.
    const OF_2018: &str = "---
apiVersion: ambassador/v0
kind:  Mapping
name:  tfserving-mapping-inception-get
prefix: /models/inception/
rewrite: /
method: GET
service: inception.kubeflow:8000
---
apiVersion: ambassador/v0
kind:  Mapping
name:  tfserving-mapping-inception-post
prefix: /models/inception/
rewrite: /model/inception:predict
method: POST
service: inception.kubeflow:8000
use_websocket: true
timeout_ms: 300000
";

    fn mistake(text: &str) -> String {
        let head = "apiVersion: ambassador/v1\nkind: Mapping\nname: m\n";
        let mut read = read(&format!("{head}{text}"));
        assert_eq!(read.len(), 1);
        read.pop().unwrap().unwrap_err().text
    }

    #[test]
    fn the_form_of_2018_is_read() {
        let read = read(OF_2018);
        let [Ok(get), Ok(post)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!(get.name, "tfserving-mapping-inception-get");
        assert_eq!(
            get.matches.path,
            Path::Prefix("/models/inception/".to_owned())
        );
        assert_eq!(get.matches.method, Some(Method::GET));
        assert_eq!(get.rewrite, Some(Rewrite::Prefix("/".to_owned())));
        assert_eq!(get.timeout, Some(Duration::from_secs(3)));
        let service = Service {
            name: "inception".to_owned(),
            namespace: Some("kubeflow".to_owned()),
            port: 8000,
            https: false,
        };
        assert_eq!(get.service, service);
        let path = Rewrite::Prefix("/model/inception:predict".to_owned());
        assert_eq!(post.rewrite, Some(path));
        assert_eq!(post.timeout, Some(Duration::from_secs(300)));
        assert!(post.unknown.is_empty());
    }

    #[test]
    fn services_are_named_in_many_ways() {
        for (text, tls, name, namespace, port, https) in [
            ("a", false, "a", None, 80, false),
            ("a", true, "a", None, 443, true),
            ("http://a", true, "a", None, 80, false),
            ("https://a.b:8443", false, "a", Some("b"), 8443, true),
            ("a.b.svc.cluster.local", false, "a", Some("b"), 80, false),
        ] {
            let service = service(text, tls).unwrap();
            assert_eq!(service.name, name);
            assert_eq!(service.namespace.as_deref(), namespace, "{text}");
            assert_eq!((service.port, service.https), (port, https), "{text}");
        }
        for text in [
            "",
            "a:b",
            "a:0",
            "a:70000",
            ".b",
            "a.b.c",
            "ftp://a",
            "a/b",
            "a b",
            "169.254.1.1",
            "[::1]:80",
            "u@a",
        ] {
            assert!(service(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_the_others_stand() {
        let read = read(
            "kind: Module\nname: tls\napiVersion: ambassador/v0\n---\n: {\n---\n# nothing\n---\napiVersion: ambassador/v0\nkind: Mapping\nname: good\nprefix: /good/\nservice: good\ncors: {}\n",
        );
        let [Err(module), Err(broken), Ok(good)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!(
            (module.part.as_str(), module.text.as_str()),
            ("tls", "the kind `Module` is not taken, only Mapping")
        );
        assert!(broken.text.contains("no YAML"), "{}", broken.text);
        assert_eq!(good.unknown, ["cors"]);
        for (text, part) in [
            ("service: a", "missing field `prefix`"),
            ("prefix: /a/", "missing field `service`"),
            ("prefix: a/\nservice: a", "begin with a slash"),
            ("prefix: '/a; Domain=x'\nservice: a", "is not a path"),
            ("prefix: /a?b\nservice: a", "is not a path"),
            (
                "prefix: /a\nservice: a\nrewrite: model/x",
                "the rewrite `model/x` does not begin",
            ),
            (
                "prefix: /a\nservice: a\nrewrite: '/b c'",
                "the rewrite `/b c` is not a path",
            ),
            (
                "prefix: /a\nservice: a\nprefix_regex: true",
                "`prefix_regex`",
            ),
            (
                "prefix: /a\nservice: a\nambassador_id: [b]",
                "`ambassador_id`",
            ),
            ("prefix: /a\nservice: a\nmethod: 'G T'", "no method"),
            ("prefix: /a\nservice: a\ntimeout_ms: soon", "does not read"),
            (
                "prefix: /a\nservice: a\nheaders: {'a b': c}",
                "no name of a header",
            ),
            (
                "prefix: /a\nservice: a\nadd_request_headers: {Content-Length: '3'}",
                "`content-length` is the gateway's own",
            ),
            (
                "prefix: /a\nservice: a\nadd_request_headers: {Host: b.test}",
                "a route has a key for it",
            ),
        ] {
            let text = mistake(text);
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn names_are_plain() {
        for name in ["", "a", "tf-serving_1.B"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(254);
        for name in ["a b", "a\nb", "a\"b", "a\\", "é", &long] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn hosts_headers_and_rewrites() {
        let text = "apiVersion: ambassador/v1\nkind: Mapping\nname: m\nprefix: /a/\nservice: a\nhost: A.test\nrewrite: ''\nheaders: {x-a: b, x-c: true}\nadd_request_headers: {x-d: e}\ntimeout_ms: 0\nhost_rewrite: b.test\n";
        let read = read(text).pop().unwrap().unwrap();
        assert_eq!(read.matches.host, Host::Exact("a.test".to_owned()));
        assert_eq!(read.rewrite, None);
        assert_eq!(read.timeout, None);
        assert_eq!(read.host.unwrap(), "b.test");
        let wanted = [
            (
                HeaderName::from_static("x-a"),
                Some(HeaderValue::from_static("b")),
            ),
            (HeaderName::from_static("x-c"), None),
        ];
        assert_eq!(read.matches.headers, wanted);
        assert_eq!(
            read.request.add,
            [(
                HeaderName::from_static("x-d"),
                HeaderValue::from_static("e")
            )]
        );
    }
}
