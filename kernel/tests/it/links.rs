//! Cells that call C libraries.

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn a_library_named_by_link_is_loaded_also_after_a_restart() {
    let mut notebook = Notebook::open();
    // Debian's libc6-dev has it, and nothing else in the worker uses it.
    notebook
        .ok("use std::ffi::{CStr, c_char, c_int};\n#[link(name = \"resolv\")]\nunsafe extern \"C\" { fn __p_rcode(code: c_int) -> *const c_char; }\nfn name(code: i32) -> String { unsafe { CStr::from_ptr(__p_rcode(code)) }.to_string_lossy().into_owned() }")
        .await;
    assert_eq!(notebook.value("name(0)").await, "\"NOERROR\"");
    notebook.ok(":restart").await;
    assert_eq!(notebook.value("name(3)").await, "\"NXDOMAIN\"");
    notebook
        .ok("#[link(name = \"m\")] unsafe extern \"C\" { fn erf(x: f64) -> f64; }\nlet half = unsafe { erf(0.5) };")
        .await;
    assert_eq!(notebook.value("half > 0.52 && half < 0.521").await, "true");
}

#[tokio::test]
async fn a_symbol_of_the_c_compilers_own_libraries_needs_no_name() {
    let mut notebook = Notebook::open();
    notebook.ok("struct P; let p = P;").await;
    // In no shared library: the linker takes it out of an archive that belongs to the C library.
    let ran = notebook
        .ok("struct P;\nunsafe extern \"C\" { fn atexit(done: extern \"C\" fn()) -> i32; }\nextern \"C\" fn done() {}\nunsafe { atexit(done) }")
        .await;
    assert_eq!(ran.value(""), "0");
}

#[tokio::test]
async fn what_is_in_no_library_is_named_with_what_to_write() {
    let mut notebook = Notebook::open();
    notebook.ok("struct P; let p = P; let x = 1;").await;
    let failure = notebook
        .fails(
            "compile error",
            "struct P;\nunsafe extern \"C\" { fn nowhere_else() -> i32; fn nowhere() -> i32; }\nunsafe { nowhere() }",
        )
        .await;
    assert!(
        failure
            .evalue
            .starts_with("`nowhere` is in none of the libraries"),
        "{}",
        failure.evalue
    );
    let text = plain(&failure);
    assert!(
        text.contains("Cell [2]:2:50") && text.contains("#[link(name = \"z\")]"),
        "{text}"
    );
    let failure = notebook
        .fails(
            "compile error",
            "\n#[link(name = \"nosuchlibrary\")] unsafe extern \"C\" { fn nowhere() -> i32; }",
        )
        .await;
    assert_eq!(
        failure.evalue,
        "there is no library `nosuchlibrary` where the linker looks (Cell [3]:2:1)"
    );
    // Neither cell ran, so nothing was dropped.
    assert_eq!(notebook.value("let P = p; x").await, "1");
}

#[tokio::test]
async fn the_newest_of_several_functions_with_one_symbol_runs() {
    let mut notebook = Notebook::open();
    let define = |answer: u8| {
        format!(
            "struct P{answer};\n#[unsafe(no_mangle)] extern \"C\" fn carrel_answer() -> u8 {{ {answer} }}\nmod inner {{ #[unsafe(export_name = \"carrel_count\")] pub static COUNT: u8 = {answer}; }}\nfn ask() -> (u8, u8) {{ (carrel_answer(), inner::COUNT) }}"
        )
    };
    notebook.ok(&define(1)).await;
    assert_eq!(
        notebook.value("(ask(), carrel_answer())").await,
        "((1, 1), 1)"
    );
    // As C sees it.
    let c =
        "mod c { unsafe extern \"C\" { pub safe fn carrel_answer() -> u8; } }\nc::carrel_answer()";
    assert_eq!(notebook.value(c).await, "1");
    notebook.ok(&define(2)).await;
    assert_eq!(
        notebook.value("(ask(), carrel_answer())").await,
        "((2, 2), 2)"
    );
    // Both are compiled again.
    notebook
        .ok("impl P1 { fn f(&self) {} }\nimpl P2 { fn f(&self) -> (u8, u8) { ask() } }")
        .await;
    assert_eq!(
        notebook.value("(P2.f(), carrel_answer())").await,
        "((2, 2), 2)"
    );
    notebook.ok(&define(3)).await;
    assert_eq!(
        notebook.value("(ask(), carrel_answer())").await,
        "((3, 3), 3)"
    );
}
