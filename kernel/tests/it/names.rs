//! Names that rank in a cell as they do in a program, and types that have none.

use carrel_kernel::engine::StreamName;

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn a_glob_of_the_cell_stands_before_prepared_and_earlier_names() {
    let mut notebook = Notebook::open();
    // The variants have the names of prepared layers.
    notebook
        .ok("#[derive(Debug, Clone, PartialEq)] enum Step { Relu, Tanh, Flatten }\nuse Step::*;\nlet steps = vec![Relu, Flatten];")
        .await;
    assert_eq!(notebook.value("steps[0] == Relu").await, "true");
    // The prepared crates come into sight only now.
    assert_eq!(
        notebook
            .value(
                "let t = Tensor::zeros(3, DType::F32, &Device::Cpu)?; (Flatten, t.dims().to_vec())"
            )
            .await,
        "(Flatten, [3])"
    );
    // A glob in a group, over a function of an earlier cell.
    notebook.ok("fn size() -> u8 { 1 }").await;
    assert_eq!(
        notebook
            .value("mod room { pub mod wall { pub fn size() -> u8 { 2 } } pub fn door() -> u8 { 9 } }\nuse room::{door, wall::*};\nsize() + door()")
            .await,
        "11"
    );
    assert_eq!(notebook.value("size()").await, "2");
    // They are compiled again together.
    notebook
        .ok("impl Step { fn is_relu(&self) -> bool { *self == Relu && size() == 2 } }")
        .await;
    assert_eq!(
        notebook
            .value("(steps[0].is_relu(), steps[1].is_relu(), Tanh, size())")
            .await,
        "(true, false, Tanh, 2)"
    );
}

#[tokio::test]
async fn earlier_names_stand_between_a_glob_of_the_cell_and_prepared_ones() {
    let mut notebook = Notebook::open();
    notebook
        .ok("fn gauge() -> u8 { 1 }\nfn plot() -> u8 { 2 }")
        .await;
    notebook
        .ok("mod newer { pub fn gauge() -> u8 { 3 } }\nuse newer::*;\nlet both = (gauge(), plot());")
        .await;
    assert_eq!(
        notebook
            .value("(both, gauge(), plot(), Device::Cpu.is_cpu())")
            .await,
        "((3, 2), 3, 2, true)"
    );
    notebook
        .ok("use std::cmp::*;\nfn gauge() -> u8 { 4 }")
        .await;
    assert_eq!(notebook.value("max(gauge(), plot())").await, "4");
}

#[tokio::test]
async fn two_globs_of_a_cell_are_the_persons_to_tell_apart() {
    let mut notebook = Notebook::open();
    let failure = notebook
        .fails(
            "compile error",
            "mod east { pub fn wind() -> u8 { 1 } } mod west { pub fn wind() -> u8 { 2 } }\nuse east::*;\nuse west::*;\nfn blow() -> u8 { wind() }",
        )
        .await;
    let text = plain(&failure);
    assert!(text.contains("`wind` is ambiguous"), "{text}");
    // Nobody names what both have.
    let ran = notebook.ok("use std::fmt::*;\nuse std::io::*;\n1").await;
    assert!(ran.printed(StreamName::Stderr).is_empty(), "{ran:?}");
}

#[tokio::test]
async fn macros_may_have_the_names_of_the_standard_librarys() {
    let mut notebook = Notebook::open();
    notebook
        .ok("macro_rules! matches { ($a:expr, $b:expr) => { $a == $b } }\nmacro_rules! todo { () => { \"later\" } }\nstruct Plan(u8);\nfn plan(p: &Plan) -> bool { matches!(p.0, 4) }")
        .await;
    assert_eq!(
        notebook.value("(matches!(1, 2), todo!())").await,
        "(false, \"later\")"
    );
    notebook
        .ok("impl Plan { fn next(&self) -> (bool, &'static str) { (matches!(self.0, 3), todo!()) } }")
        .await;
    assert_eq!(
        notebook.value("(Plan(3).next(), plan(&Plan(4)))").await,
        "((true, \"later\"), true)"
    );
    // Each counts from where it stands, the last for later cells.
    assert_eq!(
        notebook
            .value("macro_rules! tell { () => { 'a' } }\nlet one = tell!();\nmacro_rules! tell { () => { 'b' } }\nlet two = tell!();\nmacro_rules! tell { () => { 'c' } }\n(one, two, tell!())")
            .await,
        "('a', 'b', 'c')"
    );
    assert_eq!(notebook.value("tell!()").await, "'c'");
}

