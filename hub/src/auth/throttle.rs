//! Slows down who guesses passwords: per address, and per address and user name, so that nobody can lock
//! another out of an account from elsewhere.

use std::net::IpAddr;

use super::secret;
use crate::db::{self, Db};

/// Tries that cost nothing: of one name from one address, and failed ones of one address with any names.
const FREE_PER_NAME: i64 = 5;
const FREE_PER_ADDRESS: i64 = 30;
/// Afterwards there is one try in this time.
const PAUSE_MS: i64 = 10_000;

/// Counts a try before its password is looked at, so that many at once count as well. Refused tries return the
/// seconds to wait.
pub async fn admit(db: &Db, address: IpAddr, name: &str) -> db::Result<Option<u64>> {
    let (failures, last) = db.login_tries(&address_key(address)).await?;
    if failures >= FREE_PER_ADDRESS && last + PAUSE_MS > db::now() {
        return Ok(Some(seconds_until(last + PAUSE_MS)));
    }
    let key = name_key(address, name);
    if db.count_login_try(&key, FREE_PER_NAME, PAUSE_MS).await? {
        return Ok(None);
    }
    let (_, last) = db.login_tries(&key).await?;
    Ok(Some(seconds_until(last + PAUSE_MS)))
}

pub async fn failed(db: &Db, address: IpAddr) -> db::Result<()> {
    db.count_login_try(&address_key(address), FREE_PER_ADDRESS, 0)
        .await?;
    Ok(())
}

/// A right password clears its own count; that of the address stays, because a guesser may own an account too.
pub async fn succeeded(db: &Db, address: IpAddr, name: &str) -> db::Result<()> {
    db.forget_login_tries(&name_key(address, name)).await
}

fn address_key(address: IpAddr) -> String {
    format!("address {address}")
}

/// Hashed, so that a name of any length is a short key.
fn name_key(address: IpAddr, name: &str) -> String {
    secret::hash(&format!("{address} {name}"))
}

fn seconds_until(time: i64) -> u64 {
    (time - db::now()).max(1).cast_unsigned().div_ceil(1000)
}
