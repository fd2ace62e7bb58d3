//! `:dep`: crates that a notebook asks for. Each test builds in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use carrel_kernel::engine::{Cell, Engine, Outcome, Output, StreamName};
use carrel_kernel::rust_engine::RustEngine;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::analyzer::program;
use crate::completion::{self, inspect, texts};
use crate::notebook::{Notebook, plain};

const LIMIT: Duration = Duration::from_secs(60);

/// A folder of crates and a folder to build them in.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn notebook(&self) -> Notebook {
        Notebook::over(RustEngine::building_in(self.cache()))
    }

    /// Writes a crate; gives the `:dep` value that means it.
    fn write(&self, name: &str, manifest: &str, source: &str) -> String {
        let folder = self.0.path().join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let about =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        fs::write(folder.join("Cargo.toml"), about + manifest).unwrap();
        fs::write(folder.join("src/lib.rs"), source).unwrap();
        format!("{{ path = \"{}\" }}", folder.display())
    }

    /// A crate that counts.
    fn counter(&self) -> String {
        let source = "use std::sync::atomic::{AtomicUsize, Ordering};
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            pub fn next() -> usize { COUNT.fetch_add(1, Ordering::Relaxed) }
            #[derive(Debug)] pub struct Ticket(pub usize);
            impl Ticket { pub fn draw() -> Self { Self(next()) } }
            #[cfg(feature = \"double\")] pub fn twice() -> usize { next() + next() }";
        self.write("counter", "[features]\ndouble = []\n", source)
    }
}

/// The last text of a display that changes in place.
pub fn told(outputs: &[Output]) -> String {
    let mut texts = outputs.iter().filter_map(|output| match output {
        Output::Display { bundle, .. } => bundle.data["text/plain"].as_str(),
        _ => None,
    });
    texts.next_back().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn crates_are_there_in_this_and_all_later_cells() {
    let place = Place::new();
    let mut notebook = place.notebook();
    let ran = notebook
        .ok(":dep itoa = \"1\"\n:dep semver\nuse semver::Version;\nlet v = Version::parse(\"1.2.3\")?;\nitoa::Buffer::new().format(7u8).to_owned()")
        .await;
    assert_eq!(ran.value(""), "\"7\"");
    let told = told(&ran.outputs);
    assert!(
        told.contains("itoa 1.") && told.contains("semver 1."),
        "{told}"
    );
    assert_eq!(
        notebook
            .value("(v.minor, Version::new(3, 0, 0).major)")
            .await,
        "(2, 3)"
    );
    notebook
        .ok("fn major(v: &Version) -> u64 { v.major }")
        .await;
    notebook.ok(":restart").await;
    assert_eq!(
        notebook
            .value("major(&semver::Version::new(4, 0, 0))")
            .await,
        "4"
    );
    notebook.ok(":clear").await;
    let failure = notebook
        .fails("compile error", "semver::Version::new(1, 0, 0)")
        .await;
    assert!(failure.evalue.contains("semver"), "{}", failure.evalue);
}

#[tokio::test]
async fn crates_complete_and_explain_themselves() {
    program();
    let place = Place::new();
    let inner = "/// Found inside.\npub struct Thing { pub number: u8 }";
    let inner = place.write("inner", "", inner);
    let outer = format!("[dependencies]\ninner = {inner}\n");
    let outer = place.write("outer", &outer, "pub use inner::Thing;");
    let mut notebook = place.notebook();
    notebook
        .ok(&format!(
            ":dep itoa = \"1\"\n:dep offers = {}\nlet thing = offers::Thing {{ number: 1 }};",
            outer.replace(" }", ", package = \"outer\" }")
        ))
        .await;
    let engine = &notebook.engine;
    assert_eq!(texts(engine, "itoa::Bu|").await, ["Buffer"]);
    assert_eq!(texts(engine, "ito|").await, ["itoa"]);
    assert_eq!(texts(engine, "thing.nu|").await, ["number"]);
    let told = completion::plain(&inspect(engine, "itoa::Buff|er", false).await);
    assert!(told.contains("pub struct Buffer"), "{told}");
    assert!(told.contains("correctly sized stack allocation"), "{told}");
    let told = completion::plain(&inspect(engine, "offers::Thi|ng", false).await);
    assert!(told.contains("Found inside."), "{told}");
    notebook.ok(":clear").await;
    let engine = &notebook.engine;
    assert_eq!(texts(engine, "Strin|").await[0], "String");
    assert!(engine.complete("itoa::Bu", 8).await.is_none());
}

#[tokio::test]
async fn a_native_library_that_a_crate_builds_is_there_once_for_crate_and_cells() {
    let place = Place::new();
    let source = "unsafe extern \"C\" { fn native_count() -> i32; }
        pub fn count() -> i32 { unsafe { native_count() } }
        pub fn generic<T>(_: T) -> i32 { unsafe { native_count() } }";
    let native = place.write("native", "links = \"count\"\n", source);
    let build = r#"fn main() {
        let out = std::env::var("OUT_DIR").unwrap();
        let (c, o) = (format!("{out}/count.c"), format!("{out}/count.o"));
        std::fs::write(&c, "static int n; int native_count(void) { return ++n; }").unwrap();
        let run = |program: &str, arguments: &[&str]| {
            assert!(std::process::Command::new(program).args(arguments).status().unwrap().success());
        };
        run("cc", &["-c", "-fPIC", &c, "-o", &o]);
        run("ar", &["rcs", &format!("{out}/libcount.a"), &o]);
        println!("cargo:rustc-link-search=native={out}\ncargo:rustc-link-lib=static=count");
    }"#;
    fs::write(place.0.path().join("native/build.rs"), build).unwrap();
    let mut notebook = place.notebook();
    notebook.ok(&format!(":dep native = {native}")).await;
    // Code of the generic one is in the cell.
    let code = "(native::count(), native::generic(\"\"), native::count())";
    assert_eq!(notebook.value(code).await, "(1, 2, 3)");
}

