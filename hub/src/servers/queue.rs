//! The queue of starts: carried out in the order in which they were asked for, and only so many at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

/// Starts of this process, the truth about which is in the database; other replicas have queues of their own.
///
/// One start at a time has its turn: from its first step until the spawner has handed the server over to where it is
/// to run, so that no later start overtakes it there. It gets the turn only while less than
/// `JupyterHub.concurrent_spawn_limit` are under way, and is under way until its server is ready or has failed.
#[derive(Debug, Clone)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    changes: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    waiting: VecDeque<Waiting>,
    /// How many wait before each, counted when somebody asks after a change: all who wait ask for theirs.
    before: Option<HashMap<String, usize>>,
    under_way: HashSet<String>,
    turn: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    start_id: String,
    turn: oneshot::Sender<()>,
}

impl Queue {
    /// `limit` 0 is none.
    pub fn new(limit: u32) -> Self {
        let limit = match usize::try_from(limit) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        let state = State {
            limit,
            waiting: VecDeque::new(),
            before: None,
            under_way: HashSet::new(),
            turn: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changes: Arc::new(watch::Sender::new(())),
        }
    }

    /// The last place.
    pub(super) fn enter(&self, start_id: &str) -> Place {
        let (sender, turn) = oneshot::channel();
        self.change(|state| {
            state.waiting.push_back(Waiting {
                start_id: start_id.to_owned(),
                turn: sender,
            });
            state.advance();
        });
        self.place(start_id, Some(turn))
    }

    /// A place for a start that another Hub began: it waits no more, but counts.
    pub(super) fn adopt(&self, start_id: &str) -> Place {
        self.change(|state| state.under_way.insert(start_id.to_owned()));
        self.place(start_id, None)
    }

    /// How many starts wait before this one; nothing where it does not wait.
    pub fn before(&self, start_id: &str) -> Option<usize> {
        let mut state = self.lock();
        let State {
            waiting, before, ..
        } = &mut *state;
        let before = before.get_or_insert_with(|| {
            let starts = waiting.iter().map(|waiting| waiting.start_id.clone());
            starts.zip(0..).collect()
        });
        before.get(start_id).copied()
    }

    /// Tells of every change of any start's place.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Ends the wait of a start that is no longer wanted.
    pub(super) fn give_up(&self, start_id: &str) {
        self.change(|state| state.leave(start_id));
    }

    fn place(&self, start_id: &str, turn: Option<oneshot::Receiver<()>>) -> Place {
        Place {
            queue: self.clone(),
            start_id: start_id.to_owned(),
            turn,
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        let mut state = self.lock();
        change(&mut state);
        state.before = None;
        drop(state);
        self.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives the turn to the first in the queue, if it can have it.
    fn advance(&mut self) {
        if self.turn.is_some() || self.under_way.len() >= self.limit {
            return;
        }
        if let Some(first) = self.waiting.pop_front() {
            self.under_way.insert(first.start_id.clone());
            self.turn = Some(first.start_id);
            // Where nobody waits for it any more, the place is being given up and passes the turn on.
            let _ = first.turn.send(());
        }
    }

    fn leave(&mut self, start_id: &str) {
        self.waiting.retain(|waiting| waiting.start_id != start_id);
    }

    fn pass_on(&mut self, start_id: &str) {
        if self.turn.as_deref() == Some(start_id) {
            self.turn = None;
            self.advance();
        }
    }
}

/// A start's place in the queue, and among those under way; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    start_id: String,
    turn: Option<oneshot::Receiver<()>>,
}

impl Place {
    /// Waits for the turn; false where the start is given up meanwhile.
    pub(super) async fn turn(&mut self) -> bool {
        let Some(turn) = &mut self.turn else {
            return true;
        };
        let granted = turn.await.is_ok();
        self.turn = None;
        granted
    }

    /// Ends the turn; the start is still under way.
    pub(super) fn pass_on(&self) {
        self.queue.change(|state| state.pass_on(&self.start_id));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.change(|state| {
            state.leave(&self.start_id);
            state.under_way.remove(&self.start_id);
            state.pass_on(&self.start_id);
            // A place under way has become free, whoever has the turn.
            state.advance();
        });
    }
}

/// The place in the queue in words.
pub fn waits(before: usize) -> String {
    match before {
        0 => "Waiting for other starts; yours is the next".to_owned(),
        1 => "1 start before yours".to_owned(),
        more => format!("{more} starts before yours"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn has_turn(place: &mut Place) -> bool {
        let turn = tokio::time::timeout(Duration::ZERO, place.turn());
        turn.await.unwrap_or(false)
    }

    #[tokio::test]
    async fn only_so_many_are_under_way_and_adopted_ones_count() {
        let queue = Queue::new(2);
        let adopted = queue.adopt("adopted");
        let (first, mut second, third) = (queue.enter("a"), queue.enter("b"), queue.enter("c"));
        first.pass_on();
        assert_eq!((queue.before("b"), queue.before("c")), (Some(0), Some(1)));
        assert!(!has_turn(&mut second).await);
        // Who gives up leaves no gap.
        drop(third);
        drop(adopted);
        assert!(has_turn(&mut second).await);
    }

    #[tokio::test]
    async fn a_place_given_up_unheard_passes_its_turn_on() {
        let queue = Queue::new(1);
        let (first, mut second) = (queue.enter("a"), queue.enter("b"));
        drop(first);
        assert!(has_turn(&mut second).await);
    }

    #[tokio::test]
    async fn a_start_given_up_waits_no_longer() {
        let queue = Queue::new(1);
        let (_first, mut second) = (queue.enter("a"), queue.enter("b"));
        queue.give_up("b");
        assert!(!second.turn().await);
        assert_eq!(queue.before("b"), None);
    }

    #[test]
    fn places_are_told_in_words() {
        assert_eq!(waits(0), "Waiting for other starts; yours is the next");
        assert_eq!(waits(1), "1 start before yours");
        assert_eq!(waits(3), "3 starts before yours");
    }

    #[tokio::test]
    async fn turns_come_one_after_the_other_in_the_order_of_entry() {
        let queue = Queue::new(0);
        let mut places = ["a", "b", "c"].map(|start| queue.enter(start));
        for (index, start) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(queue.before(start), None);
            assert!(has_turn(&mut places[index]).await);
            places[index].pass_on();
        }
    }
}
