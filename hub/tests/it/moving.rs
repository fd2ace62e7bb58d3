//! Values of Zero to JupyterHub, as hubs of two public operators have them: the chart takes them, or says what to use
//! instead.

use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_hub::config::Config;
use carrel_skip::package_folder;

/// Mistakes that end once the Hub has these authenticators and keys.
const PENDING: [&str; 12] = [
    "CILogonOAuthenticator: unknown section",
    "GitHubOAuthenticator: unknown section",
    "GoogleOAuthenticator: unknown section",
    "GenericOAuthenticator: unknown section",
    "JupyterHub.authenticator_class: expected",
    "Authenticator.enable_auth_state: unknown key",
    "Authenticator.refresh_pre_spawn: unknown key",
    "Authenticator.manage_groups: unknown key",
    "Authenticator.auth_refresh_age: unknown key",
    "Authenticator.auto_login: unknown key",
    "JupyterHub.allow_named_servers: unknown key",
    "JupyterHub.named_server_limit_per_user: unknown key",
];

#[test]
fn the_chart_takes_public_values_or_names_what_to_use_instead() {
    let folder = tempfile::tempdir().unwrap();
    let parents = parents(folder.path());
    let mut pending = PENDING.to_vec();
    let mut wrong = Vec::new();
    for file in values() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let outcome = render(&parents, &file, &text);
        let refusal = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# refused: "));
        match (refusal, outcome) {
            (None, Ok(config)) => {
                let Err(mistakes) = Config::parse("carrel.yaml", &config) else {
                    continue;
                };
                for mistake in mistakes.to_string().lines().skip(1) {
                    pending.retain(|pending| !mistake.contains(pending));
                    if !PENDING.iter().any(|pending| mistake.contains(pending)) {
                        wrong.push(format!("{name}: {mistake}"));
                    }
                }
            }
            (Some(refusal), Err(error)) if error.contains(refusal) => {}
            (_, outcome) => wrong.push(format!("{name}: {outcome:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pending.is_empty(), "the Hub takes these now: {pending:?}");
}

/// All files of `moving/values`.
fn values() -> Vec<PathBuf> {
    let folder = package_folder().join("tests/it/moving/values");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    files
}

/// The chart itself, one that holds it as `jupyterhub`, and one that holds that one as `basehub`.
fn parents(folder: &Path) -> [PathBuf; 3] {
    let chart = package_folder().join("../deploy/chart");
    let basehub = folder.join("basehub");
    let daskhub = folder.join("daskhub");
    std::fs::create_dir_all(basehub.join("charts")).unwrap();
    std::fs::create_dir_all(daskhub.join("charts")).unwrap();
    let describe = |folder: &Path, name: &str, holds: &str, alias: &str| {
        let text = format!(
            "{{apiVersion: v2, name: {name}, version: 0.1.0, dependencies: [{{name: {holds}, version: 0.1.0{alias}}}]}}"
        );
        std::fs::write(folder.join("Chart.yaml"), text).unwrap();
    };
    describe(&basehub, "basehub", "carrel", ", alias: jupyterhub");
    describe(&daskhub, "daskhub", "basehub", "");
    std::os::unix::fs::symlink(chart.canonicalize().unwrap(), basehub.join("charts/carrel"))
        .unwrap();
    std::os::unix::fs::symlink(&basehub, daskhub.join("charts/basehub")).unwrap();
    [chart, basehub, daskhub]
}

/// The Hub's configuration that the chart makes of a file.
fn render(parents: &[PathBuf; 3], file: &Path, text: &str) -> Result<String, String> {
    let holds = |key: &str| text.lines().any(|line| line.trim_end() == key);
    let chart = match (holds("basehub:"), holds("jupyterhub:")) {
        (true, _) => &parents[2],
        (false, true) => &parents[1],
        (false, false) => &parents[0],
    };
    let mut helm = Command::new("helm");
    helm.args(["template", "hub"])
        .arg(chart)
        .arg("--values")
        .arg(file);
    let output = helm
        .output()
        .unwrap_or_else(|error| panic!("helm: {error}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = text
        .split_once("carrel.yaml: |\n")
        .ok_or("no configuration")?;
    let config = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    Ok(config.collect::<Vec<_>>().join("\n"))
}