#[tokio::test]
async fn bars_of_indicatif_overwrite_their_line() {
    let place = Place::new();
    let mut notebook = place.notebook();
    notebook.ok(":dep indicatif = \"0.18\"").await;
    let code = "let bar = indicatif::ProgressBar::new(3);
        for _ in 0..3 { bar.inc(1); }
        bar.finish();";
    let ran = notebook.ok(code).await;
    let drawn = ran.printed(StreamName::Stderr);
    assert!(drawn.contains("3/3"), "{drawn:?}");
    let code = "let bars = indicatif::MultiProgress::new();
        let [first, second] = [1, 1].map(|n| bars.add(indicatif::ProgressBar::new(n)));
        second.inc(1);
        first.finish();";
    let both = notebook.ok(code).await.printed(StreamName::Stderr);
    assert!(both.contains("1/1"), "{both:?}");
    for drawn in [drawn, both] {
        // The cursor goes to the start of the line, and never up.
        assert!(drawn.contains('\r') && !drawn.contains('\n'), "{drawn:?}");
        assert!(!drawn.contains('A'), "{drawn:?}");
    }
}

#[tokio::test]
async fn a_crate_keeps_its_statics_and_variables_when_others_come() {
    let place = Place::new();
    let counter = place.counter();
    let mut notebook = place.notebook();
    let first = format!(":dep counter = {counter}\nlet ticket = counter::Ticket::draw();");
    notebook.ok(&first).await;
    assert_eq!(notebook.value("counter::next()").await, "1");
    let user = format!("[dependencies]\ncounter = {counter}\n");
    let user = place.write("user", &user, "pub fn next() -> usize { counter::next() }");
    let second = format!(":dep user = {user}\nlet numbers = [user::next(), counter::next()];");
    notebook.ok(&second).await;
    assert_eq!(
        notebook.value("(&ticket, numbers)").await,
        "(Ticket(0), [2, 3])"
    );
    // Asked for again, all is there.
    notebook.ok(&first).await;
    assert_eq!(notebook.value("ticket.0").await, "4");
}

#[tokio::test]
async fn variables_of_a_crate_that_becomes_another_are_dropped_and_named() {
    let place = Place::new();
    let counter = place.counter();
    let mut notebook = place.notebook();
    notebook
        .ok(&format!(
            ":dep counter = {counter}\nlet n = 1; let tickets = vec![counter::Ticket::draw()];"
        ))
        .await;
    let double = counter.replace(" }", ", features = [\"double\"] }");
    let ran = notebook
        .ok(&format!(":dep counter = {double}\ncounter::twice()"))
        .await;
    assert_eq!(ran.value(""), "1");
    assert_eq!(
        ran.printed(StreamName::Stderr),
        "`tickets` was dropped: `counter`, the crate of its type, is another one now\n"
    );
    assert_eq!(notebook.value("n").await, "1");
    let text = plain(&notebook.fails("compile error", "tickets.len()").await);
    assert!(
        text.contains("`:dep` changed the crate `counter`"),
        "{text}"
    );
}

