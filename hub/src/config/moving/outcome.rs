//! What is told of each value: taken, without effect, or refused.

use std::fmt::Write as _;

use crate::config::report::Remark;
use crate::config::yaml::At;

/// The answer of `carrel-hub check`.
#[derive(Debug)]
pub struct Told {
    /// One line for each value, and a last one that counts.
    pub text: String,
    /// Whether something is refused.
    pub refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Taken,
    WithoutEffect,
    /// To be given in this file or another.
    Missing,
    Refused,
}

pub struct Outcome {
    file: String,
    what: String,
    lines: Vec<(Option<At>, String, Verdict, String)>,
}

impl Outcome {
    pub fn new(file: &str, what: &str) -> Self {
        Self {
            file: file.to_owned(),
            what: what.to_owned(),
            lines: Vec::new(),
        }
    }

    pub fn taken(&mut self, at: At, path: &str) {
        let taken = (
            Some(at),
            path.to_owned(),
            Verdict::Taken,
            String::from("taken"),
        );
        self.lines.push(taken);
    }

    /// Taken, with what is to be known of it.
    pub fn noted(&mut self, at: At, path: &str, note: &str) {
        let message = format!("taken; {note}");
        self.lines
            .push((Some(at), path.to_owned(), Verdict::Taken, message));
    }

    pub fn without_effect(&mut self, at: Option<At>, path: &str, why: &str) {
        let why = why.trim_start_matches("without effect: ");
        let message = format!("without effect: {why}");
        self.lines
            .push((at, path.to_owned(), Verdict::WithoutEffect, message));
    }

    pub fn refused(&mut self, at: Option<At>, path: &str, instead: &str) {
        let message = format!("refused: {instead}");
        self.lines
            .push((at, path.to_owned(), Verdict::Refused, message));
    }

    /// A value that is not there, without which the Hub will not start.
    pub fn missing(&mut self, path: &str, why: &str) {
        let message = format!("missing, unless another file gives it: {why}");
        self.lines
            .push((None, path.to_owned(), Verdict::Missing, message));
    }

    /// What a report of the Hub's configuration says; `prefix` stands before its keys.
    pub fn remarks(&mut self, prefix: &str, mistakes: Vec<Remark>, warnings: Vec<Remark>) {
        for (at, path, message) in mistakes {
            self.refused(at, &format!("{prefix}{path}"), &message);
        }
        for (at, path, message) in warnings {
            self.without_effect(at, &format!("{prefix}{path}"), &message);
        }
    }

    /// Adds what `own` says: where something is said against a value, that it is taken is not; and of all under `paths`
    /// only `own` speaks.
    pub fn take_over(&mut self, own: Self, paths: &[String]) {
        let against = own.lines.iter().filter(|line| line.2 != Verdict::Taken);
        let against: Vec<_> = against.map(|line| line.1.clone()).collect();
        self.lines.retain(|(_, path, verdict, _)| {
            let within = |of: &str| {
                let rest = of.strip_prefix(path.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            *verdict != Verdict::Taken || !against.iter().any(|of| within(of))
        });
        let known: Vec<_> = self.lines.iter().map(|line| line.1.clone()).collect();
        let new = own.lines.into_iter().filter(|(_, path, verdict, _)| {
            *verdict == Verdict::Taken
                || paths.iter().any(|of| path.starts_with(of.as_str()))
                || !known.contains(path)
        });
        self.lines.extend(new);
    }

    pub fn told(mut self) -> Told {
        self.lines.sort();
        self.lines.dedup();
        let count = |verdict| self.lines.iter().filter(|line| line.2 == verdict).count();
        let mut text = format!("{}: {}\n", self.file, self.what);
        for (at, path, _, message) in &self.lines {
            text += &self.file;
            if let Some(At { line, column }) = at {
                let _ = write!(text, ":{line}:{column}");
            }
            let _ = writeln!(text, ": {path}: {message}");
        }
        let _ = write!(
            text,
            "{} taken, {} without effect, {} missing, {} refused",
            count(Verdict::Taken),
            count(Verdict::WithoutEffect),
            count(Verdict::Missing),
            count(Verdict::Refused)
        );
        Told {
            refused: count(Verdict::Refused) > 0,
            text,
        }
    }
}
