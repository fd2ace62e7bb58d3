//! Interrupts: what they stop, and what is left after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use carrel_kernel::engine::{Cell, Engine, Failure, Outcome, Output};
use carrel_kernel::rust_engine::RustEngine;
use tokio::sync::mpsc;

use crate::notebook::Notebook;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs a cell that first prints or shows something, and interrupts it then.
pub async fn interrupt(engine: &Arc<RustEngine>, code: &str) -> Failure {
    interrupt_until(engine, code, "").await
}

/// The same, and interrupts it again when it was told of `again`.
async fn interrupt_until(engine: &Arc<RustEngine>, code: &str, again: &str) -> Failure {
    // Each try has a word of its own: what an earlier one printed may come late, and is no sign that this one runs.
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let begun = format!("begun {}.", TRIES.fetch_add(1, Ordering::Relaxed));
    let says_so = code.contains("begun");
    let cell = Cell {
        number: 9,
        code: code.replace("begun", &begun),
        allow_stdin: false,
        parent: Default::default(),
    };
    let (sender, mut outputs) = mpsc::channel(1);
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.execute(&cell, sender).await }
    });
    let (mut began, mut printed) = (false, String::new());
    while let Some(output) = outputs.recv().await {
        let (mut urged, mut runs) = (false, !says_so);
        match output {
            Output::Stream { text, .. } => {
                assert!(!text.contains("never"), "{code}: {text}");
                urged = !again.is_empty() && text.contains(again);
                printed.push_str(&text);
                runs |= printed.contains(&begun);
            }
            Output::Display { .. } => {}
            other => panic!("{code}: {other:?}"),
        }
        if (!began && runs) || urged {
            engine.interrupt();
            began = true;
        }
    }
    let outcome = tokio::time::timeout(LIMIT, running).await;
    match outcome.unwrap().unwrap() {
        Outcome::Failed(failure) => {
            assert_eq!(failure.ename, "Interrupted", "{}", failure.evalue);
            failure
        }
        Outcome::Ok => panic!("{code}\nran to its end"),
    }
}

