//! A bound on log lines that strangers cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many lines in each window of time.
pub struct LogLimit {
    lines: u32,
    window: Duration,
    state: Mutex<Option<Window>>,
}

struct Window {
    began: Instant,
    /// Asked for in this window.
    asked: u32,
}

impl LogLimit {
    pub const fn new(lines: u32, window: Duration) -> Self {
        Self {
            lines,
            window,
            state: Mutex::new(None),
        }
    }

    /// Whether there is room for one more line; if so, how many were left out since the last window.
    pub fn admit(&self, now: Instant) -> Option<u32> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = state.as_mut()
            && now.duration_since(window.began) < self.window
        {
            window.asked = window.asked.saturating_add(1);
            return (window.asked <= self.lines).then_some(0);
        }
        let before = state.replace(Window {
            began: now,
            asked: 1,
        });
        Some(before.map_or(0, |before| before.asked.saturating_sub(self.lines)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let limit = LogLimit::new(3, Duration::from_secs(60));
        let begin = Instant::now();
        let admitted: Vec<_> = (0..100).map(|_| limit.admit(begin)).collect();
        assert_eq!(admitted.iter().flatten().collect::<Vec<_>>(), [&0, &0, &0]);
        let later = begin + Duration::from_secs(61);
        assert_eq!(limit.admit(later), Some(97));
        assert_eq!(limit.admit(later), Some(0));
    }
}
