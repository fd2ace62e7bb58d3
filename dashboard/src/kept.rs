//! Answers that are good for a while, so many at most.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Values by key, each for as long as `life`.
pub struct Kept<K, V> {
    life: Duration,
    most: usize,
    values: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Kept<K, V> {
    pub fn new(life: Duration, most: usize) -> Self {
        Self {
            life,
            most,
            values: Mutex::default(),
        }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let values = self.lock();
        let (since, value) = values.get(key)?;
        (since.elapsed() < self.life).then(|| value.clone())
    }

    pub fn put(&self, key: K, value: V) {
        let mut values = self.lock();
        if values.len() >= self.most {
            values.retain(|_, (since, _)| since.elapsed() < self.life);
        }
        if values.len() >= self.most {
            // All are fresh: better none are kept than more than there is room for.
            values.clear();
        }
        values.insert(key, (Instant::now(), value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        // Nothing panics while it is held.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_with_time_and_for_want_of_room() {
        let kept = Kept::new(Duration::from_secs(60), 2);
        kept.put(1, "one");
        kept.put(2, "two");
        assert_eq!((kept.get(&1), kept.get(&2)), (Some("one"), Some("two")));
        kept.put(3, "three");
        assert_eq!((kept.get(&1), kept.get(&3)), (None, Some("three")));
        assert!(kept.lock().len() <= 2);
        let gone = Kept::new(Duration::ZERO, 2);
        gone.put(1, "one");
        assert_eq!(gone.get(&1), None);
    }
}
