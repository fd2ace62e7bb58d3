//! A checkpoint on a disk that is full: a small file system in memory, in a mount namespace of the rank's own.

use std::fs;
use std::process::{Command, Stdio};

use carrel_skip::{Need, skip};

use crate::harness::{PROGRAM, ended, epochs, free_port, mnist, rank, text, write_digits};

/// Mounts `$1`, of 500 KB, runs what follows, and copies what is there afterwards to `$2`.
const ON_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=500k tmpfs "$1" || exit 77
small=$1 copy=$2
shift 2
"$@"
status=$?
cp -r "$small/." "$copy"
exit $status
"#;
/// What the script ends with where it may not mount.
const NO_MOUNT: i32 = 77;

#[test]
fn a_full_disk_is_named_and_earlier_checkpoints_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let [small, copy, roomy] = ["small", "copy", "roomy"].map(|name| folder.path().join(name));
    fs::create_dir(&small).unwrap();
    fs::create_dir(&copy).unwrap();
    // A checkpoint has 176 KB: two fit, and a third one does not fit beside them.
    let arguments = mnist(folder.path(), "5", &small, &["--batch", "32"]);
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", ON_SMALL_DISK, "sh"])
        .args([&small, &copy])
        .arg(PROGRAM)
        .args(&arguments)
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = ended(child);
    let said = text(&output.stderr);
    if output.status.code() == Some(NO_MOUNT) || said.contains("unshare failed") {
        skip(Need::Mount, said);
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    let third = small.join("step-0000000120");
    assert_eq!(
        said.trim_end(),
        format!(
            "carrel-train: cannot write the checkpoint {}: No space left on device (os error 28); nothing of it is \
             left, and earlier ones are whole",
            third.display()
        )
    );
    let mut left: Vec<_> = fs::read_dir(&copy)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["step-0000000040", "step-0000000080"]);

    // From there it goes on, where there is room, as if the disk had never been full.
    let finish = |kept| {
        let arguments = mnist(folder.path(), "5", kept, &["--batch", "32"]);
        let output = ended(rank(0, 1, free_port(), &arguments));
        assert!(output.status.success(), "{}", text(&output.stderr));
        epochs(0, &text(&output.stdout))
    };
    let expected = finish(&roomy);
    assert_eq!(expected.len(), 5);
    assert_eq!(finish(&copy), expected[2..]);
}
