//! Values of Zero to JupyterHub, as hubs of two public operators have them: the chart takes them, or says what to use
//! instead.

use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_hub::config::Config;
use carrel_skip::package_folder;

/// What the Hub needs beside such a file: operators keep it in others, encrypted.
const OF_OTHER_FILES: [&str; 2] = ["is needed to log people in", "says whose users may log in"];

#[test]
fn the_chart_takes_public_values_or_names_what_to_use_instead() {
    let folder = tempfile::tempdir().unwrap();
    let parents = parents(folder.path());
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
                    if !OF_OTHER_FILES.iter().any(|other| mistake.contains(other)) {
                        wrong.push(format!("{name}: {mistake}"));
                    }
                }
            }
            (Some(refusal), Err(error)) if error.contains(refusal) => {}
            (_, outcome) => wrong.push(format!("{name}: {outcome:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

/// What `carrel-hub check` says of a text, and whether it refuses something.
fn check(text: &str) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.yaml");
    std::fs::write(&path, text).unwrap();
    let told = carrel_hub::config::check(&path).unwrap_or_else(|errors| panic!("{errors}"));
    let prefix = format!("{}/", folder.path().display());
    (told.text.replace(&prefix, ""), told.refused)
}

#[test]
fn every_value_is_told_of_with_its_place() {
    let text = "global: {}\nbasehub:\n  nfs: {enabled: true}\n  jupyterhub:\n    custom: {a: 1}\n    hub:\n      config:\n        \
                JupyterHub: {admin_access: true, base_url: /x}\n        KubeSpawner: {modify_pod_hook: f}\n      extraConfig:\n        \
                one: |\n          # why\n          c.Spawner.http_timeout = 60\n          def f(spawner, pod):\n              \
                return pod\n          c.KubeSpawner.modify_pod_hook = f\n      concurrentSpawnLimt: 5\n    singleuser:\n      \
                memory: {limit: [1]}\n      profileList: [{display_name: A, kubespawner_override: {imag: x}}]\n    \
                proxy: {https: {enabled: true}, chp: {resources: {}}}\n";
    let (told, refused) = check(text);
    assert!(refused);
    let lines: Vec<_> = told.lines().collect();
    let expected = [
        "file.yaml: values of a chart that holds this one: only what is under `basehub.jupyterhub:` is looked at",
        "file.yaml:5:5: basehub.jupyterhub.custom: without effect: only Python",
        "file.yaml:8:22: basehub.jupyterhub.hub.config.JupyterHub.admin_access: without effect: administrators",
        "file.yaml:8:42: basehub.jupyterhub.hub.config.JupyterHub.base_url: taken",
        "file.yaml:9:23: basehub.jupyterhub.hub.config.KubeSpawner.modify_pod_hook: refused: unknown key; hooks in Python",
        "file.yaml:13:11: basehub.jupyterhub.hub.extraConfig.one: refused: Python is not run. Instead: \
         hub.config.Spawner.http_timeout",
        "file.yaml:14:11: basehub.jupyterhub.hub.extraConfig.one: refused: Python is not run (`def f`). Instead: ",
        "file.yaml:16:11: basehub.jupyterhub.hub.extraConfig.one: refused: Python is not run \
         (`c.KubeSpawner.modify_pod_hook`). Instead: KubeSpawner.pod_patches",
        "file.yaml:17:7: basehub.jupyterhub.hub.concurrentSpawnLimt: refused: the chart has no such value; did you mean \
         `concurrentSpawnLimit`?",
        "file.yaml:19:23: basehub.jupyterhub.singleuser.memory.limit: refused: expected a number or text",
        "basehub.jupyterhub.singleuser.profileList[0].kubespawner_override.imag: refused: unknown key; \
         did you mean `image`?",
        "basehub.jupyterhub.proxy.https.type: refused: the Hub asks for no certificates. Instead: ingress.enabled",
        "file.yaml:21:37: basehub.jupyterhub.proxy.chp: without effect: the Hub's own proxy is in its pod",
    ];
    for expected in expected {
        let found = lines.iter().any(|line| line.contains(expected));
        assert!(found, "{expected}\n---\n{told}");
    }
}

#[test]
fn an_image_of_the_hub_is_noted() {
    let (told, refused) = check("hub: {image: {name: example/hub}}\n");
    let note = "1:21: hub.image.name: taken; it must be the image of this Hub";
    assert!(told.contains(note) && !refused, "{told}");
}

#[test]
fn the_hubs_own_file_is_told_from_values() {
    let (told, refused) =
        check("JupyterHub:\n  port: 8001\n  load_groups: {a: [b]}\nSpawner:\n  http_timeout: 5\n");
    assert_eq!(
        (told.as_str(), refused),
        (
            "file.yaml: the Hub's own configuration\nfile.yaml:2:3: JupyterHub.port: taken\n\
             file.yaml:3:3: JupyterHub.load_groups: taken\nfile.yaml:5:3: Spawner.http_timeout: taken\n\
             3 taken, 0 without effect, 0 missing, 0 refused",
            false
        )
    );
    let (told, refused) = check("JupyterHub:\n  prot: 8001\n");
    assert!(
        refused
            && told.contains("2:3: JupyterHub.prot: refused: unknown key; did you mean `port`?"),
        "{told}"
    );
}

/// What `check` refuses of the stand-ins is what the chart and the Hub refuse.
#[test]
fn check_says_what_chart_and_hub_say() {
    for file in values() {
        let text = std::fs::read_to_string(&file).unwrap();
        let (told, refused) = check(&text);
        let name = file.file_stem().unwrap().to_string_lossy();
        assert!(!name.starts_with("refused-") || refused, "{name}: {told}");
        let refusals = told.lines().filter(|line| line.contains(": refused: "));
        let refusals: Vec<_> = refusals.collect();
        assert!(
            name.starts_with("refused-") || refusals.is_empty(),
            "{name}: {refusals:?}"
        );
    }
}
