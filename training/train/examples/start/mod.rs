//! What examples of several ranks share: the program starts itself once for each rank.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use carrel_training::ranks::free_port;

/// Whether this process is to be a rank; else it has started all of them, and they have ended.
pub fn is_rank(world: &str) -> anyhow::Result<bool> {
    if std::env::var_os("RANK").is_some() {
        return Ok(true);
    }
    let port = free_port()?;
    let ranks: Vec<_> = (0..world.parse()?)
        .map(|number: usize| {
            Command::new(std::env::current_exe()?)
                .args(std::env::args_os().skip(1))
                .env("RANK", number.to_string())
                .env("WORLD_SIZE", world)
                .env("MASTER_ADDR", "127.0.0.1")
                .env("MASTER_PORT", port.to_string())
                .stdin(Stdio::null())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    for mut rank in ranks {
        let status = rank.wait().context("cannot wait for a rank")?;
        if !status.success() {
            bail!("a rank ended with {status}");
        }
    }
    Ok(false)
}
