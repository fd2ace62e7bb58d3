//! Seconds for the sum of BYTES bytes over RANKS processes on this machine: `all_reduce RANKS BYTES ROUNDS [ordered]`,
//! for `make bench`; `ordered` adds in the order of the ranks.

mod start;

use std::time::Instant;

use anyhow::bail;
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
    if start::is_rank(world)? {
        rank(bytes / 4, rounds, sum_order)?;
    }
    Ok(())
}

/// Prints the seconds per sum on rank 0.
fn rank(elements: usize, rounds: usize, sum_order: SumOrder) -> anyhow::Result<()> {
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
    Ok(())
}
