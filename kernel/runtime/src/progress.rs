//! Progress of long work, as a line of text that overwrites itself: notebooks and consoles both go back to the start
//! of a line at a carriage return.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::interrupt::tick;

const REDRAW: Duration = Duration::from_millis(100);
/// Of quick steps, the clock is looked at after this many at most.
const MOST_STRIDE: u64 = 1024;
const WIDTH: usize = 24;

/// The same items, with a line on stderr that tells how many were taken, how long it took and will take.
///
/// ```ignore
/// for epoch in progress(0..100).label("training") { .. }
/// ```
pub fn progress<I: IntoIterator>(items: I) -> Progress<I::IntoIter> {
    let items = items.into_iter();
    let bar = match items.size_hint() {
        (least, Some(most)) if least == most => ProgressBar::new(most as u64),
        _ => ProgressBar::without_total(),
    };
    Progress {
        items,
        bar,
        taken: 0,
    }
}

/// Made by [`progress`].
#[derive(Debug)]
pub struct Progress<I> {
    items: I,
    bar: ProgressBar,
    taken: u64,
}

impl<I> Progress<I> {
    /// The same with a text before the bar.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.bar.label = label.into();
        self
    }
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    #[track_caller]
    fn next(&mut self) -> Option<I::Item> {
        // The item that was taken before is done.
        self.bar.set(self.taken);
        let item = self.items.next();
        match item {
            Some(_) => self.taken += 1,
            None => self.bar.finish(),
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

/// A line on stderr for work that is no loop over items. It ends when it is dropped.
///
/// ```ignore
/// let mut bar = ProgressBar::new(1000).label("reading");
/// bar.inc(10);
/// bar.note("loss 0.12");
/// ```
#[derive(Debug)]
pub struct ProgressBar {
    total: Option<u64>,
    done: u64,
    label: String,
    note: String,
    begun: Instant,
    looked: Instant,
    drawn: Option<Instant>,
    /// Looks at the clock when this much is done.
    look_at: u64,
    stride: u64,
    /// Characters of the line as it stands.
    length: usize,
    finished: bool,
}

impl ProgressBar {
    /// A bar that is full when `total` is done.
    pub fn new(total: u64) -> Self {
        let mut bar = Self::without_total();
        bar.total = Some(total);
        bar
    }

    /// A count, for nobody knows of how many.
    pub fn without_total() -> Self {
        let now = Instant::now();
        Self {
            total: None,
            done: 0,
            label: String::new(),
            note: String::new(),
            begun: now,
            looked: now,
            drawn: None,
            look_at: 0,
            stride: 1,
            length: 0,
            finished: false,
        }
    }

    /// The same with a text before the bar.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// So much more is done.
    #[track_caller]
    pub fn inc(&mut self, more: u64) {
        self.set(self.done + more);
    }

    /// So much is done in all.
    #[track_caller]
    pub fn set(&mut self, done: u64) {
        self.done = done;
        if done >= self.look_at {
            self.look();
        }
    }

    /// A text behind the bar, from the next time on that it is drawn.
    pub fn note(&mut self, note: impl Into<String>) {
        self.note = note.into();
    }

    /// Draws the last state and ends the line.
    pub fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.draw(Instant::now());
            eprintln!();
        }
    }

    #[track_caller]
    fn look(&mut self) {
        let now = Instant::now();
        let quick = self.done > 0 && now - self.looked < REDRAW / 100;
        self.stride = if quick {
            (self.stride * 2).min(MOST_STRIDE)
        } else {
            1
        };
        self.looked = now;
        self.look_at = self.done + self.stride;
        if self.drawn.is_none_or(|drawn| now - drawn >= REDRAW) {
            self.draw(now);
            tick();
        }
    }

    fn draw(&mut self, now: Instant) {
        self.drawn = Some(now);
        let line = self.line(now - self.begun);
        let length = line.chars().count();
        let rest = " ".repeat(self.length.saturating_sub(length));
        self.length = length;
        // In one piece, lest other threads print into it. Nobody reads if it fails.
        let _ = std::io::stderr().write_all(format!("\r{line}{rest}").as_bytes());
    }

    fn line(&self, elapsed: Duration) -> String {
        let mut line = String::new();
        if !self.label.is_empty() {
            line = format!("{}: ", self.label);
        }
        let rate = self.done as f64 / elapsed.as_secs_f64().max(1e-9);
        let clock = clock(elapsed);
        let pace = match self.done {
            0 => String::new(),
            _ if rate >= 1.0 => format!(", {rate:.1}/s"),
            _ => format!(", {:.1} s each", 1.0 / rate),
        };
        match self.total {
            Some(total) => {
                let part = match total {
                    0 => 1.0,
                    _ => (self.done as f64 / total as f64).min(1.0),
                };
                let full = (part * WIDTH as f64) as usize;
                let bar = "█".repeat(full) + &" ".repeat(WIDTH - full);
                let percent = (part * 100.0) as u32;
                let left = elapsed.as_secs_f64() * (1.0 - part) / part;
                let left = Duration::try_from_secs_f64(left);
                let left = left.map_or_else(|_| "?".to_owned(), self::clock);
                let done = self.done;
                line += &format!("{percent:3}%|{bar}| {done}/{total} [{clock}<{left}{pace}]");
            }
            None => line += &format!("{} [{clock}{pace}]", self.done),
        }
        if !self.note.is_empty() {
            line += &format!(" {}", self.note);
        }
        line
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.finish();
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