pub async fn value(engine: &RustEngine, expression: &str) -> String {
    let bundle = engine.evaluate(expression).await.unwrap();
    bundle.data["text/plain"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_interrupt_stops_user_code_and_keeps_all_variables() {
    let mut notebook = Notebook::open();
    notebook
        .ok("fn spin() -> ! { println!(\"begun\");\n loop {} }
             fn down(n: u64) -> u64 { if n == 0 { 1 } else { down(n - 1) + down(n - 1) } }
             struct Slow; impl Drop for Slow { fn drop(&mut self) { for _ in 0..3 {} } }
             let x = 1; let mut list = vec![1];")
        .await;
    let engine = Arc::new(notebook.engine);
    for code in [
        "list.push(2); println!(\"begun\"); loop {}",
        "println!(\"begun\"); while x == 1 {}",
        "println!(\"begun\"); for _ in 0.. { let _ = list.len(); }",
        "println!(\"begun\"); let _slow = Slow; (0u64..).map(|n| n & 1).filter(|n| *n > 1).count()",
        "println!(\"begun\"); down(60)",
        "spin()",
        "println!(\"begun\"); std::thread::sleep(std::time::Duration::from_secs(60)); println!(\"never\")",
        "{ println!(\"begun\"); std::thread::sleep(std::time::Duration::from_secs(60)); println!(\"never\"); }",
        "println!(\"begun\"); std::thread::sleep(std::time::Duration::from_secs(60))",
        "println!(\"begun\"); std::thread::spawn(|| loop {}).join().unwrap();",
        "println!(\"begun\"); std::process::Command::new(\"sleep\").arg(\"60\").status()?; println!(\"never\")",
        "println!(\"begun\"); loop { let _ = std::panic::catch_unwind(|| spin()); }",
        "println!(\"begun\"); std::future::pending::<()>().await; println!(\"never\")",
        "println!(\"begun\"); list.len(); tokio::spawn(async { loop {} }).await?;",
    ] {
        let failure = interrupt(&engine, code).await;
        assert!(
            failure.evalue.ends_with("all variables are kept"),
            "{code}: {}",
            failure.evalue
        );
    }
    assert_eq!(value(&engine, "(x, &list)").await, "(1, [1, 2])");
    let failure = interrupt(&engine, "let moved = list; println!(\"begun\"); loop {}").await;
    let (place, lost) = failure.evalue.split_once("; ").unwrap();
    assert!(place.starts_with("stopped at Cell [9]:1:"), "{place}");
    assert_eq!(lost, "moved and lost: list");
    // An interrupt that comes when nothing runs is not kept for the next cell.
    engine.interrupt();
    assert_eq!(value(&engine, "down(4)").await, "16");
}

/// The first poll of `:restart` ends the worker and waits for its end, which is where the interrupt comes.
#[tokio::test]
async fn an_interrupt_in_the_middle_of_a_restart_loses_what_the_worker_had() {
    for command in [":restart", ":clear"] {
        let mut notebook = Notebook::open();
        notebook.ok("let x = 1;").await;
        let cell = Cell {
            number: 2,
            code: command.to_owned(),
            allow_stdin: false,
            parent: Default::default(),
        };
        let (sender, _outputs) = mpsc::channel(16);
        let mut running = notebook.engine.execute(&cell, sender);
        let mut context = Context::from_waker(Waker::noop());
        assert!(running.as_mut().poll(&mut context).is_pending());
        notebook.engine.interrupt();
        let ended = running.as_mut().poll(&mut context);
        assert!(
            matches!(ended, Poll::Ready(Outcome::Failed(_))),
            "{ended:?}"
        );
        drop(running);
        notebook.fails("compile error", "x").await;
        assert_eq!(notebook.value("1 + 1").await, "2");
    }
}

const STILL: &str = "still in native code; interrupt again to end the worker";

#[tokio::test]
async fn code_that_does_not_stop_is_ended_by_a_second_interrupt_and_what_was_lost_is_named() {
    let mut notebook = Notebook::open();
    notebook.ok("fn seven() -> u8 { 7 }\nlet x = 1;").await;
    let engine = Arc::new(notebook.engine);
    // In one expression, for between statements it would stop.
    let code = "(println!(\"begun\"), [0u8, 1].iter().cycle().max())";
    let failure = interrupt_until(&engine, code, STILL).await;
    assert_eq!(
        failure.evalue,
        "the cell did not stop, so the worker was ended; lost variables: x"
    );
    assert_eq!(value(&engine, "seven()").await, "7");
    engine.shutdown().await;
    let refused = engine.evaluate("1").await.unwrap_err();
    assert!(
        refused.evalue.contains("shutting down"),
        "{}",
        refused.evalue
    );
}

#[tokio::test]
async fn a_first_interrupt_costs_nothing_however_long_native_code_takes() {
    let mut notebook = Notebook::open();
    notebook.ok("let x = 1; let numbers = [1u8; 64];").await;
    let engine = Arc::new(notebook.engine);
    // Functions of another ABI must not unwind, so they have no ticks.
    let code = "extern \"C\" fn spin(seconds: u64) -> u64 {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
            let mut n = 0; while std::time::Instant::now() < until { n += 1; } n
        }
        println!(\"begun\"); spin(4); for n in numbers { std::hint::black_box(n); }";
    let failure = interrupt(&engine, code).await;
    assert!(
        failure.evalue.ends_with("all variables are kept"),
        "{}",
        failure.evalue
    );
    assert_eq!(value(&engine, "x").await, "1");
}

#[tokio::test]
async fn optimized_loops_can_be_interrupted_and_mean_what_they_say() {
    let mut notebook = Notebook::open();
    notebook
        .ok(":opt 2\nlet kept = 1; let list: Vec<u64> = (0..100_000).collect();")
        .await;
    let code = "let (mut sum, mut skipped, mut last) = (0u64, 0, 0);
        for i in 0..list.len() { if i % 2 == 0 { skipped += 1; continue; } if i > 70_000 { last = i; break; } sum += list[i]; }
        let mut found = 0usize;
        'outer: for round in 0..3u8 { for i in 0..50_000 { if i == 40_000 { if round == 1 { continue 'outer; } if round == 2 { break 'outer; } } found += 1; } }
        let mut labelled = 0i64;
        'own: for i in -40_000..40_000i64 { if i % 3 != 0 { continue 'own; } if i == 30_000 { break 'own; } labelled += i; }
        let mut bytes = 0u32; for b in 0..255u8 { bytes += b as u32; }
        for _ in 5..5 { bytes = 0; }
        let mut weighted = 0; for (i, x) in list.iter().enumerate() { weighted += i as u64 * x; }
        let chained: u64 = list.iter().map(|x| x * 2).filter(|x| x % 3 == 0).sum();
        let squares: u64 = (0..list.len()).map(|i| list[i] * 2).filter(|x| x % 3 == 0).sum();
        let collected = (1..40_000).map(|n| n / 2).collect::<Vec<i32>>().len() + (5..2).count();
        let letters = { let mut n = 0; for letter in 'a'..'e' { n += letter as u32; } n };";
    notebook.ok(code).await;
    let expected = {
        let sum: u64 = (0..=70_000u64).filter(|i| i % 2 == 1).sum();
        let labelled: i64 = (-40_000..30_000i64).filter(|i| i % 3 == 0).sum();
        let weighted: u64 = (0..100_000u64).map(|i| i * i).sum();
        let chained: u64 = (0..100_000u64).map(|i| i * 2).filter(|i| i % 3 == 0).sum();
        format!(
            "({sum}, 35001, 70001, 130000, {labelled}, 32385, {weighted}, {chained}, {chained}, 39999, 394)"
        )
    };
    let values = "(sum, skipped, last, found, labelled, bytes, weighted, chained, squares, collected, letters)";
    assert_eq!(notebook.value(values).await, expected);
    let engine = Arc::new(notebook.engine);
    for code in [
        "println!(\"begun\"); loop {}",
        "println!(\"begun\"); let mut s = 0; for i in 0..u64::MAX { s ^= i * 3; } println!(\"never {s}\");",
        "println!(\"begun\"); (0..u64::MAX).map(|n| n ^ 3).filter(|n| n % 7 == 1).max()",
        "println!(\"begun\"); (0u64..).map(|n| n & 1).filter(|n| *n > 1).count()",
        "println!(\"begun\"); let mut s = 0; let mut i = 0u64; while s != 1 { i += 2; s ^= i; }",
    ] {
        let failure = interrupt(&engine, code).await;
        assert!(
            failure.evalue.starts_with("stopped at Cell [9]:1:")
                && failure.evalue.ends_with("all variables are kept"),
            "{code}: {}",
            failure.evalue
        );
    }
    assert_eq!(value(&engine, "kept").await, "1");
}

#[tokio::test]
async fn code_that_must_not_be_interruptible_compiles() {
    let mut notebook = Notebook::open();
    let code = "const fn third(n: u64) -> u64 { let mut i = 0; while i * 3 < n { i += 1; } i }
        const TABLE: [u64; { let mut n = 0; while n < 3 { n += 1; } n }] = [const { third(9) }; 3];
        extern \"C\" fn called_back(n: i32) -> i32 { let mut sum = 0; for i in 0..n { sum += i; } sum }
        fn inner() -> u8 { #![allow(unused)] /* first */ 1 }
        enum Kind { A = { let mut n = 0; while n < 4 { n += 1; } n } }
        let nested = |a: u64| move |b: u64| a + b;
        let block = |a: u64| -> u64 { a };
        let unit = || ();
        let sum = { 'outer: loop { loop { break 'outer nested(1)(2); } } };";
    notebook.ok(code).await;
    assert_eq!(
        notebook
            .value("(sum, TABLE, called_back(4), inner(), Kind::A as u8)")
            .await,
        "(3, [3, 3, 3], 6, 1, 4)"
    );
}

#[tokio::test]
async fn an_interrupt_ends_a_compilation_and_loses_nothing() {
    let mut notebook = Notebook::open();
    notebook.ok("let x = 1;").await;
    let engine = Arc::new(notebook.engine);
    let endless = "#[allow(long_running_const_eval)] const NEVER: u8 = loop {};";
    let cell = Cell {
        number: 2,
        code: endless.to_owned(),
        allow_stdin: false,
        parent: Default::default(),
    };
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.execute(&cell, mpsc::channel(1).0).await }
    });
    let interrupting = async {
        // Those before the cell has begun do not count.
        loop {
            engine.interrupt();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(Duration::from_secs(20), running) => outcome.unwrap().unwrap(),
        () = interrupting => unreachable!(),
    };
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.ename, "Interrupted");
    assert_eq!(
        failure.evalue,
        "the cell had not begun; all variables are kept"
    );
    assert_eq!(engine.evaluate("x").await.unwrap().data["text/plain"], "1");
}

