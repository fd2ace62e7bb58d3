//! What a rank printed, which a cell shows as it is.

use std::fmt;
use std::ops::Deref;

/// The text that a rank printed; a `str` in all else.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Log(String);

impl Deref for Log {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Not quoted: a value is shown by it.
impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<Vec<u8>> for Log {
    fn from(bytes: Vec<u8>) -> Self {
        Self(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl From<Log> for String {
    fn from(log: Log) -> Self {
        log.0
    }
}

impl PartialEq<str> for Log {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Log {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}
