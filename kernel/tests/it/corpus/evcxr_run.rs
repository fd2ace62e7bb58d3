//! Runs a file of the corpus on evcxr, and checks what the file says of differences.

use carrel_kernel::engine::Engine;
use carrel_kernel::evcxr_engine::EvcxrEngine;

use super::format::{Cell, Outcome, Session};
use super::{Report, load, mismatches, outcome};
use crate::notebook::Notebook;

pub async fn run(name: &str) {
    let program = env!("CARGO_BIN_EXE_carrel-kernel");
    let engine = EvcxrEngine::new(program.into());
    engine.warm_up().await;
    let mut notebook = Notebook::over(engine);
    let mut report = Report::of(load(name));
    for session in std::mem::take(&mut report.file.sessions) {
        notebook.ok(":clear").await;
        // Cells are numbered from 1 in each session.
        notebook = Notebook::over(notebook.engine);
        run_session(&mut notebook, &session, &mut report).await;
    }
    notebook.engine.shutdown().await;
    report.tell();
}

async fn run_session<E: Engine>(
    notebook: &mut Notebook<E>,
    session: &Session,
    report: &mut Report,
) {
    let mut as_ours = true;
    for cell in &session.cells {
        let there = cell.evcxr.as_ref().and_then(|evcxr| evcxr.outcome.as_ref());
        if there.is_some_and(|there| there.waits) {
            continue;
        }
        let actual = outcome(notebook, cell, there.unwrap_or(&cell.expected)).await;
        as_ours &= mismatches(&cell.expected, &actual).is_empty();
        match &cell.evcxr {
            _ if session.evcxr.is_some() => {}
            Some(evcxr) => {
                let what = format!("not so any more, take it out: `evcxr: {}`", evcxr.reason);
                report.differs(cell, &what, &actual);
                if let Some(there) = there {
                    report.same(cell, there, &actual);
                }
            }
            None => report.same(cell, &cell.expected, &actual),
        }
    }
    if let (Some(reason), true) = (&session.evcxr, as_ours) {
        let what = format!("not so any more, take it out: `evcxr: {reason}`");
        report.add(session.line, &what, "");
    }
}

impl Report {
    fn differs(&mut self, cell: &Cell, what: &str, actual: &Outcome) {
        if mismatches(&cell.expected, actual).is_empty() {
            self.add(cell.line, what, &cell.code);
        }
    }
}
