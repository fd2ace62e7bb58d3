//! Seconds for the sum of BYTES bytes over RANKS processes on this machine: `all_reduce RANKS BYTES ROUNDS [ordered]`,
//! for `make bench`; `ordered` adds in the order of the ranks. The program starts the other ranks itself.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use carrel_training::ranks::{Environment, Meeting, Ranks, SumOrder};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (numbers, sum_order) = match arguments.as_slice() {
        [numbers @ .., last] if last == "ordered" => (numbers, SumOrder::Ranks),
        numbers => (numbers, SumOrder::Any),
    };
    let [world, bytes, rounds] = numbers else {
        bail!("usage: all_reduce RANKS BYTES ROUNDS [ordered]")
    };
    let (bytes, rounds): (usize, usize) = (bytes.parse()?, rounds.parse()?);
    if std::env::var_os("RANK").is_some() {
        return rank(bytes / 4, rounds, sum_order).map(|_| ());
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let others: Vec<_> = (0..world.parse()?)
        .map(|number: usize| {
            Command::new(std::env::current_exe()?)
                .args(&arguments)
                .env("RANK", number.to_string())
                .env("WORLD_SIZE", world)
                .env("MASTER_ADDR", "127.0.0.1")
                .env("MASTER_PORT", port.to_string())
                .stdin(Stdio::null())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    for mut other in others {
        let status = other.wait().context("cannot wait for a rank")?;
        if !status.success() {
            bail!("a rank ended with {status}");
        }
    }
    Ok(())
}

/// Prints the seconds per sum on rank 0.
fn rank(elements: usize, rounds: usize, sum_order: SumOrder) -> anyhow::Result<f64> {
    let mut ranks = Ranks::connect(&Meeting {
        sum_order,
        ..Meeting::new(Environment::from_process()?)
    })?;
    let mut values = vec![1f32; elements];
    for _ in 0..rounds.div_ceil(5) {
        ranks.all_reduce_mean(&mut values)?;
    }
    let begun = Instant::now();
    for _ in 0..rounds {
        ranks.all_reduce_mean(&mut values)?;
    }
    let seconds = begun.elapsed().as_secs_f64() / rounds as f64;
    if ranks.rank() == 0 {
        println!("{seconds}");
    }
    ranks.barrier()?;
    Ok(seconds)
}
