//! The history file: shared by kernels, bounded, and never in the way.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use carrel_kernel::history::History;
use carrel_kernel::wire::content::HistoryRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

#[tokio::test]
async fn sessions_follow_each_other_in_one_file() {
    let (_folder, path) = file();
    let first = filled(&path, &["one", "two"]).await;
    drop(first);
    let second = filled(&path, &["three"]).await;
    let tail = json!({ "hist_access_type": "tail", "n": 2 });
    assert_eq!(
        ask(&second, tail).await,
        json!([[1, 2, "two"], [2, 1, "three"]])
    );
    let before = json!({ "hist_access_type": "range", "session": -1, "start": 1, "stop": 2 });
    assert_eq!(ask(&second, before).await, json!([[1, 1, "one"]]));
    let by_number = json!({ "hist_access_type": "range", "session": 1, "start": 2 });
    assert_eq!(ask(&second, by_number).await, json!([[1, 2, "two"]]));
    assert_eq!(second.recent_inputs().await, ["three"]);
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn kernels_write_at_the_same_time_and_nothing_is_lost() {
    let (_folder, path) = file();
    let kernels: Vec<History> = (0..4).map(|_| History::open(&path)).collect();
    for line in 1..=25 {
        for (kernel, history) in kernels.iter().enumerate() {
            history.store(line, &format!("cell {kernel} {line}"), None);
        }
    }
    for history in &kernels {
        assert_eq!(history.recent_inputs().await.len(), 25);
    }
    let all = json!({ "hist_access_type": "search", "pattern": "cell *" });
    let found = ask(&kernels[0], all).await;
    assert_eq!(found.as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn a_search_takes_globs_and_only_the_newest_of_equal_inputs() {
    let history = filled(Path::new(""), &["let a", "let b", "use c", "let a"]).await;
    let search = |pattern: &str, more: Value| {
        let mut asked = json!({ "hist_access_type": "search", "pattern": pattern });
        let more = more.as_object().cloned().unwrap();
        asked.as_object_mut().unwrap().extend(more);
        ask(&history, asked)
    };
    assert_eq!(
        search("let ?", json!({})).await,
        json!([[1, 1, "let a"], [1, 2, "let b"], [1, 4, "let a"]])
    );
    assert_eq!(
        search("let*", json!({ "unique": true, "output": true })).await,
        json!([[1, 2, ["let b", null]], [1, 4, ["let a", null]]])
    );
    assert_eq!(
        search("*", json!({ "n": 2, "unique": true })).await,
        json!([[1, 3, "use c"], [1, 4, "let a"]])
    );
    assert_eq!(search("use", json!({})).await, json!([]));
}

#[tokio::test]
async fn outputs_come_when_asked_for() {
    let history = History::in_memory();
    history.store(1, "1 + 1", Some("2".to_owned()));
    let tail = json!({ "hist_access_type": "tail", "n": 9, "output": true });
    assert_eq!(ask(&history, tail).await, json!([[1, 1, ["1 + 1", "2"]]]));
    history.store(2, "long", Some("é".repeat(1 << 20)));
    history.store(3, &"x".repeat(1 << 20), None);
    let tail = json!({ "hist_access_type": "tail", "output": true });
    let kept = ask(&history, tail).await;
    assert_eq!(kept.as_array().unwrap().len(), 2);
    assert_eq!(kept[1][2][1].as_str().unwrap().len(), 16 * 1024);
}

#[tokio::test]
async fn a_file_that_is_no_history_is_left_alone_and_cells_are_kept_in_memory() {
    let (_folder, path) = file();
    let text = "not a database at all".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let history = filled(&path, &["kept"]).await;
    assert_eq!(history.recent_inputs().await, ["kept"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let nowhere = filled(Path::new("/proc/nowhere/history.sqlite"), &["kept"]).await;
    assert_eq!(nowhere.recent_inputs().await, ["kept"]);
}

#[tokio::test]
async fn the_oldest_cells_are_deleted_when_a_kernel_starts() {
    let (_folder, path) = file();
    let history = History::open(&path);
    for line in 1..=10_020 {
        history.store(line, "cell", None);
    }
    history.recent_inputs().await;
    let next = History::open(&path);
    let all = json!({ "hist_access_type": "tail" });
    let kept = ask(&next, all).await;
    assert_eq!(kept.as_array().unwrap().len(), 10_000);
    assert_eq!(kept[0], json!([1, 21, "cell"]));
}

/// With an empty path, in memory.
async fn filled(path: &Path, inputs: &[&str]) -> History {
    let history = match path.as_os_str().is_empty() {
        true => History::in_memory(),
        false => History::open(path),
    };
    for (line, input) in (1..).zip(inputs) {
        history.store(line, input, None);
    }
    history.recent_inputs().await;
    history
}

async fn ask(history: &History, request: Value) -> Value {
    let request: HistoryRequest = serde_json::from_value(request).unwrap();
    history.answer(request).await["history"].clone()
}

fn file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("carrel").join("history.sqlite");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    (folder, path)
}