#[tokio::test]
async fn a_variable_may_be_upper_case_and_a_constant_stays_one() {
    let mut notebook = Notebook::open();
    notebook
        .ok("#![allow(non_snake_case)]\nlet [A, .., Z] = [1, 2, 3];\nlet Some((K, rest)) = Some((\"k\".to_string(), 5)) else { panic!() };")
        .await;
    assert_eq!(
        notebook.value("(A, Z, K.len(), rest)").await,
        "(1, 3, 1, 5)"
    );
    notebook
        .ok("const TOP: u8 = 7;\nenum Way { Up, Down }\nuse Way::{Down, Up};\nlet (TOP, below) = (7u8, 6) else { panic!() };\nlet Up = Up else { panic!() };")
        .await;
    assert_eq!(notebook.value("(TOP, below)").await, "(7, 6)");
    let vars = notebook.ok(":vars").await;
    let vars = format!("{:?}", vars.outputs);
    assert!(vars.contains("below") && !vars.contains("TOP"), "{vars}");
    // A constant of the name of a variable takes its place.
    notebook.ok("const Z: &str = \"end\";").await;
    assert_eq!(notebook.value("Z").await, "\"end\"");
}

#[tokio::test]
async fn raw_identifiers_are_variables_like_others() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let r#match = 2.5; let r#fn = 8usize; let mut r#plain = 1u8;\nfn r#loop(n: u8) -> u8 { n + 1 }")
        .await;
    let ran = notebook
        .ok("println!(\"{match:>fn$.1}\"); plain += r#loop(1); r#plain")
        .await;
    assert_eq!(ran.stdout(), "     2.5\n");
    assert_eq!(ran.value(""), "3");
    assert_eq!(
        notebook.value("format!(\"{plain} {fn:02}\")").await,
        "\"3 08\""
    );
}

#[tokio::test]
async fn what_a_module_has_for_its_crate_is_there_for_the_notebook() {
    let mut notebook = Notebook::open();
    notebook
        .ok("mod bank {
                 pub(crate) mod vault {
                     #[derive(Default)] pub struct Box { pub(in crate::bank) gold: u32, pub(super) notes: u32, pub(crate) key: u32 }
                     pub(in super::super) const DOORS: u8 = 2;
                     pub(crate) static OPENED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(4);
                     pub(super) fn secret() {}
                     pub(crate) trait Count { fn count(&self) -> u32; }
                     impl Count for Box { fn count(&self) -> u32 { self.gold + self.notes + self.key } }
                 }
                 pub(crate) use vault::Count as Sum;
                 pub(super) enum Rate { Low, High(u8) }
             }
             use bank::Sum;")
        .await;
    assert_eq!(
        notebook
            .value("let mut box_of = bank::vault::Box::default(); box_of.key = 3; (bank::vault::DOORS, box_of.count(), bank::vault::OPENED.load(std::sync::atomic::Ordering::Relaxed))")
            .await,
        "(2, 3, 4)"
    );
    assert_eq!(
        notebook
            .value("match bank::Rate::High(6) { bank::Rate::Low => 0, bank::Rate::High(n) => n }")
            .await,
        "6"
    );
    let text = plain(
        &notebook
            .fails("compile error", "bank::vault::secret()")
            .await,
    );
    assert!(text.contains("function `secret` is private"), "{text}");
}

#[tokio::test]
async fn values_beside_what_never_comes_are_shown_and_kept() {
    let mut notebook = Notebook::open();
    assert_eq!(
        notebook
            .value("Some(std::panic::catch_unwind(|| panic!(\"no\")).is_err())")
            .await,
        "Some(true)"
    );
    assert_eq!(
        notebook
            .value("[std::panic::catch_unwind(|| panic!(\"no\"))]")
            .await,
        "[Err(Any { .. })]"
    );
    notebook
        .ok("let (done, wait) = std::sync::mpsc::channel::<()>();\nlet workers = vec![std::thread::spawn(move || { wait.recv().ok(); panic!(\"done\") })];\nlet task = tokio::spawn(async { std::future::pending::<()>().await; unreachable!() });")
        .await;
    let vars = notebook.ok(":vars").await;
    let vars = format!("{:?}", vars.outputs);
    assert!(vars.contains("Vec<std::thread::JoinHandle<!>>"), "{vars}");
    assert_eq!(
        notebook
            .value("(workers.len(), workers[0].is_finished(), task.is_finished())")
            .await,
        "(1, false, false)"
    );
    let ran = notebook
        .ok("drop(done); let gone = workers.into_iter().map(|one| one.join().is_err()).collect::<Vec<_>>(); gone")
        .await;
    assert_eq!(ran.value(""), "[true]");
    assert!(
        !ran.printed(StreamName::Stderr).contains("not kept"),
        "{ran:?}"
    );
    // What is open in the person's own code is told as ever.
    let text = plain(&notebook.fails("compile error", "Vec::new()").await);
    assert!(
        text.contains("type annotations needed") && !text.contains("Debug"),
        "{text}"
    );
}
