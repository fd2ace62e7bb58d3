//! The analyzer process by itself, asked in its own words.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use carrel_protocol::analysis::{Answer, Items, Notebook, Question, Reply, Variable, Wish};
use carrel_protocol::{decode, encode, length};

#[test]
fn a_notebook_of_a_hundred_cells_completes() {
    let mut analyzer = Analyzer::start(None);
    let items = (1..=100).map(|number| Items {
        name: format!("cell_{number}"),
        title: format!("Cell [{number}]"),
        names: vec!["Same".to_owned(), format!("function_{number}")],
        source: format!(
            "pub struct Same;\nimpl Same {{ pub fn of_{number}(self) {{}} }}\n\
             pub fn function_{number}() -> Same {{ Same }}"
        ),
    });
    let variables = (1..=100).map(|number| Variable {
        name: format!("variable_{number}"),
        r#type: format!("std :: vec :: Vec < cell_{number} :: Same >"),
        mutable: false,
    });
    let notebook = Notebook {
        crates: Vec::new(),
        items: items.collect(),
        variables: variables.collect(),
    };
    let mut texts = |code: &str| analyzer.complete(&notebook, code);
    assert_eq!(texts("function_100().o"), ["of_100"]);
    assert_eq!(texts("function_7().o"), ["of_7"]);
    assert_eq!(texts("Same.o"), ["of_100"]);
    assert_eq!(texts("variable_3.pop().unwrap().o"), ["of_3"]);
    assert_eq!(texts("function_").len(), 100);
}

#[test]
fn without_the_standard_library_the_notebook_completes_and_inspection_says_what_is_missing() {
    let mut analyzer = Analyzer::start(Some("/nowhere"));
    let notebook = Notebook {
        items: vec![Items {
            name: "cell_1".to_owned(),
            title: "Cell [1]".to_owned(),
            names: vec!["Point".to_owned()],
            source: "pub struct Point { pub left: f64 }".to_owned(),
        }],
        variables: vec![Variable {
            name: "point".to_owned(),
            r#type: "cell_1 :: Point".to_owned(),
            mutable: false,
        }],
        ..Notebook::default()
    };
    assert_eq!(analyzer.complete(&notebook, "point.l"), ["left"]);
    let reply = analyzer.ask(&notebook, "String", Wish::Inspect { detail: false });
    let Reply::Description(description) = reply else {
        panic!("{reply:?}");
    };
    assert!(description.plain.contains("rustup component add rust-src"));
}

#[test]
fn a_question_that_a_newer_one_follows_is_answered_too() {
    let mut analyzer = Analyzer::start(None);
    for id in 1..=3 {
        analyzer.send(&question(id, &Notebook::default(), "whil", Wish::Complete));
    }
    let answers: Vec<u64> = (1..=3).map(|_| analyzer.receive().id).collect();
    assert_eq!(answers, [1, 2, 3]);
}

#[test]
fn an_inspection_does_not_take_the_place_of_a_completion() {
    let mut analyzer = Analyzer::start(None);
    let inspect = Wish::Inspect { detail: false };
    let empty = Notebook::default();
    analyzer.send(&question(1, &empty, "String", inspect));
    analyzer.send(&question(2, &empty, "whil", Wish::Complete));
    analyzer.send(&question(3, &empty, "String", inspect));
    let answers: Vec<Answer> = (1..=3).map(|_| analyzer.receive()).collect();
    let completed = answers.iter().find(|answer| answer.id == 2).unwrap();
    let Reply::Completions(found) = &completed.reply else {
        panic!("{answers:?}")
    };
    assert_eq!(found[0].text, "while");
}

#[test]
fn the_process_ends_with_its_input() {
    let mut analyzer = Analyzer::start(None);
    analyzer.complete(&Notebook::default(), "whil");
    drop(analyzer.child.stdin.take());
    assert!(analyzer.child.wait().unwrap().success());
}

/// The prepared analyzer.
pub fn program() -> PathBuf {
    let prelude = std::env::var_os("CARREL_PRELUDE_DIR").unwrap_or_default();
    let program = Path::new(&prelude).join("carrel-analyzer");
    assert!(
        program.is_file(),
        "$CARREL_PRELUDE_DIR holds no carrel-analyzer; `make test` builds and prepares it, or run \
         `cargo build --release -p carrel-analyzer` before `carrel-kernel prepare`"
    );
    program
}

struct Analyzer {
    child: Child,
}

impl Analyzer {
    /// `library` is where the sources of the standard library are, if not where they are installed.
    fn start(library: Option<&str>) -> Self {
        let sysroot = Command::new("rustc")
            .arg("--print=sysroot")
            .output()
            .unwrap();
        let mut command = Command::new(program());
        command.arg(String::from_utf8(sysroot.stdout).unwrap().trim());
        if let Some(library) = library {
            command.env("RUST_SRC_PATH", library);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self {
            child: child.unwrap(),
        }
    }

    fn complete(&mut self, notebook: &Notebook, code: &str) -> Vec<String> {
        match self.ask(notebook, code, Wish::Complete) {
            Reply::Completions(found) => found.into_iter().map(|found| found.text).collect(),
            reply => panic!("{reply:?}"),
        }
    }

    /// Asks with the cursor at the end.
    fn ask(&mut self, notebook: &Notebook, code: &str, wish: Wish) -> Reply {
        self.send(&question(1, notebook, code, wish));
        self.receive().reply
    }

    fn send(&mut self, question: &Question) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(&encode(question).unwrap()).unwrap();
    }

    fn receive(&mut self) -> Answer {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut head = [0; 4];
        stdout.read_exact(&mut head).unwrap();
        let mut body = vec![0; length(head).unwrap()];
        stdout.read_exact(&mut body).unwrap();
        decode(&body).unwrap()
    }
}

impl Drop for Analyzer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn question(id: u64, notebook: &Notebook, code: &str, wish: Wish) -> Question {
    Question {
        id,
        notebook: notebook.clone(),
        code: code.to_owned(),
        offset: code.len(),
        wish,
    }
}
