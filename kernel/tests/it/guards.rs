//! A guard of a cell ends with it; what it guards stays.

use carrel_kernel::engine::StreamName;

use crate::notebook::Notebook;

/// Runs a cell that declares `owner` and borrows from it by `guard`, and looks at the owner in the next.
async fn guarded(cell: &str, guard: &str, then: &str, value: &str) {
    let mut notebook = Notebook::open();
    let ran = notebook.ok(cell).await;
    let stderr = ran.printed(StreamName::Stderr);
    assert!(
        stderr.contains(&format!("`{guard}` is not kept: it borrows"))
            && !stderr.contains("`owner` is not kept"),
        "{cell}\n{stderr}"
    );
    assert_eq!(notebook.value(then).await, value, "{cell}");
}

#[tokio::test]
async fn what_is_locked_or_borrowed_outlives_its_guard() {
    guarded(
        "let owner = std::cell::RefCell::new(vec![1]);\nlet mut change = owner.borrow_mut();\nchange.push(2);\nlet change = change;",
        "change",
        "owner.borrow().len()",
        "2",
    )
    .await;
    guarded(
        "let mut owner = vec![1, 2, 3];\nlet out = owner.drain(1..);",
        "out",
        "owner",
        "[1]",
    )
    .await;
    guarded(
        "let owner = std::sync::Arc::new(std::sync::RwLock::new(5));\nlet other = owner.clone();\nlet read = owner.read().unwrap();",
        "read",
        "*other.try_write().unwrap() += 1; *owner.read().unwrap()",
        "6",
    )
    .await;
}

#[tokio::test]
async fn guards_end_in_the_order_of_a_function() {
    let code = "struct Note<'a>(&'a str, &'a String);\nimpl Drop for Note<'_> { fn drop(&mut self) { println!(\"{} {}\", self.0, self.1) } }\nlet owner = String::from(\"ends\");\nlet first = Note(\"first\", &owner);\nlet second = Note(\"second\", first.1);\nlet gone = Note(\"gone\", &owner); drop(gone);";
    let mut notebook = Notebook::open();
    let ran = notebook.ok(code).await;
    assert_eq!(ran.stdout(), "gone ends\nsecond ends\nfirst ends\n");
    assert_eq!(notebook.value("owner").await, "\"ends\"");
}
