//! Who is logged in: kept in memory, so many and so long at most. A cookie holds no more than a random number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use carrel_service::User;

use crate::secret::{self, Secret};

/// Sessions of all users.
const MOST: usize = 10_000;
/// Sessions of one user; the oldest goes.
const MOST_OF_ONE: usize = 20;

#[derive(Debug, Clone)]
pub struct Session {
    pub user: Arc<User>,
    /// For the Hub's API; no page and no log shows it.
    pub token: Secret,
    /// Comes with every form.
    pub xsrf: String,
    begun: Instant,
    /// When the Hub told who it is.
    pub asked: Instant,
}

pub struct Sessions {
    life: Duration,
    /// By the hash of the cookie.
    all: Mutex<HashMap<String, Session>>,
}

impl Sessions {
    pub fn new(life: Duration) -> Self {
        Self {
            life,
            all: Mutex::default(),
        }
    }

    pub fn life(&self) -> Duration {
        self.life
    }

    /// Begins one; returns what the cookie holds.
    pub fn begin(&self, user: User, token: Secret) -> String {
        let cookie = secret::generate();
        let mut all = self.lock();
        if all.len() >= MOST {
            all.retain(|_, session| session.begun.elapsed() < self.life);
        }
        let of_user = all.values().filter(|one| one.user.name == user.name);
        if of_user.count() >= MOST_OF_ONE {
            drop_oldest(&mut all, |session| session.user.name == user.name);
        }
        if all.len() >= MOST {
            drop_oldest(&mut all, |_| true);
        }
        let session = Session {
            user: Arc::new(user),
            token,
            xsrf: secret::generate(),
            begun: Instant::now(),
            asked: Instant::now(),
        };
        all.insert(secret::hash(&cookie), session);
        cookie
    }

    pub fn find(&self, cookie: &str) -> Option<Session> {
        let session = self.lock().get(&secret::hash(cookie))?.clone();
        (session.begun.elapsed() < self.life).then_some(session)
    }

    /// The Hub has told anew who it is.
    pub fn renew(&self, cookie: &str, user: Arc<User>) {
        if let Some(session) = self.lock().get_mut(&secret::hash(cookie)) {
            session.user = user;
            session.asked = Instant::now();
        }
    }

    pub fn end(&self, cookie: &str) {
        self.lock().remove(&secret::hash(cookie));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        // Nothing panics while it is held.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_oldest(all: &mut HashMap<String, Session>, of: impl Fn(&Session) -> bool) {
    let found = all.iter().filter(|(_, session)| of(session));
    let oldest = found.min_by_key(|(_, session)| session.begun);
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        all.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User {
            name: name.to_owned(),
            ..User::default()
        }
    }

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let cookie = sessions.begin(user("ada"), Secret("token".to_owned()));
        assert_eq!(sessions.find(&cookie).unwrap().user.name, "ada");
        assert!(sessions.find("another").is_none());
        assert!(!format!("{:?}", sessions.find(&cookie)).contains("token\""));
        sessions.end(&cookie);
        assert!(sessions.find(&cookie).is_none());
        let short = Sessions::new(Duration::ZERO);
        let cookie = short.begin(user("ada"), Secret("token".to_owned()));
        assert!(short.find(&cookie).is_none());
    }

    #[test]
    fn one_user_drives_out_nobody_else() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let bob = sessions.begin(user("bob"), Secret("b".to_owned()));
        let first = sessions.begin(user("ada"), Secret("a".to_owned()));
        for _ in 0..MOST_OF_ONE {
            sessions.begin(user("ada"), Secret("a".to_owned()));
        }
        assert!(sessions.find(&first).is_none());
        assert!(sessions.find(&bob).is_some());
        assert_eq!(sessions.lock().len(), MOST_OF_ONE + 1);
    }
}
