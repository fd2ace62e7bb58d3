//! Ranks as threads, for the tests of this crate and of those above it.

use std::thread;

use carrel_ranks::Environment;

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    carrel_ranks::free_port().unwrap()
}

/// Where a rank finds the others on this machine.
pub fn at_place(rank: usize, world: usize, port: u16) -> Environment {
    Environment {
        rank,
        world,
        host: "localhost".into(),
        port,
        ..Environment::alone()
    }
}

/// Runs all ranks at once, each on a thread; the results in their order.
pub fn on_threads<R: Send>(world: usize, run: impl Fn(Environment) -> R + Sync) -> Vec<R> {
    let port = free_port();
    thread::scope(|scope| {
        let start = |rank| {
            let run = &run;
            scope.spawn(move || run(at_place(rank, world, port)))
        };
        let ranks: Vec<_> = (0..world).map(start).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}
