//! Calls of cargo. Its progress is shown as it comes, and its whole process group ends with the future of a call.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::metadata::Metadata;
use super::network::Network;
use super::progress::Progress;
use crate::rust_engine::group::Group;

const TICK: Duration = Duration::from_secs(1);
/// Lines of an error that a notebook shows: so many at its start, and so many at its end.
const FIRST_LINES: usize = 12;
const LAST_LINES: usize = 28;

/// How the names of generated packages start.
pub const ROOT: &str = "carrel_deps_";

/// Cargo beside the compiler that cells are compiled with, in the folder of one package.
#[derive(Debug)]
pub struct Cargo<'a> {
    pub rustc: &'a Path,
    pub package: &'a Path,
    pub target: &'a Path,
    /// Variables that a person has set for builds.
    pub environment: &'a BTreeMap<String, String>,
}

/// What cargo said when it failed.
#[derive(Debug, thiserror::Error)]
#[error("{summary}")]
pub struct CargoError {
    pub summary: String,
    /// Its own words, shortened.
    pub detail: String,
    /// The registry or a repository could not be reached.
    pub network: bool,
}

/// A crate that cargo built, or found built.
#[derive(Debug, Deserialize)]
pub struct Artifact {
    pub package_id: String,
    pub filenames: Vec<PathBuf>,
}

/// What a build gave, also one that failed.
#[derive(Debug)]
pub struct Build {
    pub artifacts: Vec<Artifact>,
    pub error: Option<CargoError>,
}

impl Cargo<'_> {
    /// Chooses versions of what the lock file lacks, by what the registry has now; false if it did not tell in time.
    pub async fn choose(
        &self,
        limit: Duration,
        progress: &mut Progress<'_>,
    ) -> Result<bool, CargoError> {
        let mut environment = self.environment.clone();
        let retry = environment.entry("CARGO_NET_RETRY".to_owned());
        retry.or_insert("0".to_owned());
        let once = Cargo {
            environment: &environment,
            ..*self
        };
        progress.step("looking for crates in the registry").await;
        let chosen = once.run(["update", "--workspace"], progress);
        match tokio::time::timeout(limit, chosen).await {
            // What else is wrong is told when the crates are looked for.
            Ok(chosen) => Ok(chosen?.1.is_none_or(|error| !error.network)),
            Err(_) => Ok(false),
        }
    }

    /// Chooses versions and downloads, without the network if that does.
    pub async fn resolve(
        &self,
        host: &str,
        network: &Network,
        progress: &mut Progress<'_>,
    ) -> Result<Metadata, CargoError> {
        let arguments = ["metadata", "--format-version=1", "--filter-platform", host];
        let offline = arguments.iter().chain(&["--offline"]);
        let (mut text, mut error) = self.run(offline, progress).await?;
        if let Some(local) = error.take_if(|_| !network.is_off()) {
            progress.step("looking for crates in the registry").await;
            (text, error) = self.run(&arguments, progress).await?;
            error = error.map(|error| error.after(&local));
        }
        match error {
            Some(error) => Err(error),
            None => serde_json::from_str(&text).map_err(|error| {
                CargoError::tool(&format!(
                    "cargo's metadata reads otherwise than expected: {error}"
                ))
            }),
        }
    }

    /// `cargo rustc` with these arguments; everything was downloaded before.
    pub async fn build(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        progress: &mut Progress<'_>,
    ) -> Result<Build, CargoError> {
        let (text, error) = self.run(arguments, progress).await?;
        let artifacts = text
            .lines()
            .filter(|line| line.starts_with("{\"reason\":\"compiler-artifact\""))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        Ok(Build { artifacts, error })
    }

    /// Text of stdout, and the error if it failed. Dropping the future kills what runs.
    async fn run(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        progress: &mut Progress<'_>,
    ) -> Result<(String, Option<CargoError>), CargoError> {
        let program = self.rustc.with_file_name("cargo");
        let failed = |error: std::io::Error| {
            CargoError::tool(&format!(
                "cannot run {}: {error}. `:dep` needs cargo beside the compiler: `rustup component add cargo`",
                program.display()
            ))
        };
        let mut child = self
            .command(&program)
            .args(arguments)
            .spawn()
            .map_err(failed)?;
        // What it was about to write it writes anew next time.
        let group = Group::of(&child);
        let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(CargoError::tool("cargo has no pipes"));
        };
        let mut text = Vec::new();
        let (read, said) = tokio::join!(stdout.read_to_end(&mut text), follow(stderr, progress));
        read.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        group.leave();
        let error = (!status.success()).then(|| CargoError::of(&said));
        Ok((String::from_utf8_lossy(&text).into_owned(), error))
    }

    fn command(&self, program: &Path) -> Command {
        let mut path = self
            .rustc
            .parent()
            .unwrap_or(self.rustc)
            .as_os_str()
            .to_owned();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let mut command = Command::new(program);
        command
            .envs(self.environment)
            .current_dir(self.package)
            // Build scripts too must find this compiler, and not rustup's proxy with another one behind it.
            .env("PATH", path)
            .env("RUSTC", self.rustc)
            // What a person sets for programs does not fit libraries that cells load.
            .env("CARGO_ENCODED_RUSTFLAGS", "")
            .env_remove("CARGO_BUILD_TARGET")
            .env("CARGO_TARGET_DIR", self.target)
            .env("CARGO_BUILD_BUILD_DIR", self.target)
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "100")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Shows steps as they come; gives the text without them.
async fn follow(mut stderr: impl AsyncRead + Unpin, progress: &mut Progress<'_>) -> String {
    let mut said = String::new();
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = tokio::select! {
            read = stderr.read(&mut chunk) => read,
            () = tokio::time::sleep(TICK) => {
                progress.tick().await;
                continue;
            }
        };
        let Ok(count @ 1..) = read else {
            said.push_str(&String::from_utf8_lossy(&pending));
            return said;
        };
        pending.extend_from_slice(&chunk[..count]);
        while let Some(end) = pending.iter().position(|byte| b"\r\n".contains(byte)) {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match step(&line) {
                Some(step) => progress.step(&step).await,
                None => said.push_str(&line),
            }
        }
    }
}

