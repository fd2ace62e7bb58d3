//! How much of a service each user may take up at a time, so that none holds what others wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Default)]
struct Taken(Arc<Mutex<HashMap<String, usize>>>);

/// So many of one user at a time.
pub struct Turns {
    most: usize,
    taken: Taken,
}

/// Given back when it is dropped.
pub struct Turn {
    user: String,
    taken: Taken,
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    #[must_use]
    pub fn new(most: usize) -> Self {
        let taken = Taken::default();
        Self { most, taken }
    }

    /// None where the user has as many already.
    #[must_use]
    pub fn take(&self, user: &str) -> Option<Turn> {
        let mut taken = self.taken.lock();
        let count = taken.get(user).copied().unwrap_or_default();
        (count < self.most).then(|| {
            taken.insert(user.to_owned(), count + 1);
            Turn {
                user: user.to_owned(),
                taken: self.taken.clone(),
            }
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        match taken.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;

    #[test]
    fn each_user_has_so_many() {
        let turns = Turns::new(2);
        let taken = [turns.take("ada"), turns.take("ada")];
        assert!(turns.take("ada").is_none() && turns.take("bob").is_some());
        drop(taken);
        assert!(turns.take("ada").is_some() && turns.taken.lock().is_empty());
    }
}
