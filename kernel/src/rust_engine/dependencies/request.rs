//! What a `:dep` line asks for, in cargo's own words: `name`, `name = "1"`, `name = { version = "1", features = [..] }`;
//! and, as evcxr has it, a folder alone: `./mine`.

use std::path::Path;

use semver::VersionReq;
use toml::{Table, Value};

/// One dependency, as it stands in a `Cargo.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Empty for a folder alone, until [`Request::resolved`] has read it there.
    pub name: String,
    pub detail: Table,
}

/// A branch of a repository, by its full name there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch {
    pub url: String,
    pub name: String,
}

/// Keys of a dependency that cargo knows and that make sense here.
const KEYS: [&str; 11] = [
    "version",
    "features",
    "default-features",
    "path",
    "git",
    "branch",
    "tag",
    "rev",
    "package",
    "registry",
    "registry-index",
];

impl Request {
    /// Reads the text after `:dep`; the error names the place in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(":dep needs a crate: `:dep rand = \"0.10\"`".to_owned());
        }
        if is_name(text) {
            return Self::new(text, Value::String("*".to_owned()));
        }
        if text.starts_with(['.', '/']) {
            return Ok(Self {
                name: String::new(),
                detail: Table::from_iter([("path".to_owned(), text.into())]),
            });
        }
        let table: Table = text.parse().map_err(|error| told(text, &error))?;
        let mut entries = table.into_iter();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => Self::new(&name, value),
            _ => Err(format!(
                "`{text}` is not one dependency; each has a `:dep` line of its own"
            )),
        }
    }

    fn new(name: &str, value: Value) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!(
                "`{name}` is not the name of a crate, which has letters, digits, `-` and `_`"
            ));
        }
        let detail = match value {
            Value::String(version) => Table::from_iter([("version".to_owned(), version.into())]),
            Value::Table(detail) => with_hyphens(detail),
            other => {
                return Err(format!(
                    "`{name}` takes a version as `\"1\"` or a table as `{{ version = \"1\" }}`, not {}",
                    kind(&other)
                ));
            }
        };
        for (key, value) in &detail {
            check(name, key, value)?;
        }
        if !["version", "path", "git"]
            .iter()
            .any(|key| detail.contains_key(*key))
        {
            return Err(format!("`{name}` needs a `version`, a `path` or a `git`"));
        }
        Ok(Self {
            name: name.to_owned(),
            detail,
        })
    }

    /// What `extern crate name;` asks for: any version.
    pub fn of_crate(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            detail: Table::from_iter([("version".to_owned(), "*".into())]),
        }
    }

    /// The same for a package whose name has hyphens where its crate has `_`.
    pub fn hyphenated(&self) -> Self {
        let mut request = self.clone();
        let package = self.name.replace('_', "-");
        request.detail.insert("package".to_owned(), package.into());
        request
    }

    /// The request with its path as seen from `folder`; an error if no crate is there.
    pub fn resolved(mut self, folder: &Path) -> Result<Self, String> {
        if let Some(Value::String(path)) = self.detail.get_mut("path") {
            let absolute = folder.join(&*path);
            let found = absolute
                .join("Cargo.toml")
                .is_file()
                .then(|| absolute.canonicalize().ok())
                .flatten();
            let text = found.as_deref().and_then(Path::to_str);
            *path = text
                .ok_or_else(|| {
                    format!("there is no crate in {}: no Cargo.toml", absolute.display())
                })?
                .to_owned();
            if self.name.is_empty() {
                self.name = name_in(Path::new(path))?;
            }
        }
        Ok(self)
    }

    /// The package's name in its registry.
    pub fn package(&self) -> &str {
        self.text("package").unwrap_or(&self.name)
    }

    pub fn version(&self) -> Option<&str> {
        self.text("version")
    }

    /// The crate comes from the default registry.
    pub fn is_of_registry(&self) -> bool {
        let elsewhere = ["path", "git", "registry", "registry-index"];
        !elsewhere.iter().any(|key| self.detail.contains_key(*key))
    }

    /// The branch of a repository whose newest commit is asked for.
    pub fn branch(&self) -> Option<Branch> {
        let fixed = ["rev", "tag"]
            .iter()
            .any(|key| self.detail.contains_key(*key));
        let url = self.text("git").filter(|_| !fixed)?;
        let name = self.text("branch");
        Some(Branch {
            url: url.to_owned(),
            name: name.map_or("HEAD".to_owned(), |name| format!("refs/heads/{name}")),
        })
    }

    /// No other version of the registry would do.
    pub fn is_exact(&self) -> bool {
        let version = self.version();
        version.is_some_and(|version| version.trim_start().starts_with('='))
    }

    /// Features asked for by name.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        let features = self.detail.get("features").and_then(Value::as_array);
        features.into_iter().flatten().filter_map(Value::as_str)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.detail.get(key).and_then(Value::as_str)
    }
}