/// What a line of cargo's progress says: `    Building [==>   ] 2/18: serde, syn(build)`, or `  Downloaded semver v1.0.28`.
fn step(line: &str) -> Option<String> {
    let (word, rest) = line.trim().split_once(' ')?;
    match word {
        "Building" => {
            let (count, crates) = rest.split_once("] ")?.1.split_once(": ")?;
            let (done, all) = count.trim().split_once('/')?;
            let crates = crates.trim();
            Some(match crates.starts_with(ROOT) {
                true => "linking".to_owned(),
                false => format!("compiling {crates}, {done} of {all} done"),
            })
        }
        "Downloading" | "Downloaded" => Some(format!("{} {rest}", word.to_lowercase())),
        "Blocking" => Some("waiting for another cargo".to_owned()),
        "Updating" if line.starts_with("    Updating") => Some(format!("updating {rest}")),
        _ => None,
    }
}

impl CargoError {
    fn tool(summary: &str) -> Self {
        Self {
            summary: summary.to_owned(),
            detail: String::new(),
            network: false,
        }
    }

    fn of(said: &str) -> Self {
        // What comes before the first error are warnings.
        let start = said.find("\nerror").map_or(0, |start| start + 1);
        let start = if said.starts_with("error") { 0 } else { start };
        let text = said[start..].trim_end();
        let network = [
            "failed to download",
            "download of",
            "failed to connect",
            "Could not connect",
            "Could not resolve host",
            "Couldn't resolve host",
            "network error",
            "network failure",
        ]
        .iter()
        .any(|sign| text.contains(sign));
        Self {
            summary: summary(text),
            detail: shortened(text),
            network,
        }
    }

    /// The error of a second try, with the network; `local` is what failed without.
    fn after(mut self, local: &Self) -> Self {
        if self.network {
            self.summary = format!(
                "the network is needed and cannot be reached ({}); what was downloaded before does not do: {}",
                self.detail.lines().last().unwrap_or_default().trim(),
                local.summary
            );
        }
        self
    }
}

