//! The queue of starts: carried out in the order in which they were asked for, and only so many at a time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::error;

use crate::db::servers::Server;
use crate::db::{self, Db};

/// How often one looks for what other Hubs have changed in the queue.
const LOOK: Duration = Duration::from_secs(1);
/// Of how many starts one learns how long a start takes.
const RECENT: i64 = 20;
/// How old an answer about the places may be.
const FRESH: Duration = Duration::from_millis(500);

/// The starts of this process. Which starts wait over all Hubs, and in what order, is in the database: at most
/// `JupyterHub.concurrent_spawn_limit` are under way there, each until its server is ready or has failed.
///
/// Of those that may go on, one at a time has its turn: from its first step until the spawner has handed the server over
/// to where it is to run, so that no later start of this Hub overtakes it there.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: Db,
    limit: u32,
    state: Mutex<State>,
    /// Counts the changes of this process.
    changed: AtomicU64,
    changes: watch::Sender<()>,
    places: tokio::sync::Mutex<Places>,
    /// A start may have left a place for another.
    look: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    turn: Option<String>,
}

#[derive(Debug)]
struct Entry {
    start_id: String,
    stage: Stage,
    turn: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The database does not know of it yet: those that came after it wait for that.
    New,
    /// As many as may be are under way.
    Waits,
    Admitted,
}

/// How many starts wait before each, of all Hubs.
#[derive(Debug, Default)]
struct Places {
    read: Option<(Instant, u64)>,
    before: HashMap<String, usize>,
    /// How long a start takes, where some were done.
    typical: Option<Duration>,
}

/// Where a start waits.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// How many are before it.
    pub before: usize,
    /// How long it will take until it is done, if it goes on as it did.
    about: Option<Duration>,
}

impl Queue {
    /// `limit` 0 is none.
    pub fn new(db: Db, limit: u32) -> Self {
        Self(Arc::new(Shared {
            db,
            limit,
            state: Mutex::default(),
            changed: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            places: tokio::sync::Mutex::default(),
            look: Notify::new(),
        }))
    }

    /// The last place of this Hub.
    pub(super) fn enter(&self, start_id: &str) -> Place {
        let (sender, turn) = oneshot::channel();
        self.lock().entries.push_back(Entry {
            start_id: start_id.to_owned(),
            stage: Stage::New,
            turn: sender,
        });
        self.place(start_id, Some(turn))
    }

    /// A place for a start that another Hub began: it waits no more.
    pub(super) fn adopt(&self, start_id: &str) -> Place {
        self.place(start_id, None)
    }

    /// How many starts wait before that of the server; nothing where it does not wait.
    pub async fn place_of(&self, server: &Server) -> Option<Waits> {
        if !server.waits {
            return None;
        }
        match self.before(&server.start_id).await {
            Some(waits) => Some(waits),
            // Another Hub has written it down since one looked.
            None => {
                self.0.changed.fetch_add(1, Ordering::Release);
                self.before(&server.start_id).await
            }
        }
    }

    /// [`Self::place_of`] a start, as of half a second ago.
    pub(super) async fn before(&self, start_id: &str) -> Option<Waits> {
        let mut places = self.0.places.lock().await;
        let changed = self.0.changed.load(Ordering::Acquire);
        let fresh = |(at, seen): (Instant, u64)| seen == changed && at.elapsed() < FRESH;
        if !places.read.is_some_and(fresh) {
            match self.read().await {
                Ok((before, typical)) => {
                    *places = Places {
                        read: Some((Instant::now(), changed)),
                        before,
                        typical,
                    }
                }
                Err(error) => error!(%error, "Could not read the queue of starts"),
            }
        }
        let before = places.before.get(start_id).copied()?;
        // So many at a time, and this one with the last of them.
        let rounds = before / usize::try_from(self.0.limit).unwrap_or(1).max(1) + 2;
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        let about = places.typical.map(|typical| typical.saturating_mul(rounds));
        Some(Waits { before, about })
    }

    async fn read(&self) -> db::Result<(HashMap<String, usize>, Option<Duration>)> {
        let waiting = self.0.db.waiting_starts().await?;
        let mut times = if waiting.is_empty() {
            Vec::new()
        } else {
            self.0.db.last_start_times(RECENT).await?
        };
        times.sort_unstable();
        let median = times.get(times.len() / 2);
        let typical = median.and_then(|median| u64::try_from(*median).ok());
        let before = waiting.into_iter().zip(0..).collect();
        Ok((before, typical.map(Duration::from_millis)))
    }

    /// Tells of changes of places.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Ends the wait of a start that is no longer wanted.
    pub(super) fn give_up(&self, start_id: &str) {
        self.change(|state| state.leave(start_id));
    }

    /// Lets those starts of this Hub go on whose turn has come among those of all.
    async fn admit(&self) {
        if !self.lock().waits() {
            return;
        }
        match self.0.db.admit_starts(self.0.limit).await {
            Ok(admitted) if admitted.is_empty() => {}
            Ok(admitted) => self.change(|state| {
                for start_id in &admitted {
                    state.set(start_id, Stage::Admitted);
                }
            }),
            Err(error) => error!(%error, "Could not look whose start is next"),
        }
    }

