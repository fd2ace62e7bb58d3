//! Brings the files of a version from their addresses, each checked by its digest: what runs before a server whose model lies
//! at an address. The folder is there whole or not at all.

use std::io::{Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tracing::info;
use url::Url;

/// Places that send on to another.
const REDIRECTS: usize = 10;

#[derive(Args, Clone, Debug)]
pub struct Fetch {
    /// The folder of the version, such as /models/inception/1
    #[arg(long)]
    pub to: PathBuf,
    /// The files, as JSON: [{"name": "model.onnx", "url": "https://..", "sha256": ".."}, {"name": "manifest.json", "text": "{}"}]
    #[arg(long, value_parser = files)]
    pub files: Files,
    /// The longest that all of it may take, in seconds
    #[arg(long, default_value_t = 600)]
    pub timeout: u64,
    /// The most that addresses may give together, in bytes
    #[arg(long, default_value_t = 16 << 30)]
    pub most_bytes: u64,
}

/// The files of a version.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Files(Vec<File>);

/// A file of a version: from an address, with its digest, or with the text that it has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: PathBuf,
    url: Option<Url>,
    sha256: Option<String>,
    text: Option<String>,
}

type Http = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Brings them, unless they are there.
///
/// # Errors
/// Where one does not come, or is not the one that was asked for; the folder is as it was then.
pub async fn fetch(fetch: &Fetch) -> anyhow::Result<()> {
    let to = &fetch.to;
    let files = &fetch.files.0;
    // Both beside it, under names that are no versions.
    let (unfinished, old) = (to.with_extension("unfinished"), to.with_extension("old"));
    // Of one that was ended before its end.
    let _ = std::fs::remove_dir_all(&unfinished);
    let _ = match to.exists() {
        true => std::fs::remove_dir_all(&old),
        false => std::fs::rename(&old, to),
    };
    if files.iter().all(|file| file.is_in(to)) {
        info!("{} is there", to.display());
        return Ok(());
    }
    let limit = Duration::from_secs(fetch.timeout);
    let brought = tokio::time::timeout(limit, bring(files, &unfinished, fetch.most_bytes)).await;
    let brought = brought.with_context(|| format!("it takes longer than {limit:?}"));
    let placed = brought
        .flatten()
        .and_then(|()| replace(to, &unfinished, &old));
    if placed.is_err() {
        // A part of the files is of no use, and may be what fills the disk.
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    placed?;
    info!("{} is there now", to.display());
    Ok(())
}

/// Puts a folder in the place of another, which is aside until then.
fn replace(to: &Path, new: &Path, old: &Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::rename(to, old).with_context(|| format!("could not replace {}", to.display()))?;
    }
    if let Err(error) = std::fs::rename(new, to) {
        // There may be none.
        let _ = std::fs::rename(old, to);
        return Err(error).with_context(|| format!("could not make {}", to.display()));
    }
    // What stays behind is removed by the next.
    let _ = std::fs::remove_dir_all(old);
    Ok(())
}

/// Into a folder, which addresses give so many bytes at most.
async fn bring(files: &[File], unfinished: &Path, most: u64) -> anyhow::Result<()> {
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()
        .context("this machine has no certificates to check others by")?
        .https_or_http()
        .enable_http1()
        .build();
    let http = Client::builder(TokioExecutor::new()).build(connector);
    let mut left = most;
    for file in files {
        let path = unfinished.join(&file.name);
        let folder = path.parent().unwrap_or(unfinished);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let written = file.write(&http, &path, &mut left).await;
        written.with_context(|| format!("could not bring {}", file.name.display()))?;
    }
    Ok(())
}

fn files(json: &str) -> Result<Files, String> {
    let files: Files = serde_json::from_str(json).map_err(|error| error.to_string())?;
    for file in &files.0 {
        file.check().map_err(|error| format!("{error:#}"))?;
    }
    match files.0.is_empty() {
        true => Err("there is no file".into()),
        false => Ok(files),
    }
}

