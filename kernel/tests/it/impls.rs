//! An `impl` in a later cell than its type and its trait.

use carrel_kernel::engine::StreamName;

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn an_impl_may_come_later_and_values_live_on() {
    let mut notebook = Notebook::open();
    notebook
        .ok("#[derive(Debug, Clone, PartialEq)] struct P { x: i64, name: String }\nenum Kind { A(P), B }")
        .await;
    notebook
        .ok("use std::collections::HashMap;\nlet list = vec![P { x: 1, name: \"one\".into() }]; let mut map = HashMap::from([(7u8, P { x: 7, name: \"seven\".into() })]); let some = Some(Kind::A(list[0].clone())); let n = 5;")
        .await;
    notebook
        .ok("impl P { fn twice(&self) -> i64 { self.x * 2 } }")
        .await;
    assert_eq!(
        notebook
            .value("(list[0].twice(), map[&7].twice(), n)")
            .await,
        "(2, 14, 5)"
    );
    // With statements, a foreign trait, and variables that the cell uses itself.
    notebook
        .ok("impl std::fmt::Display for P { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, \"<{}>\", self.name) } }\nmap.insert(8, list[0].clone());\nlet text = list[0].to_string();")
        .await;
    assert_eq!(
        notebook
            .value("(text, format!(\"{}\", map[&8]), &list)")
            .await,
        "(\"<one>\", \"<one>\", [P { x: 1, name: \"one\" }])"
    );
    notebook
        .ok("impl Default for Kind { fn default() -> Self { Kind::B } }\nimpl From<Kind> for i64 { fn from(kind: Kind) -> i64 { match kind { Kind::A(p) => p.twice(), Kind::B => 0 } } }")
        .await;
    assert_eq!(
        notebook
            .value("(i64::from(some.unwrap()), i64::from(Kind::default()))")
            .await,
        "(2, 0)"
    );
    notebook.fails("worker died", "std::process::exit(1)").await;
    assert_eq!(
        notebook
            .value("P { x: 4, name: String::new() }.twice()")
            .await,
        "8"
    );
}

#[tokio::test]
async fn generics_traits_and_macros_of_earlier_cells_are_merged() {
    let mut notebook = Notebook::open();
    notebook
        .ok("trait Area { fn area(&self) -> f64; }\nmacro_rules! double { ($e:expr) => { 2.0 * $e } }")
        .await;
    notebook
        .ok("struct Pair<T> { a: T, b: T }\nmod inner { pub struct Deep(pub f64); }")
        .await;
    notebook.ok("fn total(all: &[&dyn Area]) -> f64 { all.iter().map(|one| double!(one.area())).sum() }\nmacro_rules! double { ($e:expr) => { 20.0 * $e } }").await;
    notebook
        .ok("let pair = Pair { a: 1.5, b: 2.0 }; let deep = inner::Deep(3.0);")
        .await;
    notebook
        .ok("impl<T: Copy + Into<f64>> Pair<T> { fn swapped(&self) -> Pair<T> { Pair { a: self.b, b: self.a } } }")
        .await;
    notebook
        .ok("impl<T: Copy + Into<f64>> Area for Pair<T> { fn area(&self) -> f64 { self.a.into() * self.swapped().a.into() } }\nimpl Area for inner::Deep { fn area(&self) -> f64 { double!(self.0) } }\nimpl Area for Vec<u8> { fn area(&self) -> f64 { 1.0 } }")
        .await;
    assert_eq!(
        notebook.value("total(&[&pair, &deep, &vec![0u8]])").await,
        "1280.0"
    );
    let boxed = "let all: Vec<Box<dyn Area>> = vec![Box::new(deep)];";
    notebook.ok(boxed).await;
    notebook
        .ok("impl Drop for inner::Deep { fn drop(&mut self) { println!(\"dropped {}\", self.0) } }")
        .await;
    let ran = notebook.ok("drop(inner::Deep(4.0)); all[0].area()").await;
    assert_eq!(ran.stdout(), "dropped 4\n");
    assert_eq!(ran.value(""), "60.0");
}

#[tokio::test]
async fn an_impl_that_is_changed_and_run_again_replaces_the_old_one() {
    let mut notebook = Notebook::open();
    notebook.ok("struct P(u8);").await;
    notebook.ok("let p = P(1);").await;
    let first = "impl P { fn f(&self) -> u8 { self.0 } fn g(&self) -> u8 { 9 } }\nimpl Clone for P { fn clone(&self) -> Self { P(2) } }";
    notebook.ok(first).await;
    assert_eq!(notebook.value("p.f() + p.clone().f()").await, "3");
    notebook
        .ok("impl P { fn f(&self) -> u8 { self.0 + 10 } }\nimpl Clone for P { fn clone(&self) -> Self { P(3) } }")
        .await;
    assert_eq!(notebook.value("p.f() + p.clone().f() + p.g()").await, "33");
    notebook.ok(first).await;
    assert_eq!(notebook.value("p.f() + p.clone().f()").await, "3");
    // A type of another text is another type.
    let ran = notebook.ok("struct P(u16);").await;
    let stderr = ran.printed(StreamName::Stderr);
    assert!(stderr.contains("`p` was dropped"), "{stderr}");
    notebook.ok(first.replace("u8", "u16").as_str()).await;
    assert_eq!(notebook.value("P(300).f()").await, "300");
}

