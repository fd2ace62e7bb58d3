//! The folder of prepared crates, made and complemented. Needs the prepared crates in `$CARREL_PRELUDE_DIR`.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use carrel_kernel::rust_engine::prebuilt::prepare::{Prepared, prepare};

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
        prepare(&from, Some(&to)).unwrap(),
        Prepared::Made(to.clone())
    );
    let library = || std::fs::metadata(to.join("libcarrel_prelude.so")).unwrap();
    let before = library().ino();
    assert!(!to.join("carrel-analyzer").exists());
    for text in ["one", "another"] {
        std::fs::write(from.join("carrel-analyzer"), text).unwrap();
        assert_eq!(
            prepare(&from, Some(&to)).unwrap(),
            Prepared::Made(to.clone())
        );
        let program = std::fs::read_to_string(to.join("carrel-analyzer"));
        assert_eq!(program.unwrap(), text);
        assert_eq!(library().ino(), before);
        assert_eq!(
            prepare(&from, Some(&to)).unwrap(),
            Prepared::UpToDate(to.clone())
        );
    }
}