#[tokio::test]
async fn an_interrupt_ends_waits_and_costs_only_what_waits() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let keep = 5; let mut list = vec![1]; let (sender, receiver) = std::sync::mpsc::channel::<i32>();
             let lock = std::sync::Arc::new(std::sync::Mutex::new(1));")
        .await;
    let engine = Arc::new(notebook.engine);
    for code in [
        "println!(\"begun\"); list.push(2); std::thread::park();",
        "println!(\"begun\"); list.len(); std::net::TcpListener::bind(\"127.0.0.1:0\")?.accept()?",
        "println!(\"begun\"); list.len(); std::net::UdpSocket::bind(\"127.0.0.1:0\")?.recv_from(&mut [0; 9])?",
        "let (_stay, taken) = std::os::unix::net::UnixStream::pair()?; println!(\"begun\"); list.len(); std::io::Read::read(&mut &taken, &mut [0; 9])?",
        "println!(\"begun\"); macro_rules! spin { () => { loop { std::hint::black_box(1); } } } spin!()",
        "println!(\"begun\"); macro_rules! count { ($n:ident) => { while $n < u64::MAX { $n += 1 } } } let mut n = 0u64; count!(n);",
        "println!(\"begun\"); assert!({ let mut n = 0u64; while n < u64::MAX { n += 1 } true })",
        "println!(\"begun\"); dbg!((0..9).map(|_| loop {}).count());",
    ] {
        let failure = interrupt(&engine, code).await;
        let kept = failure.evalue.ends_with("all variables are kept");
        assert!(kept, "{code}: {}", failure.evalue);
    }
    for (code, lost) in [
        ("println!(\"begun\"); receiver.recv()?", "receiver"),
        (
            "let first = lock.lock().unwrap_or_else(|held| held.into_inner()); println!(\"begun\"); let second = lock.lock().unwrap();",
            "lock",
        ),
        (
            "let idle = std::thread::spawn(|| std::thread::park()); println!(\"begun\"); idle.join().unwrap();",
            "",
        ),
    ] {
        let said = match lost {
            "" => "all variables are kept".to_owned(),
            _ => format!("taken by it and lost: {lost}"),
        };
        // One that comes between what is printed and the wait ends the cell there, and nothing is lost yet.
        let mut failure = interrupt(&engine, code).await;
        for _ in 0..20 {
            if failure.evalue.ends_with(&said) {
                break;
            }
            assert!(
                failure.evalue.ends_with("all variables are kept"),
                "{code}: {}",
                failure.evalue
            );
            failure = interrupt(&engine, code).await;
        }
        assert!(
            failure.evalue.ends_with(&said),
            "{code}: {}",
            failure.evalue
        );
    }
    // The thread that took the place of the one that waits has all that a cell needs.
    assert_eq!(value(&engine, "(keep, list)").await, "(5, [1, 2])");
    assert_eq!(
        value(&engine, "tokio::spawn(async { 3 }).await?").await,
        "3"
    );
}

