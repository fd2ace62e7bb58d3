//! Sums, copies and gathers over all ranks, and who is lost meanwhile.

use std::time::{Duration, Instant};

use carrel_ranks::{Meeting, Ranks, RanksError, SumOrder};

use crate::harness::meeting_in;
use crate::threads::on_threads;

/// Runs `job` on every rank at once; the results in their order.
fn on_ranks<R: Send>(world: usize, job: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
    on_ranks_that_add(SumOrder::Any, world, job)
}

fn on_ranks_that_add<R: Send>(
    sum_order: SumOrder,
    world: usize,
    job: impl Fn(Ranks) -> R + Sync,
) -> Vec<R> {
    on_threads(world, |environment| {
        let meeting = Meeting {
            sum_order,
            ..meeting_in(environment)
        };
        job(Ranks::connect(&meeting).unwrap())
    })
}

#[test]
fn sums_of_every_size_are_right_and_the_same_on_all_ranks() {
    // Fewer numbers than ranks, no numbers, one block, several blocks with a rest, a ring.
    for world in [1, 2, 3, 4] {
        let results = on_ranks(world, |mut ranks| {
            [0usize, 1, 5, 21_840, 700_001, 4_500_001].map(|len| {
                let mut values: Vec<f32> = (0..len)
                    .map(|at| (ranks.rank() + 1) as f32 / (at + 3) as f32)
                    .collect();
                ranks.all_reduce_sum(&mut values).unwrap();
                let factor = (world * (world + 1) / 2) as f32;
                for (at, value) in values.iter().enumerate() {
                    let expected = factor / (at + 3) as f32;
                    assert!((value - expected).abs() <= 1e-6 * expected, "{at} of {len}");
                }
                values
                    .iter()
                    .map(|value| value.to_bits())
                    .collect::<Vec<_>>()
            })
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}

/// Numbers whose sum depends on the order in which they are added.
fn addend(rank: usize, at: usize) -> f32 {
    let mantissa = ((rank + 1) * 7919 + at * 104_729) % 1000;
    mantissa as f32 * 10f32.powi(((rank * 5 + at) % 7) as i32)
}

#[test]
fn sums_in_the_order_of_the_ranks_are_so_wherever_a_number_stands() {
    for (world, len) in [(2, 1_000_003), (4, 1_000), (4, 100_000), (5, 2_000_003)] {
        let results = on_ranks_that_add(SumOrder::Ranks, world, |mut ranks| {
            let mut values: Vec<f32> = (0..len).map(|at| addend(ranks.rank(), at)).collect();
            ranks.all_reduce_sum(&mut values).unwrap();
            values
        });
        for at in 0..len {
            let expected = (1..world).fold(addend(0, at), |sum, rank| sum + addend(rank, at));
            let found: Vec<f32> = results.iter().map(|values| values[at]).collect();
            assert!(
                found.iter().all(|sum| sum.to_bits() == expected.to_bits()),
                "number {at} of {len}: {found:?} instead of {expected}"
            );
        }
    }
}

#[test]
fn sums_in_any_order_are_the_same_in_every_run() {
    let run = || {
        on_ranks(4, |mut ranks| {
            let mut values: Vec<f32> = (0..4_500_003).map(|at| addend(ranks.rank(), at)).collect();
            ranks.all_reduce_mean(&mut values).unwrap();
            values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let first = run();
    assert!(first.iter().all(|values| *values == first[0]));
    assert!(run() == first);
}

#[test]
fn copies_means_and_gathers() {
    let results = on_ranks(3, |mut ranks| {
        let own = vec![ranks.rank() as u8; ranks.rank() * 100_000];
        let copy = ranks.broadcast(2, &own).unwrap();
        let all = ranks.all_gather(&own).unwrap();
        let mut mean = [ranks.rank() as f32 * 3.0];
        ranks.all_reduce_mean(&mut mean).unwrap();
        ranks.barrier().unwrap();
        (
            copy.len(),
            all.iter().map(Vec::len).collect::<Vec<_>>(),
            all[2][0],
            mean,
        )
    });
    for result in results {
        assert_eq!(result, (200_000, vec![0, 100_000, 200_000], 2, [3.0]));
    }
}

#[test]
fn a_rank_that_leaves_is_named_to_all_at_once() {
    let begun = Instant::now();
    let said = on_ranks(3, |mut ranks| {
        if ranks.rank() == 1 {
            ranks.abort();
            return String::new();
        }
        let error = ranks.all_reduce_sum(&mut vec![0.0; 5_000_000]).unwrap_err();
        assert!(matches!(error, RanksError::Lost { rank: 1, .. }), "{error}");
        error.to_string()
    });
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(
        said[0].contains("rank 1 (127.0.0.1:") && said[0].contains("was lost"),
        "{said:?}"
    );
}

#[test]
fn different_operations_are_told_apart() {
    let said = on_ranks(2, |mut ranks| match ranks.rank() {
        0 => ranks
            .all_reduce_sum(&mut [1.0, 2.0])
            .unwrap_err()
            .to_string(),
        _ => ranks.all_gather(&[7]).unwrap_err().to_string(),
    });
    assert!(
        said.iter().any(|said| said.contains("out of step")),
        "{said:?}"
    );
}