#[tokio::test]
async fn statics_stay_unless_their_type_was_compiled_again() {
    let mut notebook = Notebook::open();
    notebook
        .ok("use std::sync::atomic::{AtomicU32, Ordering};\nuse std::sync::Mutex;\nstruct P;\nstatic COUNT: AtomicU32 = AtomicU32::new(0);\nstatic ALL: Mutex<Vec<P>> = Mutex::new(Vec::new());\nfn count() -> u32 { COUNT.fetch_add(1, Ordering::Relaxed) }")
        .await;
    notebook.ok("count(); ALL.lock().unwrap().push(P);").await;
    let ran = notebook.ok("impl P { fn f(&self) {} }").await;
    let stderr = ran.printed(StreamName::Stderr);
    assert!(
        stderr.contains("the static `ALL` starts anew") && !stderr.contains("COUNT"),
        "{stderr}"
    );
    assert_eq!(
        notebook.value("(count(), ALL.lock().unwrap().len())").await,
        "(1, 0)"
    );
}

#[tokio::test]
async fn errors_and_panics_of_merged_cells_stand_in_the_cell_that_has_them() {
    let mut notebook = Notebook::open();
    notebook
        .ok("#[derive(Clone)]\nstruct P { v: Vec<u8> }\nfn third(p: &P) -> u8 {\n    p.v[2]\n}")
        .await;
    notebook.ok("let p = P { v: vec![1] };").await;
    let failure = notebook
        .fails(
            "compile error",
            "// first\nimpl P { fn f(&self) -> u8 { true } }",
        )
        .await;
    assert!(
        failure.evalue.ends_with("(Cell [3]:2:30)"),
        "{}",
        failure.evalue
    );
    let text = plain(
        &notebook
            .fails(
                "compile error",
                "impl Clone for P { fn clone(&self) -> Self { P { v: vec![] } } }",
            )
            .await,
    );
    assert!(
        text.contains("Cell [4]:1:1") && text.contains("Cell [1]:1:10"),
        "{text}"
    );
    notebook
        .ok("impl P {\n    fn third(&self) -> u8 { third(self) } }")
        .await;
    let failure = notebook.fails("panic", "p.third()").await;
    assert!(
        failure.evalue.ends_with("(Cell [1]:4:8)"),
        "{}",
        failure.evalue
    );
    assert_eq!(notebook.value("p.v").await, "[1]");
    let text = plain(
        &notebook
            .fails("compile error", "impl Vec<u8> { fn f(&self) {} }")
            .await,
    );
    assert!(text.contains("wrap a type of another crate"), "{text}");
}

#[tokio::test]
async fn an_impl_finds_its_type_and_trait_by_any_path() {
    let mut notebook = Notebook::open();
    notebook
        .ok("struct Pair<T>(T, T);\nmod farm { pub mod barn { pub struct Cow(pub u8); } pub use barn::Cow as Animal; }\ntrait Sound { fn sound(&self) -> &'static str; }")
        .await;
    for (cell, value, result) in [
        (
            "type Bytes = Pair<u8>;\nimpl Bytes { fn sum(&self) -> u8 { self.0 + self.1 } }",
            "Pair(1, 2).sum()",
            "3",
        ),
        (
            "use Pair as Couple;\nimpl<T> Couple<T> { fn first(&self) -> &T { &self.0 } }",
            "*Pair('a', 'b').first()",
            "'a'",
        ),
        (
            "use farm::barn::*;\nimpl Cow { fn age(&self) -> u8 { self.0 } }",
            "farm::barn::Cow(4).age()",
            "4",
        ),
        (
            "use Sound as Noise;\nimpl Noise for str { fn sound(&self) -> &'static str { \"text\" } }",
            "\"x\".sound()",
            "\"text\"",
        ),
        (
            "mod deep { pub mod deeper { impl crate::Sound for super::super::farm::Animal { fn sound(&self) -> &'static str { \"moo\" } } } }",
            "farm::barn::Cow(1).sound()",
            "\"moo\"",
        ),
        (
            "mod own { use super::farm as place; type Beast = place::Animal; impl Beast { pub fn weight(&self) -> u16 { 700 } } }",
            "farm::barn::Cow(1).weight()",
            "700",
        ),
        (
            "macro_rules! silent { ($what:ident for $($who:ty),*) => { $(impl $what for $who { fn sound(&self) -> &'static str { \"\" } })* } }\nsilent!(Sound for u8, Pair<u8>);",
            "(1u8.sound(), Pair(0u8, 0).sound())",
            "(\"\", \"\")",
        ),
    ] {
        notebook.ok(cell).await;
        assert_eq!(notebook.value(value).await, result, "{cell}");
    }
    // All of them are still there after one more.
    notebook
        .ok("impl Clone for farm::Animal { fn clone(&self) -> Self { farm::barn::Cow(self.0) } }")
        .await;
    assert_eq!(
        notebook
            .value("let cow = farm::barn::Cow(9).clone(); (cow.age(), cow.sound(), cow.weight(), 3u8.sound(), Pair(4, 5).sum())")
            .await,
        "(9, \"moo\", 700, \"\", 9)"
    );
}

#[tokio::test]
async fn an_impl_in_a_module_that_is_changed_and_run_again_replaces_the_old_one() {
    let mut notebook = Notebook::open();
    notebook
        .ok("struct P(u8);\nmod apart { pub struct P; impl P { pub fn f(&self) -> u8 { 100 } } }")
        .await;
    for (f, total) in [("self.0", "105"), ("self.0 * 2", "110")] {
        notebook
            .ok(&format!(
                "mod more {{ use super::*; impl P {{ pub fn f(&self) -> u8 {{ {f} }} }} }}"
            ))
            .await;
        assert_eq!(notebook.value("P(5).f() + apart::P.f()").await, total);
    }
}
