//! Which version of a crate `:dep` takes, and how long what it built is kept. Repositories and registries are folders here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_kernel::rust_engine::RustEngine;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::deps::told;
use crate::notebook::Notebook;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn notebook(&self) -> Notebook {
        Notebook::over(RustEngine::building_in(self.at("cache")))
    }

    /// A cell's first lines: cargo has a folder of its own.
    fn home(&self) -> String {
        format!(":build_env CARGO_HOME={}\n", self.at("home").display())
    }

    /// Commits all of a repository, which is made where there is none.
    fn commit(&self, repository: &str) {
        let folder = self.at(repository);
        run(
            &folder,
            "git",
            &["init", "--quiet", "--initial-branch=main"],
        );
        run(&folder, "git", &["add", "--all"]);
        let person = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        let commit = ["commit", "--quiet", "--message=next"];
        run(&folder, "git", &[&person[..], &commit].concat());
    }

    /// Writes a crate whose `number` is this.
    fn write(&self, folder: &str, name: &str, version: &str, number: u8) {
        let source = self.at(folder).join("src");
        fs::create_dir_all(&source).unwrap();
        let about =
            format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n");
        fs::write(self.at(folder).join("Cargo.toml"), about).unwrap();
        let code = format!("pub fn number() -> u8 {{ {number} }}");
        fs::write(source.join("lib.rs"), code).unwrap();
    }

    /// Publishes a version of the crate `pick`.
    fn publish(&self, version: &str, number: u8) {
        let name = format!("pick-{version}");
        self.write(&name, "pick", version, number);
        let archive = format!("{name}.crate");
        run(self.0.path(), "tar", &["-czf", &archive, &name]);
        let hash = hex::encode(Sha256::digest(fs::read(self.at(&archive)).unwrap()));
        let index = self.at("index/pi/ck");
        fs::create_dir_all(&index).unwrap();
        let archives = format!(
            "file://{}/{{crate}}-{{version}}.crate",
            self.0.path().display()
        );
        let config = serde_json::json!({ "dl": archives });
        fs::write(self.at("index/config.json"), config.to_string()).unwrap();
        let mut lines = fs::read_to_string(index.join("pick")).unwrap_or_default();
        let line = serde_json::json!({
            "name": "pick", "vers": version, "deps": [], "cksum": hash, "features": {}, "yanked": false,
        });
        lines.push_str(&format!("{line}\n"));
        fs::write(index.join("pick"), lines).unwrap();
        self.commit("index");
    }

    fn pick(&self, version: &str) -> String {
        let index = self.at("index");
        format!(
            ":dep pick = {{ version = \"{version}\", registry-index = \"file://{}\" }}\npick::number()",
            index.display()
        )
    }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let status = command.args(arguments).current_dir(folder).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

#[tokio::test]
async fn a_branch_is_the_newest_commit_in_each_kernel_and_the_last_known_without_a_network() {
    let place = Place::new();
    place.write("repository", "gitted", "0.1.0", 1);
    place.commit("repository");
    let url = format!("file://{}", place.at("repository").display());
    let code = format!(
        "{}:dep gitted = {{ git = \"{url}\" }}\ngitted::number()",
        place.home()
    );
    let mut first = place.notebook();
    assert_eq!(first.value(&code).await, "1");
    place.write("repository", "gitted", "0.1.0", 2);
    place.commit("repository");
    // One notebook has one of it, until it forgets that.
    assert_eq!(first.value(&code).await, "1");
    assert_eq!(place.notebook().value(&code).await, "2");
    first.ok(":clear").await;
    assert_eq!(first.value(&code).await, "2");
    fs::rename(place.at("repository"), place.at("away")).unwrap();
    let ran = place.notebook().ok(&code).await;
    assert_eq!(ran.value(&code), "2");
    let told = told(&ran.outputs);
    assert!(
        told.contains("as before, for it could not be asked"),
        "{told}"
    );
}

#[tokio::test]
async fn any_version_is_the_newest_of_the_registry_and_not_of_what_was_downloaded() {
    let place = Place::new();
    place.publish("1.0.0", 1);
    let (home, any) = (place.home(), place.pick("*"));
    let exact = format!("{home}{}", place.pick("=1.0.0"));
    assert_eq!(place.notebook().value(&exact).await, "1");
    place.publish("1.1.0", 2);
    let offline = format!(":offline 1\n{home}{}", place.pick("1"));
    assert_eq!(place.notebook().value(&offline).await, "1");
    let code = format!("{home}{any}");
    assert_eq!(place.notebook().value(&code).await, "2");
    // What was built is there at once, in that version; the registry may be away.
    place.publish("1.2.0", 3);
    fs::rename(place.at("index"), place.at("away")).unwrap();
    assert_eq!(place.notebook().value(&code).await, "2");
}

#[tokio::test]
async fn the_cache_keeps_within_its_limit_what_was_used_last_and_what_notebooks_have() {
    let place = Place::new();
    let dep = |name: &str, number| {
        place.write(name, name, "0.1.0", number);
        place.commit(name);
        let url = format!("file://{}", place.at(name).display());
        format!(
            "{}:dep {name} = {{ git = \"{url}\" }}\n{name}::number()",
            place.home()
        )
    };
    let (one, two) = (dep("one", 1), dep("two", 2));
    let mut user = place.notebook();
    assert_eq!(user.value(&one).await, "1");
    assert_eq!(place.notebook().value(&two).await, "2");
    let sets = || {
        let compiler = fs::read_dir(place.at("cache")).unwrap().next().unwrap();
        let folder = compiler.unwrap().path();
        let sets = fs::read_dir(folder.join("sets")).unwrap().count();
        (sets, folder.join("target").exists())
    };
    assert_eq!(sets(), (2, true));
    let told_room = told(&user.ok(":cache 1").await.outputs);
    assert!(told_room.contains("beyond 1 MiB"), "{told_room}");
    let told_cleared = told(&user.ok(":clear_cache").await.outputs);
    assert!(told_cleared.starts_with("removed "), "{told_cleared}");
    assert_eq!(sets(), (1, false));
    assert_eq!(user.value("one::number()").await, "1");
    // Built within a limit that it is above: the other one goes, this one stays.
    user.ok(":clear").await;
    assert_eq!(user.value(&format!(":cache 0\n{two}")).await, "2");
    assert_eq!(sets(), (1, false));
    assert_eq!(user.value("two::number()").await, "2");
}
