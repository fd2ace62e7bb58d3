//! Values whose type an `impl` of a later cell makes otherwise: they are dropped, for a value of the old type is none of
//! the new one, not even where both have the same size.

use carrel_kernel::engine::StreamName;

use crate::notebook::{Notebook, Ran};

fn dropped(ran: &Ran, name: &str) -> bool {
    let note = format!("`{name}` was dropped: its type may be made otherwise");
    ran.printed(StreamName::Stderr).contains(&note)
}

#[tokio::test]
async fn a_type_of_an_impl_that_changed_leaves_no_value_behind() {
    let mut notebook = Notebook::open();
    notebook
        .ok("trait Store { type Cell; fn name() -> u8 { 1 } }\nstruct Disk;\nimpl Store for Disk { type Cell = usize; }\nstruct Slot { cell: <Disk as Store>::Cell }\nstruct Apart(u8);")
        .await;
    notebook
        .ok("let slot = Slot { cell: 1 }; let slots = vec![Some(Slot { cell: 2 })]; let plain = Apart(3); let n = 4u8;")
        .await;
    // The same type, so all stay.
    let ran = notebook
        .ok("impl Store for Disk { type Cell = usize; fn name() -> u8 { 2 } }")
        .await;
    assert!(ran.printed(StreamName::Stderr).is_empty(), "{ran:?}");
    assert_eq!(
        notebook
            .value("slot.cell + slots.len() + usize::from(n)")
            .await,
        "6"
    );
    let ran = notebook
        .ok("impl Store for Disk { type Cell = Box<i32>; }")
        .await;
    assert!(dropped(&ran, "slot") && dropped(&ran, "slots"), "{ran:?}");
    notebook.fails("compile error", "*slot.cell").await;
    assert_eq!(
        notebook
            .value("(*Slot { cell: Box::new(4) }.cell, Apart(3).0 + n)")
            .await,
        "(4, 7)"
    );
}

#[tokio::test]
async fn a_constant_that_changed_or_came_before_another_leaves_no_value_behind() {
    let define = "trait Wide { const WIDE: bool = false; }\nstruct Kind;\nimpl Wide for Kind {}\ntrait Pick { type Part; } struct If<const B: bool>;\nimpl Pick for If<true> { type Part = Box<u8>; } impl Pick for If<false> { type Part = usize; }\nstruct Held(<If<{ Kind::WIDE }> as Pick>::Part);\nlet held = Held(3);";
    for change in [
        // A default that is taken no more.
        "impl Wide for Kind { const WIDE: bool = true; }",
        // Stands before the trait's.
        "impl Kind { const WIDE: bool = true; }",
        "mod inner { impl super::Kind { pub const WIDE: bool = 1 + 1 == 2; } }",
        "macro_rules! widen { ($t:ty) => { impl $t { pub const WIDE: bool = true; } } }\nwiden! { Kind }",
    ] {
        let mut notebook = Notebook::open();
        notebook.ok(define).await;
        let ran = notebook.ok(change).await;
        assert!(dropped(&ran, "held"), "{change}: {ran:?}");
        assert_eq!(
            notebook.value("*Held(Box::new(5)).0").await,
            "5",
            "{change}"
        );
    }
    // Of another type, or another name.
    let mut notebook = Notebook::open();
    notebook.ok(define).await;
    let ran = notebook
        .ok("impl Held { const NAME: &str = \"held\"; const fn new(n: usize) -> Held { Held(n) } }")
        .await;
    assert!(ran.printed(StreamName::Stderr).is_empty(), "{ran:?}");
    assert_eq!(
        notebook.value("(held.0, Held::NAME, Held::new(2).0)").await,
        "(3, \"held\", 2)"
    );
}

#[tokio::test]
async fn a_function_that_makes_constants_and_an_alias_that_changed_leave_no_value_behind() {
    let mut notebook = Notebook::open();
    notebook
        .ok("struct Size;\nimpl Size { const fn is_small() -> bool { true } }\ntrait Pick { type Part; } struct If<const B: bool>;\nimpl Pick for If<true> { type Part = usize; } impl Pick for If<false> { type Part = Box<u8>; }\nstruct Row(<If<{ Size::is_small() }> as Pick>::Part);\nlet row = Row(1);")
        .await;
    let ran = notebook
        .ok("impl Size { const fn is_small() -> bool { false } }")
        .await;
    assert!(dropped(&ran, "row"), "{ran:?}");

    let mut notebook = Notebook::open();
    notebook
        .ok("trait Has { type Part; }\nstruct Thing;\ntype Part = usize;\nimpl Has for Thing { type Part = Part; }\nstruct Full { part: <Thing as Has>::Part }\nlet full = Full { part: 1 };")
        .await;
    let ran = notebook
        .ok("type Part = Box<i32>;\nimpl Has for Thing { type Part = Part; }")
        .await;
    assert!(dropped(&ran, "full"), "{ran:?}");
}

#[tokio::test]
async fn a_path_from_the_root_means_what_its_cell_saw() {
    let mut notebook = Notebook::open();
    notebook
        .ok("type Inner = usize;\nmacro_rules! inner { () => { $crate::Inner } }\nmod deep { pub struct Q { pub x: crate::Inner, pub y: inner!() } }\nlet q = deep::Q { x: 1, y: 2 };")
        .await;
    notebook.ok("type Inner = Box<i32>;").await;
    notebook
        .ok("impl deep::Q { fn sum(&self) -> usize { self.x + self.y } }")
        .await;
    assert_eq!(notebook.value("q.sum()").await, "3");
}

#[tokio::test]
async fn what_the_level_of_optimization_changes_leaves_no_value_behind() {
    let mut notebook = Notebook::open();
    notebook
        .ok("struct Checked { #[cfg(debug_assertions)] x: usize, #[cfg(not(debug_assertions))] x: Box<usize> }\nlet checked = Checked { x: 1 };")
        .await;
    notebook.ok(":opt 2").await;
    let ran = notebook
        .ok("impl Checked { fn f(&self) -> u8 { 1 } }")
        .await;
    assert!(dropped(&ran, "checked"), "{ran:?}");
}
