//! Variables and values of real cells.

use carrel_kernel::engine::StreamName;

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn the_hello_world_needs_no_use() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let hello = constant(\"Hello Tensor!\");\n\
             println!(\"{hello}\");\n\
             let x = Tensor::arange(0f32, 6., &Device::Cpu)?.reshape((2, 3))?;\n\
             x.matmul(&x.t()?)?")
        .await;
    assert_eq!(ran.stdout(), "Hello Tensor!\n");
    let html = ran.data("text/html").unwrap();
    assert!(
        html.contains("f32 [2, 2]") && html.contains("<td>14</td><td>50</td>"),
        "{html}"
    );
    let text = ran.data("text/plain").unwrap();
    assert!(
        text.contains("50.") && text.contains("Tensor[[2, 2], f32]"),
        "{text}"
    );
    assert_eq!(notebook.value("x.dims()").await, "[2, 3]");
    assert_eq!(
        notebook.value("hello").await,
        "StringTensor[] \"Hello Tensor!\""
    );
}

#[tokio::test]
async fn variables_live_on_and_change() {
    let mut notebook = Notebook::open();
    notebook.ok("let mut list = vec![1, 2];\nlet (a, b) = (1u8, \"text\");\nlet Some(inner) = Some(2.5) else { panic!() };").await;
    notebook.ok("list.push(3);").await;
    assert_eq!(notebook.value("list").await, "[1, 2, 3]");
    assert_eq!(notebook.value("list.iter().max()").await, "Some(3)");
    assert_eq!(
        notebook.value("format!(\"{a} {b} {inner:.2}\")").await,
        "\"1 text 2.50\""
    );
    let failure = notebook.fails("compile error", "a += 1;").await;
    assert!(
        plain(&failure).contains("declare a variable that changes with `let mut`"),
        "{}",
        plain(&failure)
    );
}

#[tokio::test]
async fn a_new_let_shadows_the_old_variable_also_with_another_type() {
    let mut notebook = Notebook::open();
    notebook.ok("let x = 1;").await;
    notebook.ok("let x = format!(\"{x}!\");").await;
    assert_eq!(notebook.value("x").await, "\"1!\"");
    notebook.ok("let x = vec![x]; let x = x.len();").await;
    assert_eq!(notebook.value("x").await, "1");
}

#[tokio::test]
async fn a_moved_variable_is_gone_and_the_error_says_so() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let name = String::from(\"a\"); let other = 1;")
        .await;
    notebook.ok("let list = vec![name];").await;
    let failure = notebook.fails("compile error", "other;\nname.len()").await;
    assert_eq!(
        failure.evalue,
        "cannot find value `name` in this scope (Cell [3]:2:1)"
    );
    let text = plain(&failure);
    assert!(
        text.contains("there was a variable `name`, but it was moved in Cell [2]"),
        "{text}"
    );
    assert_eq!(notebook.value("(list, other)").await, "([\"a\"], 1)");
}

#[tokio::test]
async fn what_cannot_be_kept_says_why_and_what_to_write() {
    let mut notebook = Notebook::open();
    notebook.ok("let owned = vec![3, 4];").await;
    let used = "let first = &owned[0]; println!(\"{first}\"); let doubled = owned.iter().map(|x| 2 * x); let sum: i32 = doubled.clone().sum();";
    let ran = notebook.ok(used).await;
    assert_eq!(ran.printed(StreamName::Stderr), "");
    assert_eq!(notebook.value("sum").await, "14");
    for (name, help) in [
        ("first", "keep an owned value, as `.clone()`"),
        ("doubled", "keep an owned value"),
    ] {
        let text = plain(&notebook.fails("compile error", name).await);
        assert!(
            text.contains(&format!("there was a variable `{name}`")) && text.contains(help),
            "{text}"
        );
    }
    // What the cell itself does not use was meant for others.
    for (code, told) in [
        ("let r = &owned;", "`r` is not kept: it borrows"),
        ("let it = (0..3).map(|n| n + 1);", "`.collect::<Vec<_>>()`"),
        (
            "fn adder(n: i32) -> impl Fn(i32) -> i32 { move |x| x + n }\nlet add = adder(1);",
            "Box::new(..)`",
        ),
        (
            "let n = 3; let by_reference = |x: i32| x + n;",
            "write `move |..| ..`",
        ),
        (
            "let curried = |x: i32| move |y: i32| x + y;",
            "`curried` is not kept: its type has no name",
        ),
    ] {
        let stderr = notebook.ok(code).await.printed(StreamName::Stderr);
        assert!(
            stderr.contains(told) && stderr.lines().count() == 1,
            "{code}: {stderr}"
        );
    }
    notebook.ok("let a = String::new(); let b = &a; let moved = a.clone(); drop(moved); let maybe: u8; if sum > 100 { maybe = 1; }").await;
    assert_eq!(notebook.value("(a, owned)").await, "(\"\", [3, 4])");
    let text = plain(&notebook.fails("compile error", "moved").await);
    assert!(text.contains("it was moved in Cell [11]"), "{text}");
}

