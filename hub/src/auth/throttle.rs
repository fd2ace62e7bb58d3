//! Slows down who guesses passwords: per address and user name, so that nobody can lock another out of an account
//! from elsewhere, and those who sit behind one address do not pay for one another.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::secret;
use crate::db::{self, Db};

/// Tries of one name from one address that cost nothing, and failed ones of one address with any names.
const FREE_PER_NAME: i64 = 5;
const FREE_PER_ADDRESS: i64 = 30;
/// Those of a name that come after them from an address whose own are used up.
const FREE_WHERE_OTHERS_FAILED: i64 = 1;
/// Afterwards there is one try of a name in this time.
const PAUSE_MS: i64 = 10_000;

/// Addresses that have used up their tries share one turn where passwords are hashed here: their guesses with ever new
/// names leave half of the machine's hashing to the others.
static SUSPECTS: Semaphore = Semaphore::const_new(1);
/// How long one of them waits for the turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Whether a password is looked at.
#[derive(Debug)]
pub enum Admission {
    /// Hold this while it is.
    Admitted(Option<SemaphorePermit<'static>>),
    /// Seconds to wait.
    Refused(u64),
}

/// Counts a try before its password is looked at, so that many at once count as well. `hashed` says that a look costs this
/// machine a hash; what another service takes its time for holds nobody up.
pub async fn admit(db: &Db, address: IpAddr, name: &str, hashed: bool) -> db::Result<Admission> {
    let (failures, _) = db.login_tries(&address_key(address)).await?;
    let suspect = failures >= FREE_PER_ADDRESS;
    let free = if suspect {
        FREE_WHERE_OTHERS_FAILED
    } else {
        FREE_PER_NAME
    };
    let key = name_key(address, name);
    if !db.count_login_try(&key, free, PAUSE_MS).await? {
        let (_, last) = db.login_tries(&key).await?;
        return Ok(Admission::Refused(seconds_until(last + PAUSE_MS)));
    }
    if !suspect || !hashed {
        return Ok(Admission::Admitted(None));
    }
    Ok(match timeout(LONGEST_WAIT, SUSPECTS.acquire()).await {
        // Never closed, so there is a turn.
        Ok(turn) => Admission::Admitted(turn.ok()),
        Err(_) => Admission::Refused(LONGEST_WAIT.as_secs()),
    })
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
    format!("address {}", network(address))
}

/// Hashed, so that a name of any length is a short key.
fn name_key(address: IpAddr, name: &str) -> String {
    secret::hash(&format!("{} {name}", network(address)))
}

/// What one client is known by: with IPv6 that is a network of 2^64 addresses (RFC 4291 2.5.4).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

fn seconds_until(time: i64) -> u64 {
    (time - db::now()).max(1).cast_unsigned().div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_client_are_one() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:a::1"), network("2001:db8:1:2:b::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
