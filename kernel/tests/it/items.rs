//! Items of real cells, used across cells.

use carrel_kernel::engine::StreamName;

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn items_are_seen_by_later_cells_without_pub() {
    let mut notebook = Notebook::open();
    notebook
        .ok("/// A point.
             #[derive(Debug, Clone, PartialEq, Default)]
             struct Point { x: i64, pub y: i64 }
             struct Wrapper(i64, String);
             enum Kind { A, B { n: u8 } }
             const LIMIT: usize = 3;
             static NAME: &str = \"n\";
             type Pair = (Point, Point);
             mod deep { use candle_core::Tensor; pub fn down() -> u8 { 7 } pub fn rank(t: &Tensor) -> usize { t.rank() } }
             impl Point { fn new(x: i64) -> Self { Self { x, y: -x } } const ORIGIN: Self = Self { x: 0, y: 0 }; }
             fn square(x: i64) -> i64 { x * x }")
        .await;
    assert_eq!(
        notebook.value("Point::new(2)").await,
        "Point { x: 2, y: -2 }"
    );
    notebook
        .ok("let mut p = Point::new(3); let pair: Pair = (p.clone(), Point::ORIGIN);")
        .await;
    notebook.ok("p.x = square(p.x);").await;
    assert_eq!(
        notebook
            .value("(p.x, &pair.0, Wrapper(1, NAME.to_string()).1, LIMIT, deep::down())")
            .await,
        "(9, Point { x: 3, y: -3 }, \"n\", 3, 7)"
    );
    assert_eq!(
        notebook
            .value("match (Kind::B { n: 4 }) { Kind::A => 0, Kind::B { n } => n }")
            .await,
        "4"
    );
}

#[tokio::test]
async fn generics_and_traits_work_across_cells() {
    let mut notebook = Notebook::open();
    notebook
        .ok("trait Area { fn area(&self) -> f64; fn twice(&self) -> f64 { 2.0 * self.area() } }")
        .await;
    notebook.ok("struct Square(f64); impl Area for Square { fn area(&self) -> f64 { self.0 * self.0 } }").await;
    notebook.ok("fn total<T: Area>(shapes: &[T]) -> f64 { shapes.iter().map(Area::area).sum() }\nstruct Stack<T> { items: Vec<T> }\nimpl<T: Clone> Stack<T> { fn top(&self) -> Option<T> { self.items.last().cloned() } }").await;
    notebook.ok("let shapes = vec![Square(2.0), Square(1.0)]; let stack = Stack { items: vec![\"a\"] };").await;
    assert_eq!(
        notebook
            .value("(total(&shapes), shapes[0].twice(), stack.top())")
            .await,
        "(5.0, 8.0, Some(\"a\"))"
    );
    let boxed = "let all: Vec<Box<dyn Area>> = vec![Box::new(Square(3.0))]; all[0].area()";
    assert_eq!(notebook.value(boxed).await, "9.0");
}

#[tokio::test]
async fn macros_and_use_live_on() {
    let mut notebook = Notebook::open();
    notebook.ok("macro_rules! double { ($e:expr) => { $e * 2 } }\nuse std::collections::HashMap as Map;\nuse std::fmt::Write as _;").await;
    notebook.ok("let mut text = String::new(); write!(text, \"{}\", double!(4))?;\nlet map: Map<u8, u8> = Map::new();").await;
    assert_eq!(notebook.value("(text, map.len())").await, "(\"8\", 0)");
    notebook.ok("macro_rules! double { ($e:expr) => { $e * 20 } }\nuse std::collections::BTreeMap as Map;").await;
    assert_eq!(
        notebook
            .value("let map = Map::from([(2, 'b'), (1, 'a')]); (double!(1), map.first_key_value())")
            .await,
        "(20, Some((1, 'a')))"
    );
}

#[tokio::test]
async fn the_newest_definition_wins_and_old_values_of_a_type_are_dropped() {
    let mut notebook = Notebook::open();
    notebook
        .ok("struct P { a: u8 }\nfn f() -> u8 { 1 }\nlet p = vec![P { a: 1 }]; let n = 5u8;")
        .await;
    notebook.ok("fn f() -> u8 { 2 }").await;
    assert_eq!(notebook.value("f() + p[0].a").await, "3");
    let ran = notebook.ok("struct P { b: &'static str }").await;
    let note = ran.printed(StreamName::Stderr);
    assert_eq!(
        note,
        "`p` was dropped: its type `P` is defined again in this cell\n"
    );
    assert_eq!(
        notebook
            .value("P { b: \"new\" }.b.len() as u8 + n + f()")
            .await,
        "10"
    );
    let text = plain(&notebook.fails("compile error", "p.len()").await);
    assert!(
        text.contains("its type `P` was defined again in Cell [4]"),
        "{text}"
    );
}

#[tokio::test]
async fn a_cell_of_items_that_is_run_again_leaves_their_values_alone() {
    let mut notebook = Notebook::open();
    let definition = "struct P { pub(crate) a: u8 }\npub(crate) fn make() -> P { P { a: 3 } }";
    notebook.ok(definition).await;
    notebook.ok("let p = make();").await;
    notebook.ok(definition).await;
    assert_eq!(notebook.value("p.a + make().a").await, "6");
    notebook.ok("struct P;").await;
    notebook.ok(definition).await;
    assert_eq!(notebook.value("make().a").await, "3");
    notebook.fails("compile error", "p.a").await;
}

#[tokio::test]
async fn methods_of_earlier_traits_are_seen_where_their_names_are_not_mentioned() {
    let mut notebook = Notebook::open();
    notebook
        .ok("trait Shout { fn shout(&self) -> String; }
             impl Shout for str { fn shout(&self) -> String { self.to_uppercase() } }
             use std::fmt::Write as _;
             fn plain() -> i32 { 1 }")
        .await;
    assert_eq!(notebook.value("\"hey\".shout()").await, "\"HEY\"");
    // The method is called by a macro only.
    notebook
        .ok("let mut text = String::new(); write!(text, \"{}\", 1 + 1)?;")
        .await;
    assert_eq!(notebook.value("text").await, "\"2\"");
}