/// The one sentence that matters.
fn summary(text: &str) -> String {
    let line = |sign: &str| text.lines().find(|line| line.contains(sign)).map(str::trim);
    if let Some(name) = line("no matching package named").and_then(quoted) {
        return format!("there is no crate `{name}` in the registry");
    }
    if let Some(wanted) = line("failed to select a version for the requirement").and_then(quoted) {
        let found = line("candidate versions found").and_then(|line| line.split_once(": "));
        let found = found.map_or("none", |(_, found)| found);
        return format!("no version fits `{wanted}`; there are {found}");
    }
    // "package `root` depends on `a` with feature `b` but `a` does not have that feature"
    if let Some(line) = line("` does not have ").filter(|line| line.contains("with feature")) {
        let names: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let having = text
            .lines()
            .map(str::trim)
            .find(|line| line.contains("` does have feature"));
        if let [_, name, feature, ..] = names[..] {
            let having = having.unwrap_or("it has none");
            return format!("`{name}` has no feature `{feature}`; {having}");
        }
    }
    let failed =
        line("error: could not compile").or_else(|| line("failed to run custom build command for"));
    let first = text
        .lines()
        .next()
        .unwrap_or("cargo failed and said nothing");
    let told = failed.unwrap_or(first).trim_start_matches("error: ");
    told.split_once(" due to ")
        .map_or(told, |(told, _)| told)
        .to_owned()
}

fn quoted(line: &str) -> Option<&str> {
    line.split('`').nth(1)
}

/// The start and the end of a long text.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("you're using offline mode"))
        .filter(|line| !line.contains(&format!("required by package `{ROOT}")))
        .collect();
    let left_out = lines.len().saturating_sub(FIRST_LINES + LAST_LINES);
    if left_out == 0 {
        return lines.join("\n");
    }
    let (first, rest) = lines.split_at(FIRST_LINES);
    let last = &rest[left_out..];
    format!(
        "{}\n  ... {left_out} lines ...\n{}",
        first.join("\n"),
        last.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::{CargoError, step};

    #[test]
    fn steps_are_told_apart_from_what_cargo_says() {
        let line = "    Building [==>        ] 2/18: proc-macro2(build), unicode-ident      \r";
        assert_eq!(
            step(line).unwrap(),
            "compiling proc-macro2(build), unicode-ident, 2 of 18 done"
        );
        assert_eq!(
            step("  Downloaded semver v1.0.28\n").unwrap(),
            "downloaded semver v1.0.28"
        );
        assert_eq!(step("error: no matching package named `x` found\n"), None);
    }

    #[test]
    fn errors_are_told_in_one_sentence() {
        let missing = "    Updating crates.io index\nerror: no matching package named `nosuch` found\nlocation searched: crates.io index";
        assert_eq!(
            CargoError::of(missing).summary,
            "there is no crate `nosuch` in the registry"
        );
        let version = "error: failed to select a version for the requirement `semver = \"^9\"`\ncandidate versions found which didn't match: 1.0.28, 1.0.27, ...\n";
        assert_eq!(
            CargoError::of(version).summary,
            "no version fits `semver = \"^9\"`; there are 1.0.28, 1.0.27, ..."
        );
        let feature = "error: failed to select a version for `semver`.\n\npackage `root` depends on `semver` with feature `no` but `semver` does not have that feature.\n package `semver` does have feature `std`\n";
        assert_eq!(
            CargoError::of(feature).summary,
            "`semver` has no feature `no`; package `semver` does have feature `std`"
        );
        let build = "warning: unused\nerror[E0308]: mismatched types\n --> src/lib.rs:1:1\n\nerror: could not compile `broken` (lib) due to 1 previous error; 1 warning emitted\n";
        let error = CargoError::of(build);
        assert_eq!(error.summary, "could not compile `broken` (lib)");
        assert!(
            error.detail.starts_with("error[E0308]: mismatched types\n"),
            "{}",
            error.detail
        );
        let unreachable = "error: failed to get `semver` as a dependency\n\nCaused by:\n  [7] Could not connect to server\n";
        let error = CargoError::of(unreachable).after(&CargoError::of(missing));
        assert!(
            error.network && error.summary.contains("([7] Could not connect to server)"),
            "{error}"
        );
    }
}
