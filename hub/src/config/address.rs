//! Addresses in the configuration: URLs, paths of URLs, IP addresses and the database.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use url::{Host, Url};

use super::report::Report;
use super::value::{Value, read_scalar, text_value};
use super::yaml::{Kind, Node};

text_value!(
    IpAddr,
    "an IP address, such as 127.0.0.1 or 0.0.0.0",
    |text| text.parse().ok(),
    ToString::to_string
);
text_value!(
    IpNet,
    "an IP address or a network, such as 10.0.0.5 or 10.0.0.0/8",
    |text| text
        .parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)),
    ToString::to_string
);
text_value!(
    HostName,
    "a host name without a port, such as hub.example.org",
    HostName::parse,
    |name| name.0.clone()
);
text_value!(
    Url,
    "a URL, such as http://127.0.0.1:8000",
    |text| http_url(text),
    ToString::to_string
);
text_value!(
    BaseUrl,
    "a path, such as /hub-one/",
    BaseUrl::parse,
    |path| path.0.clone()
);
text_value!(
    PublicHost,
    "the address of a host by name, such as https://hub.example.org",
    PublicHost::parse,
    |host| host.0.origin().ascii_serialization()
);
text_value!(
    PublicUrl,
    "the address at which people open the Hub, such as https://hub.example.org/",
    PublicUrl::parse,
    |url| url.0.to_string()
);
text_value!(
    FilePath,
    "a path of a file, such as /etc/hub/tls.crt",
    |text| (!text.is_empty() && !text.contains('\0')).then(|| FilePath(PathBuf::from(text))),
    |path| path.0.display().to_string()
);
text_value!(
    UrlPath,
    "a path that begins with one /, such as /lab",
    |text| text.parse().ok(),
    |path| path.0.clone()
);

/// An absolute `http` or `https` URL without a user's part.
fn http_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    let bare = url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && plain && bare).then_some(url)
}

/// One URL or more; the file may give one alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Urls(pub Vec<Url>);

impl Default for Urls {
    /// Where configurable-http-proxy listens (jupyterhub/proxy.py).
    fn default() -> Self {
        Self(Url::parse("http://127.0.0.1:8001").into_iter().collect())
    }
}

impl Value for Urls {
    fn expected() -> String {
        format!("{}, or a list of them", Url::expected())
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.kind {
            Kind::List(items) if !items.is_empty() => Vec::read(node, path, report).map(Self),
            Kind::Text(_) => Url::read(node, path, report).map(|url| Self(vec![url])),
            _ => {
                report.expected(&Self::expected(), node, path);
                None
            }
        }
    }

    fn show(&self) -> String {
        match &self.0[..] {
            [url] => url.show(),
            urls => urls.to_vec().show(),
        }
    }
}

/// `http://name[:port]` or `https://..`; JupyterHub takes one without a scheme for https.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicHost(pub Url);

impl PublicHost {
    pub fn parse(text: &str) -> Option<Self> {
        let url = match text.contains("://") {
            true => http_url(text),
            false => http_url(&format!("https://{text}")),
        }?;
        (url.domain().is_some() && url.path() == "/").then_some(Self(url))
    }
}

/// `JupyterHub.public_url`: an absolute URL whose path ends with a slash; without a scheme it is one of `https`.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicUrl(pub Url);

impl PublicUrl {
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = match text.contains("://") {
            true => http_url(text),
            false => http_url(&format!("https://{text}")),
        }?;
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Some(Self(url))
    }
}

/// A file; a relative path begins where the Hub runs.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePath(pub PathBuf);

/// Address of an OpenID Connect provider, in the very spelling in which the provider calls itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Issuer(pub String);

text_value!(
    Issuer,
    "the URL of an OpenID Connect provider, such as https://accounts.example.org",
    |text| http_url(text).map(|_| Issuer(text.to_owned())),
    |issuer| issuer.0.clone()
);

/// A host as browsers write it in `Host`: lower-case, international names in their ASCII form.
#[derive(Debug, Clone, PartialEq)]
pub struct HostName(String);

impl HostName {
    pub fn parse(text: &str) -> Option<Self> {
        // A wildcard would be a name that no browser sends.
        let host = Host::parse(text).ok().filter(|_| !text.contains('*'))?;
        Some(Self(host.to_string()))
    }
}

impl Deref for HostName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// Path of all the Hub's and the servers' pages; begins and ends with `/`.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// A path of plain segments; the slashes at its ends may be missing, as in JupyterHub.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.trim_matches('/');
        let plain = |segment: &str| {
            let name = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
            !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(name)
        };
        if path.is_empty() {
            return Some(Self::default());
        }
        path.split('/')
            .all(plain)
            .then(|| Self(format!("/{path}/")))
    }
}

impl Default for BaseUrl {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl Deref for BaseUrl {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// A path on this Hub's host to send a browser to.
#[derive(Debug, Clone, PartialEq)]
pub struct UrlPath(String);

#[derive(Debug, thiserror::Error)]
#[error("not a path on this host")]
pub struct NotUrlPath;

impl FromStr for UrlPath {
    type Err = NotUrlPath;

    /// `//host` and `/\host` name other hosts to a browser (CVE-2026-33709).
    fn from_str(text: &str) -> Result<Self, NotUrlPath> {
        let other_host = text.starts_with("//") || text.contains('\\');
        let plain = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if text.starts_with('/') && !other_host && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotUrlPath)
        }
    }
}

impl Deref for UrlPath {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// Address of the database as sqlx takes it; it may hold a password, which `Debug` leaves out.
#[derive(Clone, PartialEq)]
pub struct DbUrl(pub String);

impl DbUrl {
    /// The SQLite file at `path`, whatever characters that holds.
    pub fn sqlite(path: &Path) -> Self {
        const SET: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');
        let path = percent_encode(path.as_os_str().as_encoded_bytes(), SET);
        Self(format!("sqlite://{path}"))
    }

    /// SQLAlchemy's form: three slashes before a relative path, four before an absolute one.
    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("sqlite:///") {
            // SQLAlchemy takes a percent sign as it is, sqlx as an escape.
            let path = path.replace('%', "%25");
            return (!path.is_empty()).then(|| Self(format!("sqlite://{path}")));
        }
        let postgres = text.starts_with("postgresql://") || text.starts_with("postgres://");
        (postgres && Url::parse(text).is_ok_and(|url| url.has_host()))
            .then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for DbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:...", self.0.split(':').next().unwrap_or_default())
    }
}

impl Value for DbUrl {
    fn expected() -> String {
        "a database URL, sqlite:///file or postgresql://host/database".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let url = match &node.kind {
            Kind::Text(text) => Self::parse(text),
            _ => None,
        };
        if url.is_none() {
            report.wrong(
                node.at,
                path,
                format!("expected {}, found {}", Self::expected(), node.kind()),
            );
        }
        url
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}