/// cargo takes `default_features` too, with a warning.
fn with_hyphens(mut detail: Table) -> Table {
    if !detail.contains_key("default-features")
        && let Some(value) = detail.remove("default_features")
    {
        detail.insert("default-features".to_owned(), value);
    }
    detail
}

/// The name of the package in a folder.
fn name_in(folder: &Path) -> Result<String, String> {
    let file = folder.join("Cargo.toml");
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", file.display());
    let text = std::fs::read_to_string(&file).map_err(|error| wrong(&error))?;
    let manifest: Table = text.parse().map_err(|error| wrong(&error))?;
    let package = manifest.get("package").and_then(Value::as_table);
    let name = package.and_then(|package| package.get("name")?.as_str());
    let name = name.ok_or_else(|| wrong(&"it has no `[package]` with a `name`"))?;
    Ok(name.to_owned())
}

fn check(name: &str, key: &str, value: &Value) -> Result<(), String> {
    let wanted = match key {
        "features" => {
            let texts = value.as_array().map(|all| all.iter().all(Value::is_str));
            (texts != Some(true)).then_some("a list of texts")
        }
        "default-features" => (!value.is_bool()).then_some("`true` or `false`"),
        _ if KEYS.contains(&key) => (!value.is_str()).then_some("a text"),
        _ => {
            return Err(format!(
                "`{name}` has an unknown key `{key}`; known are {}",
                KEYS.join(", ")
            ));
        }
    };
    if let ("version", Some(version)) = (key, value.as_str()) {
        VersionReq::parse(version).map_err(|error| {
            format!("`{name}` has `{version}` for a version, which is none: {error}")
        })?;
    }
    match wanted {
        Some(wanted) => Err(format!(
            "`{key}` of `{name}` must be {wanted}, not {}",
            kind(value)
        )),
        None => Ok(()),
    }
}

fn kind(value: &Value) -> String {
    format!("the {} `{value}`", value.type_str())
}

fn is_name(text: &str) -> bool {
    let letter = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text.chars().all(letter)
}

/// A TOML error with the column after `:dep `.
fn told(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let column = text.get(..start).map_or(0, |before| before.chars().count()) + 1;
    let message = error.message();
    format!(
        "`{text}` is no TOML: {message}, at its character {column}; it reads as in a Cargo.toml: `:dep rand = \"0.10\"`"
    )
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn table(text: &str) -> String {
        Request::parse(text).unwrap().detail.to_string()
    }

    #[test]
    fn a_request_reads_as_in_a_manifest() {
        assert_eq!(table("rand"), "version = \"*\"\n");
        assert_eq!(table("rand = \"0.10\""), "version = \"0.10\"\n");
        let detail =
            table("serde = { version = \"1\", default-features = false, features = [\"derive\"] }");
        assert!(detail.contains("features = [\"derive\"]"), "{detail}");
        assert_eq!(table("a.git = \"https://x\""), "git = \"https://x\"\n");
        let older = table("a = { version = \"1\", default_features = false }");
        assert!(older.contains("default-features = false"), "{older}");
        assert_eq!(table("../my crate"), "path = \"../my crate\"\n");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, told) in [
            ("", "needs a crate"),
            ("rand 0.10", "character 6"),
            ("rand = 0.10", "not the float `0.1`"),
            ("rand = { vresion = \"1\" }", "unknown key `vresion`"),
            ("rand = { features = [\"a\"] }", "needs a `version`"),
            (
                "rand = { version = \"1\", features = \"a\" }",
                "a list of texts, not the string",
            ),
            ("rand = \"1.2.3.4\"", "`1.2.3.4` for a version"),
            ("\"a b\" = \"1\"", "not the name of a crate"),
            (
                "a = { version = \"1\", default_features = 1 }",
                "`default-features` of `a` must be `true` or `false`",
            ),
            (
                "a = { version = \"1\", default_features = true, default-features = true }",
                "unknown key `default_features`",
            ),
        ] {
            let error = Request::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_is_seen_from_the_notebook() {
        let request = Request::parse("a = { path = \"no/such\" }").unwrap();
        let error = request
            .resolved(std::path::Path::new("/nowhere"))
            .unwrap_err();
        let told = "there is no crate in /nowhere/no/such: no Cargo.toml";
        assert_eq!(error, told);
        let alone = Request::parse("./no/such").unwrap();
        let error = alone.resolved(std::path::Path::new("/nowhere"));
        assert!(error.unwrap_err().ends_with("no/such: no Cargo.toml"));
    }
}
