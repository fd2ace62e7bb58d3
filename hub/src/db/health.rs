//! Whether the database answers, and whether others can read along.

use std::time::Duration;

use url::{Host, Url};

use super::{Db, Result};

/// Longer than a busy database takes, shorter than a probe waits.
const PATIENCE: Duration = Duration::from_secs(2);

impl Db {
    pub async fn answers(&self) -> bool {
        let asked = sqlx::query("SELECT 1").execute(&self.pool);
        matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(_)))
    }

    /// Whether what is said to the database, passwords of users among it as hashes, goes over a network as plain text.
    pub async fn is_read_along(&self, url: &str) -> Result<bool> {
        if self.sqlite || !leaves_this_machine(url) {
            return Ok(false);
        }
        let select =
            "SELECT CASE WHEN ssl THEN 1 ELSE 0 END FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let encrypted: Option<(i32,)> = sqlx::query_as(select).fetch_optional(&self.pool).await?;
        Ok(encrypted.is_none_or(|(encrypted,)| encrypted == 0))
    }
}

fn leaves_this_machine(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return true;
    };
    // A socket is named by `?host=/folder` (libpq, 34.1.1).
    let asked = url.query_pairs().find(|(key, _)| key == "host");
    let host = match &asked {
        Some((_, host)) if host.starts_with('/') => return false,
        Some((_, host)) => host.to_string(),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    match Host::parse(&host) {
        Ok(Host::Ipv4(address)) => !address.is_loopback(),
        Ok(Host::Ipv6(address)) => !address.is_loopback(),
        Ok(Host::Domain(name)) => name != "localhost",
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_and_the_loopback_stay_on_this_machine() {
        for (url, leaves) in [
            ("postgresql://hub@localhost/hub", false),
            ("postgresql://127.0.0.1:5433/hub", false),
            ("postgres://[::1]/hub", false),
            ("postgresql://localhost/hub?host=/run/postgresql", false),
            ("postgresql://db.example.org/hub", true),
            ("postgresql://localhost.example.org/hub", true),
            ("postgresql://10.0.0.5/hub", true),
            ("postgresql://localhost/hub?host=db.example.org", true),
        ] {
            assert_eq!(leaves_this_machine(url), leaves, "{url}");
        }
    }
}