    fn place(&self, start_id: &str, turn: Option<oneshot::Receiver<()>>) -> Place {
        Place {
            queue: self.clone(),
            start_id: start_id.to_owned(),
            turn,
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.advance();
        drop(state);
        self.0.changed.fetch_add(1, Ordering::Release);
        self.0.changes.send_replace(());
        self.0.look.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Admits the starts that wait, for ever.
pub async fn admit(queue: Queue) {
    loop {
        if queue.lock().waits() {
            // Other Hubs make room too.
            let _ = timeout(LOOK, queue.0.look.notified()).await;
        } else {
            queue.0.look.notified().await;
        }
        queue.admit().await;
    }
}

impl State {
    fn waits(&self) -> bool {
        self.entries.iter().any(|entry| entry.stage == Stage::Waits)
    }

    fn set(&mut self, start_id: &str, stage: Stage) {
        for entry in &mut self.entries {
            if entry.start_id == start_id {
                entry.stage = stage;
            }
        }
    }

    /// Gives the turn to the first that may have it.
    fn advance(&mut self) {
        if self.turn.is_some() {
            return;
        }
        let first = self
            .entries
            .iter()
            .position(|entry| entry.stage != Stage::Waits);
        let admitted = |entry: &Entry| entry.stage == Stage::Admitted;
        let Some(at) = first.filter(|at| self.entries.get(*at).is_some_and(admitted)) else {
            return;
        };
        if let Some(entry) = self.entries.remove(at) {
            self.turn = Some(entry.start_id);
            // Where nobody waits for it any more, the place is being given up and passes the turn on.
            let _ = entry.turn.send(());
        }
    }

    fn leave(&mut self, start_id: &str) {
        self.entries.retain(|entry| entry.start_id != start_id);
    }

    fn pass_on(&mut self, start_id: &str) {
        if self.turn.as_deref() == Some(start_id) {
            self.turn = None;
        }
    }
}

/// A start's place in the queue; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    start_id: String,
    turn: Option<oneshot::Receiver<()>>,
}

impl Place {
    /// The start is written down: as one that `waits`, or that may go on.
    pub(super) fn written(&self, waits: bool) {
        let stage = if waits { Stage::Waits } else { Stage::Admitted };
        self.queue.change(|state| state.set(&self.start_id, stage));
    }

    /// Waits for the turn, which ends with this value at the latest; none where the start is given up meanwhile.
    pub(super) async fn turn(&mut self) -> Option<Turn<'_>> {
        if let Some(turn) = &mut self.turn {
            let granted = turn.await.is_ok();
            self.turn = None;
            if !granted {
                return None;
            }
        }
        Some(Turn(self))
    }
}

/// A start's turn. Who gives the start up while it has it may have to wait for the end of a server, and nobody else shall.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Place);

impl Turn<'_> {
    /// Ends it; the start is still under way.
    pub(super) fn pass_on(&self) {
        let Place {
            queue, start_id, ..
        } = self.0;
        if queue.lock().turn.as_deref() == Some(start_id) {
            queue.change(|state| state.pass_on(start_id));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pass_on();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.change(|state| {
            state.leave(&self.start_id);
            state.pass_on(&self.start_id);
        });
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            0 => f.write_str("Waiting for other starts; yours is the next")?,
            1 => f.write_str("1 start before yours")?,
            more => write!(f, "{more} starts before yours")?,
        }
        match self.about.map(|about| about.as_secs()) {
            None => Ok(()),
            Some(..60) => f.write_str("; less than a minute"),
            Some(seconds) => write!(f, "; about {} min", seconds.div_ceil(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn queue() -> (tempfile::TempDir, Queue) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("hub.sqlite").display());
        (folder, Queue::new(Db::open(&url).await.unwrap(), 1))
    }

    async fn has_turn(place: &mut Place) -> bool {
        let turn = tokio::time::timeout(Duration::ZERO, place.turn());
        turn.await.is_ok_and(|turn| turn.is_some())
    }

    #[tokio::test]
    async fn turns_come_one_after_the_other_in_the_order_of_entry() {
        let (_folder, queue) = queue().await;
        let mut places = ["a", "b", "c"].map(|start| queue.enter(start));
        // Written down in another order than they were asked for.
        places[1].written(false);
        assert!(!has_turn(&mut places[1]).await);
        places[0].written(false);
        places[2].written(false);
        for place in &mut places {
            // It ends with the value.
            assert!(has_turn(place).await);
        }
    }

    #[tokio::test]
    async fn one_that_waits_does_not_hold_up_one_that_may_go_on() {
        let (_folder, queue) = queue().await;
        let (mut first, mut second) = (queue.enter("a"), queue.enter("b"));
        first.written(true);
        second.written(false);
        assert!(!has_turn(&mut first).await);
        assert!(has_turn(&mut second).await);
    }

    #[tokio::test]
    async fn a_place_given_up_unheard_passes_its_turn_on() {
        let (_folder, queue) = queue().await;
        let (first, mut second) = (queue.enter("a"), queue.enter("b"));
        first.written(false);
        second.written(false);
        drop(first);
        assert!(has_turn(&mut second).await);
    }

    #[tokio::test]
    async fn a_start_given_up_waits_no_longer() {
        let (_folder, queue) = queue().await;
        let mut place = queue.enter("a");
        place.written(true);
        queue.give_up("a");
        assert!(place.turn().await.is_none());
    }

    #[test]
    fn places_are_told_in_words() {
        let words = |before, about: Option<u64>| {
            let about = about.map(Duration::from_secs);
            Waits { before, about }.to_string()
        };
        let next = "Waiting for other starts; yours is the next";
        assert_eq!(words(0, None), next);
        assert_eq!(words(0, Some(59)), format!("{next}; less than a minute"));
        assert_eq!(words(1, None), "1 start before yours");
        assert_eq!(words(3, Some(61)), "3 starts before yours; about 2 min");
    }
}