#[tokio::test]
async fn closures_live_on_in_boxes() {
    let mut notebook = Notebook::open();
    notebook
        .ok("struct P(i32); let n = 10; let name = String::from(\"n\");
             let add = move |x: i32| x + n;
             let length = |text: &str| text.len();
             let first = |list: &Vec<P>| list[0].0;
             let mut count = { let mut n = 0; move || { n += 1; n } };
             let mut sum = 0; let mut total = move |x: i32| { sum += x; sum };
             let once = move || name;
             let none = (|| ());
             let seven = add(-3);")
        .await;
    notebook.ok("total(1);").await;
    let local = "let text = String::from(\"four\"); (add(1), length(&text), first(&vec![P(3)]), total(2), seven)";
    assert_eq!(notebook.value(local).await, "(11, 4, 3, 3, 7)");
    assert_eq!(
        notebook.value("(1..4).map(&add).collect::<Vec<_>>()").await,
        "[11, 12, 13]"
    );
    assert_eq!(notebook.value("once()").await, "\"n\"");
    let text = plain(&notebook.fails("compile error", "once()").await);
    assert!(text.contains("it was moved in Cell [5]"), "{text}");
    assert!(!text.contains("similar name"), "{text}");
    notebook.ok("none()").await;
    let text = notebook
        .value("let twice = move |x: i32| add(add(x)); twice(1)")
        .await;
    assert_eq!(text, "21");
    assert_eq!(notebook.value("twice(2)").await, "22");
}

#[tokio::test]
async fn what_changes_needs_mut_and_a_static_a_lock() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let list = vec![1];\nstatic mut COUNT: u8 = 0;")
        .await;
    let failure = notebook.fails("compile error", "list.push(2);").await;
    let text = plain(&failure);
    assert!(text.contains("`let mut list = list;`"), "{text}");
    assert!(
        !text.contains("__scope") && text.contains("Cell [2]:1:1"),
        "{text}"
    );
    let text = plain(
        &notebook
            .fails("compile error", "println!(\"{}\", unsafe { &COUNT });")
            .await,
    );
    assert!(
        text.contains("`let mut` variable") && text.contains("Mutex"),
        "{text}"
    );
    assert_eq!(notebook.value("unsafe { COUNT += 1; COUNT }").await, "1");
}

#[tokio::test]
async fn a_destructor_that_panics_loses_nothing_else() {
    let mut notebook = Notebook::open();
    notebook.ok("struct Bomb; impl Drop for Bomb { fn drop(&mut self) { panic!(\"in drop\") } }\nlet bomb = Bomb; let other = (Bomb, 1);").await;
    let ran = notebook.ok("let bomb = 2; let other = other.1;").await;
    let stderr = ran.printed(StreamName::Stderr);
    assert!(
        stderr.contains("`bomb`'s old value panicked: in drop"),
        "{stderr}"
    );
    assert!(stderr.contains("`other`'s old value panicked"), "{stderr}");
    assert_eq!(notebook.value("(bomb, other)").await, "(2, 1)");
}

#[tokio::test]
async fn types_of_many_kinds_live_on() {
    let mut notebook = Notebook::open();
    notebook
        .ok("use std::collections::{BTreeMap, HashMap};
             let map: HashMap<String, Vec<(u8, char)>> = HashMap::from([(\"k\".into(), vec![(1, 'c')])]);
             let boxed: Box<dyn Fn(i32) -> i32> = Box::new(|x| x + 1);
             let array = [[0u128; 2]; 3];
             let shared = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::<&str, Option<f64>>::new()));
             let pointer: fn(&str) -> usize = str::len;
             let range = 1..=3;
             let text = \"static\";
             let nothing = ();")
        .await;
    assert_eq!(notebook.value("map[\"k\"][0].1").await, "'c'");
    assert_eq!(
        notebook
            .value("boxed(1) + range.clone().sum::<i32>()")
            .await,
        "8"
    );
    assert_eq!(
        notebook
            .value("array.len() as u128 / (array[0][0] + 2)")
            .await,
        "1"
    );
    notebook
        .ok("shared.lock().unwrap().insert(text, None);")
        .await;
    assert_eq!(
        notebook
            .value("shared.lock().unwrap().len() + pointer(text)")
            .await,
        "7"
    );
    assert_eq!(notebook.ok("nothing").await.data("text/plain"), None);
}
