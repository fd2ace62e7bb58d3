//! A route as the gateway keeps it, whoever declared it: which requests it takes, and what becomes of them. Pure.

use std::fmt;
use std::time::Duration;

use carrel_proxy::{is_at, key};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use k8s_openapi::jiff::Timestamp;

/// Who declared a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    BuiltIn,
    Mapping,
    HttpRoute,
}

/// Where a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub kind: Kind,
    pub namespace: String,
    /// Of the Service with the annotation, or of the HTTPRoute.
    pub object: String,
    /// The Mapping's own name; the number of a rule in an HTTPRoute.
    pub part: String,
    /// Which rule of an HTTPRoute it is: of equal ones the first counts. 0 for others.
    pub number: usize,
    /// Of the object. What is built in has none, and is older than all.
    pub created: Option<Timestamp>,
}

impl Origin {
    pub fn built_in(name: &str) -> Self {
        Self {
            kind: Kind::BuiltIn,
            namespace: String::new(),
            object: name.to_owned(),
            part: String::new(),
            number: 0,
            created: None,
        }
    }

    /// The eldest first; of one age, by name; of one HTTPRoute, as they are listed.
    pub fn age(&self) -> impl Ord + '_ {
        let Self {
            kind,
            namespace,
            object,
            part,
            number,
            created,
        } = self;
        (*created, namespace, object, *kind, *number, part)
    }

    /// Whether one owner wrote both.
    pub fn is_beside(&self, other: &Self) -> bool {
        let built_in = self.kind == Kind::BuiltIn || other.kind == Kind::BuiltIn;
        !built_in && self.namespace == other.namespace
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            object,
            part,
            ..
        } = self;
        match self.kind {
            Kind::BuiltIn => write!(f, "{object} (built in)"),
            Kind::Mapping => write!(f, "Mapping {part} of the Service {namespace}/{object}"),
            Kind::HttpRoute => write!(f, "HTTPRoute {namespace}/{object}"),
        }
    }
}

/// The hosts of a rule. The greater is the more specific.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Host {
    #[default]
    Any,
    /// `.example.org`: everything below it.
    Below(String),
    Exact(String),
}

impl Host {
    /// Of `hub.example.org` or `*.example.org`; `*` is any.
    pub fn read(text: &str) -> Self {
        let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some("") => Self::Any,
            Some(below) => Self::Below(below.to_owned()),
            None => Self::Exact(text),
        }
    }

    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end),
            Self::Exact(name) => name == host,
        }
    }

    /// The hosts that both have, if any.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let met = match (self, other) {
            (Self::Any, host) | (host, Self::Any) => return Some(host.clone()),
            (Self::Exact(name), host) | (host, Self::Exact(name)) => {
                host.matches(name).then_some(name)
            }
            (Self::Below(one), Self::Below(two)) => {
                let longer = if one.len() > two.len() { one } else { two };
                let both = longer.ends_with(one.as_str()) && longer.ends_with(two.as_str());
                return both.then(|| Self::Below(longer.clone()));
            }
        };
        met.map(|name| Self::Exact(name.clone()))
    }

    /// The more specific the greater.
    pub fn rank(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Below(end) => (1, end.len()),
            Self::Exact(_) => (2, 0),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Below(end) => write!(f, "*{end}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// The paths of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// It and all below it, by whole segments.
    Prefix(String),
    Exact(String),
}

impl Path {
    pub fn text(&self) -> &str {
        match self {
            Self::Prefix(path) | Self::Exact(path) => path,
        }
    }

    /// The text of a path that requests can have and cookies can keep to, where a semicolon would begin something else.
    ///
    /// # Errors
    /// When it is none.
    pub fn check(text: &str) -> Result<(), String> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,=:@%".contains(&byte);
        match text {
            _ if !text.starts_with('/') => Err(format!("`{text}` does not begin with a slash")),
            _ if !text.bytes().all(is_plain) => {
                Err(format!("`{text}` is not a path that is taken"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it has the start page, alone or with all that there is.
    pub fn is_root(&self) -> bool {
        key(self.text()).is_empty()
    }

    /// Whether `other` has all paths of this.
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Prefix(prefix)) => is_at(self.text(), prefix),
            (Self::Exact(one), Self::Exact(two)) => {
                key(one) == key(two) && one.ends_with('/') == two.ends_with('/')
            }
            (Self::Prefix(_), Self::Exact(_)) => false,
        }
    }

    /// The more specific the greater.
    pub fn rank(&self) -> (bool, usize) {
        (matches!(self, Self::Exact(_)), key(self.text()).len())
    }

    /// As one spells it, whoever has spelt it.
    pub fn same(&self, other: &Self) -> bool {
        self.is_within(other) && other.is_within(self)
    }
}

/// Which requests a rule takes.
#[derive(Debug, Clone)]
pub struct Match {
    pub host: Host,
    pub path: Path,
    pub method: Option<Method>,
    /// Without a value the field has to be there, whatever it says.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    pub query: Vec<(String, String)>,
}

impl Match {
    pub fn prefix(path: &str) -> Self {
        Self {
            host: Host::Any,
            path: Path::Prefix(path.to_owned()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }
    }

    /// The more specific the greater, as HTTPRoutes say it: the host, the path, the method, headers, the query.
    pub fn rank(&self) -> impl Ord + use<> {
        (
            self.host.rank(),
            self.path.rank(),
            self.method.is_some(),
            self.headers.len(),
            self.query.len(),
        )
    }

    pub fn same(&self, other: &Self) -> bool {
        self.host == other.host
            && self.path.same(&other.path)
            && self.method == other.method
            && self.headers == other.headers
            && self.query == other.query
    }
}

/// What follows the prefix of a path, and what stands there for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// In the place of the prefix that has matched.
    Prefix(String),
    Whole(String),
}

/// What is changed of the headers of a request or an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub add: Vec<(HeaderName, HeaderValue)>,
    pub remove: Vec<HeaderName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub scheme: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub path: Option<Rewrite>,
    pub status: StatusCode,
}

/// A server of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its share of the requests, by the sum of all.
    pub weight: u32,
    /// As its owner calls it.
    pub name: String,
    pub at: Result<Address, Missing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// `host:port`.
    pub address: String,
    /// The host in the certificate of one that speaks TLS, and whether that certificate is believed unseen.
    pub tls: Option<(String, bool)>,
}

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    NotFound(String),
    NotPermitted(String),
    Unsupported(String),
}

impl Missing {
    pub fn text(&self) -> &str {
        match self {
            Self::NotFound(text) | Self::NotPermitted(text) | Self::Unsupported(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    Forward(Vec<Backend>),
    Redirect(Redirect),
}

/// Who serves a rule, and what it may see and say of the whole origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The Hub: its cookies are its own, and it guards its users' servers itself.
    Hub,
    /// A dashboard: it speaks for the origin, and sees no cookie of the Hub.
    Ours,
    Foreign,
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub origin: Origin,
    pub matches: Match,
    pub action: Action,
    pub rewrite: Option<Rewrite>,
    /// The `Host` that the target gets; else the client's.
    pub host: Option<HeaderValue>,
    pub request: Edits,
    pub response: Edits,
    pub timeout: Option<Duration>,
    pub standing: Standing,
}

impl Rule {
    /// One that forwards and changes nothing.
    pub fn new(
        origin: Origin,
        matches: Match,
        backends: Vec<Backend>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            origin,
            matches,
            action: Action::Forward(backends),
            rewrite: None,
            host: None,
            request: Edits::default(),
            response: Edits::default(),
            timeout,
            standing: Standing::Foreign,
        }
    }
}
