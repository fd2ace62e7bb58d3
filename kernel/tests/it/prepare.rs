//! The folder of prepared crates, made and complemented. Needs the prepared crates in `$CARREL_PRELUDE_DIR`.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_kernel::rust_engine::prebuilt::prepare::{Prepared, prepare};

use crate::commands::shown;
use crate::notebook::Notebook;

/// A program that is built after the crates comes to them; they stay the files that running kernels have open.
#[test]
fn a_program_that_is_built_later_comes_beside_the_crates() {
    let built = std::env::var_os("CARREL_PRELUDE_DIR").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("release"), scratch.path().join("to"));
    std::fs::create_dir(&from).unwrap();
    for name in [
        "carrel-worker",
        "libcarrel_prelude.so",
        "libcarrel_runtime.so",
        "deps",
    ] {
        symlink(Path::new(&built).join(name), from.join(name)).unwrap();
    }
    assert_eq!(
        prepare(Some(&from), Some(&to)).unwrap(),
        Prepared::Made(to.clone())
    );
    let library = || std::fs::metadata(to.join("libcarrel_prelude.so")).unwrap();
    let before = library().ino();
    assert!(!to.join("carrel-analyzer").exists());
    for text in ["one", "another"] {
        std::fs::write(from.join("carrel-analyzer"), text).unwrap();
        assert_eq!(
            prepare(Some(&from), Some(&to)).unwrap(),
            Prepared::Made(to.clone())
        );
        let program = std::fs::read_to_string(to.join("carrel-analyzer"));
        assert_eq!(program.unwrap(), text);
        assert_eq!(library().ino(), before);
        assert_eq!(
            prepare(Some(&from), Some(&to)).unwrap(),
            Prepared::UpToDate(to.clone())
        );
    }
}

/// What the variable names is a folder of the test's own.
const OWN: &str = "CARREL_TEST_OWN_PRELUDE";

/// In a process whose prepared crates may be replaced.
#[tokio::test]
async fn a_notebook_says_that_its_crates_were_updated_and_begins_anew() {
    let built = PathBuf::from(std::env::var_os("CARREL_PRELUDE_DIR").unwrap());
    if std::env::var_os(OWN).is_none() {
        return in_own_prelude(&built);
    }
    let mut notebook = Notebook::open();
    notebook.ok("let kept = 1;").await;
    let library = built.join("libcarrel_prelude.so");
    let other = built.join("other");
    std::fs::copy(&library, &other).unwrap();
    std::fs::rename(&other, &library).unwrap();
    let told = notebook.run("kept").await.failure.unwrap();
    assert!(told.evalue.contains("were updated"), "{told:?}");
    assert!(told.evalue.contains(":clear"), "{told:?}");
    notebook.ok(":clear").await;
    assert_eq!(notebook.value("1 + 1").await, "2");
    // Nothing lives that was made by the crates before.
    std::fs::copy(&library, &other).unwrap();
    std::fs::rename(&other, &library).unwrap();
    assert_eq!(notebook.value("2 + 2").await, "4");
}

fn in_own_prelude(built: &Path) {
    let own = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(built).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), own.path().join(entry.file_name())).unwrap();
    }
    let run = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "prepare::a_notebook_says_that_its_crates_were_updated_and_begins_anew",
        ])
        .env("CARREL_PRELUDE_DIR", own.path())
        .env(OWN, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && told.contains("1 passed"), "{told}");
}

/// As programs that tidy `/tmp` do.
#[tokio::test]
async fn a_folder_of_compiled_cells_is_closed_to_others_and_made_anew() {
    let mut notebook = Notebook::open();
    notebook.ok("let kept = 1;").await;
    let ran = notebook.ok(":last_compile_dir").await;
    let folder = shown(&ran)[0];
    let mode = std::fs::metadata(folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::remove_dir_all(folder).unwrap();
    let told = notebook.run("kept").await.failure.unwrap();
    assert!(told.evalue.contains("was removed"), "{told:?}");
    notebook.ok(":clear").await;
    assert_eq!(notebook.value("1 + 1").await, "2");
}