#[tokio::test]
async fn an_interrupt_is_the_running_cells_and_not_its_predecessors() {
    let mut notebook = Notebook::open();
    notebook
        .ok("use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
             static LOOPS: AtomicU64 = AtomicU64::new(0); static NAPS: AtomicU64 = AtomicU64::new(0); static TASKS: AtomicU64 = AtomicU64::new(0);
             let nap = std::time::Duration::from_millis(5);
             std::thread::spawn(move || loop { LOOPS.fetch_add(1, Relaxed); });
             std::thread::spawn(move || loop { std::thread::sleep(nap); NAPS.fetch_add(1, Relaxed); });
             tokio::spawn(async move { loop { tokio::time::sleep(nap).await; TASKS.fetch_add(1, Relaxed); } });")
        .await;
    let engine = Arc::new(notebook.engine);
    // Its own threads and tasks stop with it.
    let failure = interrupt(
        &engine,
        "println!(\"begun\"); let own = std::thread::spawn(|| loop {}); own.join().unwrap();",
    )
    .await;
    assert!(failure.evalue.ends_with("kept"), "{}", failure.evalue);
    let goes_on = "let before = [LOOPS.load(Relaxed), NAPS.load(Relaxed), TASKS.load(Relaxed)];
        for _ in 0..2000 { std::thread::sleep(nap); if LOOPS.load(Relaxed) > before[0] && NAPS.load(Relaxed) > before[1] && TASKS.load(Relaxed) > before[2] { break; } }
        [LOOPS.load(Relaxed) > before[0], NAPS.load(Relaxed) > before[1], TASKS.load(Relaxed) > before[2]]";
    assert_eq!(value(&engine, goes_on).await, "[true, true, true]");
}