#[tokio::test]
async fn macros_of_crates_work() {
    let place = Place::new();
    let source = "use proc_macro::TokenStream;
        #[proc_macro] pub fn seven(_: TokenStream) -> TokenStream { \"7u8\".parse().unwrap() }
        #[proc_macro_derive(Named)] pub fn named(item: TokenStream) -> TokenStream {
            let name = item.into_iter().skip_while(|token| token.to_string() != \"struct\").nth(1).unwrap();
            format!(\"impl {name} {{ pub fn name() -> &'static str {{ \\\"{name}\\\" }} }}\").parse().unwrap()
        }";
    let derive = place.write("named", "[lib]\nproc-macro = true\n", source);
    let mut notebook = place.notebook();
    notebook
        .ok(&format!(":dep named = {derive}\nuse named::Named;"))
        .await;
    notebook.ok("#[derive(Named)] struct Tree;").await;
    assert_eq!(
        notebook.value("(Tree::name(), named::seven!())").await,
        "(\"Tree\", 7)"
    );
}

#[tokio::test]
async fn a_known_set_needs_no_cargo() {
    let place = Place::new();
    place.notebook().ok(":dep itoa = \"1\"").await;
    for folder in fs::read_dir(place.cache()).unwrap() {
        fs::remove_dir_all(folder.unwrap().path().join("target")).unwrap();
    }
    let mut notebook = place.notebook();
    let ran = notebook
        .ok(":dep itoa = \"1\"\nitoa::Buffer::new().format(8u8).to_owned()")
        .await;
    assert_eq!(ran.value(""), "\"8\"");
    let made = fs::read_dir(place.cache())
        .unwrap()
        .map(|folder| folder.unwrap().path());
    assert!(
        made.into_iter()
            .all(|folder| !folder.join("target").exists())
    );
}

#[tokio::test]
async fn two_notebooks_build_at_once() {
    let place = Place::new();
    let (mut one, mut other) = (place.notebook(), place.notebook());
    let code = ":dep itoa = \"1\"\nitoa::Buffer::new().format(9u8).to_owned()";
    let (one, other) = tokio::join!(one.ok(code), other.ok(code));
    assert_eq!(
        (one.value(""), other.value("")),
        ("\"9\"".to_owned(), "\"9\"".to_owned())
    );
}

#[tokio::test]
async fn a_notebook_that_waits_for_another_says_so_and_can_be_interrupted() {
    let place = Place::new();
    let dependency = place.counter();
    place
        .notebook()
        .ok(&format!(":dep counter = {dependency}"))
        .await;
    let folder = fs::read_dir(place.cache())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let lock = fs::File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let engine = Arc::new(RustEngine::building_in(place.cache()));
    let (running, mut outputs) = start(&engine, &format!(":dep counter = {dependency}\n1 + 1"));
    while !told(&[outputs.recv().await.unwrap()]).starts_with("waiting for another notebook") {}
    engine.interrupt();
    let mut shown = Vec::new();
    while let Some(output) = outputs.recv().await {
        shown.push(output);
    }
    // Nothing looks as if it went on.
    assert_eq!(told(&shown), "interrupted");
    let Outcome::Failed(failure) = ended(running).await else {
        panic!("it ran")
    };
    assert_eq!(failure.ename, "Interrupted");
    lock.unlock().unwrap();
    let mut notebook = Notebook::over(Arc::into_inner(engine).unwrap());
    notebook
        .ok(&format!(":dep counter = {dependency}\ncounter::next()"))
        .await;
}

#[tokio::test]
async fn an_interrupt_ends_a_build_and_leaves_the_cache_in_order() {
    let place = Place::new();
    let slow = place.write("slow", "", "pub fn seven() -> u8 { 7 }");
    let script = "fn main() {
        std::fs::write(\"begun\", \"\").unwrap();
        while !std::path::Path::new(\"go\").exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }";
    let folder = place.0.path().join("slow");
    fs::write(folder.join("build.rs"), script).unwrap();
    let engine = Arc::new(RustEngine::building_in(place.cache()));
    let code = format!(":dep slow = {slow}\nslow::seven()");
    let (running, mut outputs) = start(&engine, &code);
    let begun = async {
        while !folder.join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        engine.interrupt();
    };
    let drain = async { while outputs.recv().await.is_some() {} };
    let (begun, ()) = tokio::join!(tokio::time::timeout(LIMIT, begun), drain);
    begun.unwrap();
    let Outcome::Failed(failure) = ended(running).await else {
        panic!("it ran")
    };
    assert_eq!(failure.ename, "Interrupted");
    fs::write(folder.join("go"), "").unwrap();
    let mut notebook = Notebook::over(Arc::into_inner(engine).unwrap());
    assert_eq!(notebook.value(&code).await, "7");
}

#[tokio::test]
async fn an_interrupt_ends_the_loading_of_a_library() {
    let place = Place::new();
    let go = place.0.path().join("begun");
    let source = format!(
        "extern \"C\" fn stay() {{
            std::fs::write({go:?}, \"\").unwrap();
            loop {{ std::thread::sleep(std::time::Duration::from_secs(60)); }}
        }}
        #[used] #[unsafe(link_section = \".init_array\")] static STAY: extern \"C\" fn() = stay;
        pub fn seven() -> u8 {{ 7 }}"
    );
    let stays = place.write("stays", "", &source);
    let engine = Arc::new(RustEngine::building_in(place.cache()));
    let (running, mut outputs) = start(&engine, &format!(":dep stays = {stays}\nstays::seven()"));
    let interrupting = async {
        while !go.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        engine.interrupt();
    };
    let insisting = async {
        while let Some(output) = outputs.recv().await {
            if matches!(&output, Output::Stream { text, .. } if text.contains("interrupt again")) {
                engine.interrupt();
            }
        }
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(interrupting, insisting) })
        .await
        .unwrap();
    let Outcome::Failed(failure) = ended(running).await else {
        panic!("it ran")
    };
    let told = "it did not end when it was interrupted";
    assert!(failure.evalue.contains(told), "{failure:?}");
    let mut notebook = Notebook::over(Arc::into_inner(engine).unwrap());
    assert_eq!(notebook.value("1 + 1").await, "2");
}

#[tokio::test]
async fn a_crate_that_does_not_compile_is_told_with_the_error() {
    let place = Place::new();
    let broken = place.write("broken", "", "pub fn seven() -> u8 { \"7\" }");
    let mut notebook = place.notebook();
    let code = format!(":dep broken = {broken}\nbroken::seven()");
    let failure = notebook.fails("dependency error", &code).await;
    assert_eq!(
        failure.evalue,
        "could not compile `broken` (lib) (Cell [1])"
    );
    let text = plain(&failure);
    assert!(
        text.contains("mismatched types") && text.contains("lib.rs:1:24"),
        "{text}"
    );
    assert_eq!(notebook.value("1 + 1").await, "2");
    place.write("broken", "", "pub fn seven() -> u8 { 7 }");
    assert_eq!(notebook.value(&code).await, "7");
}

#[tokio::test]
async fn a_source_that_changed_is_told_and_taken_after_clear() {
    let place = Place::new();
    let path = place.write("changing", "", "pub fn number() -> u8 { 1 }");
    let mut notebook = place.notebook();
    let code = format!(":dep changing = {path}\nchanging::number()");
    assert_eq!(notebook.value(&code).await, "1");
    assert_eq!(notebook.value(&code).await, "1");
    place.write("changing", "", "pub fn number() -> u8 { 22 }");
    let failure = notebook.fails("dependency error", &code).await;
    assert!(
        failure.evalue.contains("`changing` has changed"),
        "{}",
        failure.evalue
    );
    let more = place.write("more", "", "");
    let failure = notebook
        .fails("dependency error", &format!(":dep more = {more}"))
        .await;
    assert!(
        failure.evalue.contains("`changing` has changed"),
        "{}",
        failure.evalue
    );
    assert_eq!(notebook.value("changing::number()").await, "1");
    notebook.ok(":clear").await;
    assert_eq!(notebook.value(&code).await, "22");
}

#[tokio::test]
async fn a_request_that_cannot_be_met_is_told_in_a_sentence() {
    let place = Place::new();
    let program = place.write(
        "program",
        "[[bin]]\nname = \"program\"\npath = \"src/lib.rs\"\n[lib]\n",
        "fn main() {}",
    );
    fs::rename(
        place.0.path().join("program/src/lib.rs"),
        place.0.path().join("program/src/main.rs"),
    )
    .unwrap();
    let manifest = place.0.path().join("program/Cargo.toml");
    fs::write(
        &manifest,
        "[package]\nname = \"program\"\nversion = \"0.1.0\"\n",
    )
    .unwrap();
    let mut notebook = place.notebook();
    let failure = notebook
        .fails("dependency error", &format!(":dep program = {program}"))
        .await;
    assert!(
        failure.evalue.contains("without a library"),
        "{}",
        failure.evalue
    );
    let failure = notebook
        .fails("dependency error", ":dep carrel-no-such-crate = \"1\"")
        .await;
    let told = [
        "there is no crate `carrel-no-such-crate`",
        "the network is needed",
    ];
    assert!(
        told.iter().any(|told| failure.evalue.contains(told)),
        "{}",
        failure.evalue
    );
    let failure = notebook
        .fails("dependency error", ":dep here = { path = \"no/such\" }")
        .await;
    assert!(
        failure.evalue.contains("no/such: no Cargo.toml"),
        "{}",
        failure.evalue
    );
    let failure = notebook.fails("command error", "\n:dep semver = 1.0").await;
    assert!(
        failure.evalue.ends_with("(Cell [4]:2)"),
        "{}",
        failure.evalue
    );
}

#[tokio::test]
async fn a_prepared_crate_is_used_as_it_is() {
    let place = Place::new();
    let mut notebook = place.notebook();
    let ran = notebook.ok(":dep candle-core = \"0.11\"\nlet t: Tensor = candle_core::Tensor::new(1u8, &candle_core::Device::Cpu)?; t.rank()").await;
    assert_eq!(ran.value(""), "0");
    assert!(told(&ran.outputs).ends_with("(prepared)"));
    assert!(!place.cache().exists());
}

#[tokio::test]
async fn crates_that_use_tokio_find_its_runtime_on_the_thread_of_cells() {
    let place = Place::new();
    // Not the real one, which takes a minute to build: it only tells where it was entered.
    let fake = "pub mod runtime {
            std::thread_local! { static ENTERED: std::cell::Cell<u8> = const { std::cell::Cell::new(0) }; }
            pub struct Handle;
            impl Handle {
                pub fn try_current() -> Result<Self, ()> { if ENTERED.get() > 0 { Ok(Self) } else { Err(()) } }
            }
            pub struct Runtime;
            impl Runtime {
                pub fn new() -> Result<Self, ()> { Ok(Self) }
                pub fn enter(&self) { ENTERED.set(ENTERED.get() + 1); }
            }
            pub fn entered() -> u8 { ENTERED.get() }
        }";
    let tokio = place.write("tokio", "[features]\nfull = []\n", fake);
    let manifest = place.0.path().join("tokio/Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("0.1.0", "1.0.0")).unwrap();
    let mut notebook = place.notebook();
    let ran = notebook
        .ok(&format!(":dep tokio = {tokio}\ntokio::runtime::entered()"))
        .await;
    assert_eq!(ran.value(""), "1");
    let other = place.write("other", "", "");
    notebook.ok(&format!(":dep other = {other}")).await;
    assert_eq!(notebook.value("tokio::runtime::entered()").await, "1");
}

fn start(
    engine: &Arc<RustEngine>,
    code: &str,
) -> (tokio::task::JoinHandle<Outcome>, mpsc::Receiver<Output>) {
    let cell = Cell {
        number: 1,
        code: code.to_owned(),
        allow_stdin: false,
        parent: Default::default(),
    };
    let (sender, outputs) = mpsc::channel(1);
    let engine = engine.clone();
    let running = tokio::spawn(async move { engine.execute(&cell, sender).await });
    (running, outputs)
}

async fn ended(running: tokio::task::JoinHandle<Outcome>) -> Outcome {
    tokio::time::timeout(LIMIT, running).await.unwrap().unwrap()
}
