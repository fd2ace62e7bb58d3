#!/usr/bin/env bash
# sqlx 0.9.0: `QueryBuilder<Any>` is for SQLite (and MySQL) alone. `Any` lets one program run on SQLite and PostgreSQL, and
# its connection hands the text of a statement on as it is; the builder, which knows no connection, writes `?` for each
# value that is bound, where that of PostgreSQL writes `$1`. A list with filters that works on SQLite is a syntax error
# at its first request on PostgreSQL, and neither the compiler nor a test on SQLite says so. Statements by hand with `$1`
# work on both. Seen with sqlx 0.9.0 (and PostgreSQL 15, where it is installed):
#
#   QueryBuilder<Postgres>  SELECT COUNT(*) FROM users WHERE name = $1
#   QueryBuilder<Any>       SELECT COUNT(*) FROM users WHERE name = ?
#   $1 by hand              SQLite: 1 row, PostgreSQL: 1 row
#   QueryBuilder<Any>       SQLite: 1 row, PostgreSQL: syntax error
#
# Exits 1 when a release does otherwise. Takes two minutes, which is the build.
set -euo pipefail
folder=$(mktemp -d)
trap 'stop; rm -rf "$folder"' EXIT
stop() { [[ -z ${data:-} ]] || "${as[@]}" pg_ctl -D "$data" -m immediate stop >/dev/null 2>&1 || true; }
cd "$folder"
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
as=()
if command -v initdb >/dev/null; then
  ((EUID != 0)) || as=(runuser -u postgres --)
  mkdir database && ((EUID != 0)) || chown postgres database && chmod 755 "$folder"
  data=$folder/database/data
  "${as[@]}" initdb -D "$data" -A trust -U tester >/dev/null
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "${as[@]}" pg_ctl -D "$data" -l "$folder/database/log" -w start \
    -o "-p $port -k $folder/database -c listen_addresses=127.0.0.1" >/dev/null
  export POSTGRES=postgresql://tester@127.0.0.1:$port/postgres
fi
mkdir -p program/src
cat >program/Cargo.toml <<'TOML'
[package]
name = "placeholders"
version = "0.1.0"
edition = "2024"

[dependencies]
sqlx = { version = "=0.9.0", default-features = false, features = ["any", "postgres", "runtime-tokio", "sqlite"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >program/src/main.rs <<'RUST'
use sqlx::{Any, AnyConnection, Connection, Postgres, QueryBuilder};

const BY_HAND: &str = "SELECT COUNT(*) FROM users WHERE name = $1";

fn built<DB: sqlx::Database>() -> QueryBuilder<DB>
where
    for<'q> String: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    let mut builder = QueryBuilder::new("SELECT COUNT(*) FROM users WHERE name = ");
    builder.push_bind(String::from("ada"));
    builder
}

async fn on(url: &str) -> (i64, Result<i64, String>) {
    let mut connection = AnyConnection::connect(url).await.unwrap();
    for statement in ["CREATE TABLE users (name TEXT NOT NULL)", "INSERT INTO users VALUES ('ada')"] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let by_hand: (i64,) = sqlx::query_as(BY_HAND).bind("ada").fetch_one(&mut connection).await.unwrap();
    let built: Result<(i64,), _> = built::<Any>().build_query_as().fetch_one(&mut connection).await;
    (by_hand.0, built.map(|row| row.0).map_err(|error| error.to_string()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    sqlx::any::install_default_drivers();
    let texts = [built::<Postgres>().sql().as_str().to_owned(), built::<Any>().sql().as_str().to_owned()];
    println!("{texts:#?}");
    assert!(texts[0].ends_with("= $1") && texts[1].ends_with("= ?"));
    let sqlite = on("sqlite::memory:").await;
    println!("SQLite: {sqlite:?}");
    assert_eq!(sqlite, (1, Ok(1)));
    let Ok(url) = std::env::var("POSTGRES") else {
        return println!("PostgreSQL is not installed, and was not tried");
    };
    let postgres = on(&url).await;
    println!("PostgreSQL: {postgres:?}");
    assert!(postgres.0 == 1 && postgres.1.unwrap_err().contains("syntax error"));
}
RUST
env -u CARGO_TARGET_DIR cargo run --quiet --manifest-path program/Cargo.toml