impl File {
    fn check(&self) -> anyhow::Result<()> {
        let name = self.name.display();
        let mut parts = self.name.components();
        let below = parts.all(|part| matches!(part, Component::Normal(_)));
        ensure!(
            below && !self.name.as_os_str().is_empty(),
            "{name:?} is no file in the folder or below"
        );
        match (&self.url, &self.sha256, &self.text) {
            (None, None, Some(_)) => Ok(()),
            (Some(url), Some(sha256), None) => {
                ensure!(
                    ["http", "https"].contains(&url.scheme()),
                    "{name}: {url} is no address of http or https"
                );
                let digits = sha256.len() == 64 && sha256.chars().all(|c| c.is_ascii_hexdigit());
                ensure!(digits, "{name}: sha256 has 64 hexadecimal digits");
                Ok(())
            }
            _ => bail!("{name} has either url and sha256, or text"),
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let digest = digest_of(&folder.join(&self.name));
        let is = |wanted: &str| digest.is_ok_and(|digest| digest.eq_ignore_ascii_case(wanted));
        match (&self.text, &self.sha256) {
            (Some(text), _) => is(&hex::encode(Sha256::digest(text))),
            (None, Some(sha256)) => is(sha256),
            (None, None) => false,
        }
    }

    /// To a path, where no more than what is left of the bytes comes.
    async fn write(&self, http: &Http, path: &Path, left: &mut u64) -> anyhow::Result<()> {
        let (Some(url), Some(wanted)) = (&self.url, &self.sha256) else {
            return Ok(std::fs::write(
                path,
                self.text.as_deref().unwrap_or_default(),
            )?);
        };
        let mut file = std::fs::File::create(path)?;
        let mut digest = Sha256::new();
        let mut body = get(http, url).await?.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| format!("{url} broke off"))?;
            if let Some(part) = frame.data_ref() {
                let rest = left.checked_sub(part.len() as u64);
                *left =
                    rest.with_context(|| format!("{url} gives more than --most-bytes allows"))?;
                digest.update(part);
                file.write_all(part)?;
            }
        }
        let found = hex::encode(digest.finalize());
        ensure!(
            found.eq_ignore_ascii_case(wanted),
            "{url} has the SHA-256 {found}, not {wanted}"
        );
        Ok(file.sync_all()?)
    }
}

/// The SHA-256 of a file, which may be larger than memory.
fn digest_of(file: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(file)?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

/// The answer of an address, or of where it sends on to.
async fn get(
    http: &Http,
    url: &Url,
) -> anyhow::Result<axum::http::Response<hyper::body::Incoming>> {
    let mut at = url.clone();
    for _ in 0..=REDIRECTS {
        let request = Request::get(at.as_str()).body(Empty::new())?;
        let answer = http.request(request).await;
        let answer = answer.with_context(|| format!("could not reach {at}"))?;
        let place = answer.headers().get(header::LOCATION);
        match (answer.status(), place) {
            (StatusCode::OK, _) => return Ok(answer),
            (status, Some(place)) if status.is_redirection() => {
                let place = place.to_str().context("it sends on to no address")?;
                at = onward(&at, place)?;
            }
            (status, _) => bail!("{at} answered {status}"),
        }
    }
    bail!("{url} sends on without end")
}

/// Where an address sends on to, which is as safe as it is.
fn onward(at: &Url, place: &str) -> anyhow::Result<Url> {
    let next = at.join(place);
    let next = next.with_context(|| format!("{at} sends on to {place:?}"))?;
    ensure!(
        at.scheme() != "https" || next.scheme() == "https",
        "{at} sends on to {next}, which is not https"
    );
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::{Url, onward};

    #[test]
    fn a_safe_address_sends_on_to_safe_ones_only() {
        let to = |at: &str, place: &str| {
            let next = onward(&Url::parse(at).unwrap(), place);
            next.map(String::from).map_err(|error| error.to_string())
        };
        let https = "https://models.test/file";
        assert_eq!(to(https, "/more").unwrap(), "https://models.test/more");
        assert_eq!(to(https, "https://b.test/").unwrap(), "https://b.test/");
        for place in ["http://b.test/", "file:///etc/passwd"] {
            let said = to(https, place).unwrap_err();
            assert!(said.contains("which is not https"), "{said}");
        }
        let http = "http://models.test/file";
        assert_eq!(to(http, "/more").unwrap(), "http://models.test/more");
        assert_eq!(to(http, "https://b.test/").unwrap(), "https://b.test/");
    }
}
