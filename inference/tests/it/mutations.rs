//! Broken copies of good bytes, the same in each run.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// How many seconds one kind of bytes is broken again and again, and how many at least.
const SECONDS: u64 = 2;
const LEAST: u64 = 300;
/// Another number of seconds.
const VARIABLE: &str = "CARREL_TEST_FUZZ_SECONDS";

/// Numbers at which something changes.
const EDGES: [u32; 8] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/// Broken copies of `good`, for two seconds or as many as the variable says, and three hundred at least.
pub fn mutations(good: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let begun = Instant::now();
    let seconds = std::env::var(VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let seeds = (0u64..).take_while(move |seed| *seed < LEAST || begun.elapsed() < time);
    seeds.map(move |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = good.to_vec();
        for _ in 0..random.random_range(1..=4) {
            mutate(&mut bytes, &mut random);
        }
        bytes
    })
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    if bytes.is_empty() {
        return bytes.push(random.random());
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..6) {
        0 => bytes[at] = random.random(),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => bytes.truncate(at),
        3 => {
            let end = random.random_range(at..=bytes.len());
            let part = bytes[at..end].to_vec();
            let to = random.random_range(0..=bytes.len());
            bytes.splice(to..to, part);
        }
        4 => {
            let end = random.random_range(at..=bytes.len().min(at + 8));
            bytes.drain(at..end);
        }
        _ => {
            let edge = EDGES.choose(random).copied().unwrap_or_default();
            let edge = match random.random() {
                true => edge.to_le_bytes(),
                false => edge.to_be_bytes(),
            };
            for (byte, new) in bytes[at..].iter_mut().zip(edge) {
                *byte = new;
            }
        }
    }
}
