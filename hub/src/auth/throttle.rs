//! Slows down who guesses passwords: per address, and per address and user name, so that nobody can lock
//! another out of an account from elsewhere.

use std::net::IpAddr;

use super::secret;
use crate::db::{self, Db};

/// Failures that cost nothing: of one name from one address, and of one address with any names.
const FREE_PER_NAME: i64 = 5;
const FREE_PER_ADDRESS: i64 = 30;
const LONGEST_WAIT_MS: i64 = 60_000;

/// Seconds to wait before the next try; `None` where it may be made now.
pub async fn wait(db: &Db, address: IpAddr, name: &str) -> db::Result<Option<u64>> {
    let mut longest = 0;
    for (key, free) in keys(address, name) {
        let (failures, last) = db.login_failures(&key).await?;
        if failures >= free {
            let wait = LONGEST_WAIT_MS.min(1000 << (failures - free).min(10));
            longest = longest.max(last + wait - db::now());
        }
    }
    Ok((longest > 0).then(|| longest.cast_unsigned().div_ceil(1000)))
}

pub async fn failed(db: &Db, address: IpAddr, name: &str) -> db::Result<()> {
    for (key, _) in keys(address, name) {
        db.login_failed(&key).await?;
    }
    Ok(())
}

/// A right password clears its own count; that of the address stays, because a guesser may own an account too.
pub async fn succeeded(db: &Db, address: IpAddr, name: &str) -> db::Result<()> {
    let [(key, _), _] = keys(address, name);
    db.login_succeeded(&key).await
}

fn keys(address: IpAddr, name: &str) -> [(String, i64); 2] {
    // Hashed, so that a name of any length is a short key.
    [
        (secret::hash(&format!("{address} {name}")), FREE_PER_NAME),
        (format!("address {address}"), FREE_PER_ADDRESS),
    ]
}
