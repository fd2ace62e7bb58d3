//! The split of work over threads.

use candle_core::utils::barrier_pool;
use carrel_ranks::lock;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

/// Below this many elementary steps a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 16;

/// Cuts `0..items` into one range per thread, or into one where the work is small; none where there are no items.
pub fn shares(items: usize, work_per_item: usize) -> Vec<Range<usize>> {
    shares_among(threads(), items, work_per_item)
}

pub fn threads() -> usize {
    barrier_pool().n_workers() + 1
}

/// The same for some of the threads.
pub fn shares_among(threads: usize, items: usize, work_per_item: usize) -> Vec<Range<usize>> {
    if items == 0 {
        return Vec::new();
    }
    let worth = (items * work_per_item / WORTH_A_THREAD).max(1);
    let size = items.div_ceil(threads.min(items).min(worth));
    (0..items)
        .step_by(size)
        .map(|from| from..(from + size).min(items))
        .collect()
}

/// Cuts `elements`, `width` of them per item, along `shares`.
pub fn split<'a, T>(
    mut elements: &'a mut [T],
    width: usize,
    shares: &[Range<usize>],
) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(shares.len());
    for share in shares {
        let (part, rest) = elements.split_at_mut(share.len() * width);
        parts.push(part);
        elements = rest;
    }
    parts
}

/// Runs `f` on every part at once; the results keep the order of the parts, so that sums over them are repeatable.
/// `f` must not come here again: this thread would wait for itself.
///
/// On candle's own pool, whose threads wait awake for a moment: the next operation mostly follows at once, and waking a
/// processor takes as long as a small operation.
pub fn each<I: Send, R: Send>(parts: Vec<I>, f: impl Fn(I) -> R + Sync + Send) -> Vec<R> {
    if parts.len() <= 1 {
        return parts.into_iter().map(f).collect();
    }
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| Mutex::new((Some(part), None)))
        .collect();
    barrier_pool().execute_chunked(parts.len(), |range| {
        for part in &parts[range] {
            let mut part = lock(part);
            // A panic that passes through the pool poisons its lock: nothing could be computed there again.
            let run = |part| catch_unwind(AssertUnwindSafe(|| f(part)));
            part.1 = part.0.take().map(run);
        }
    });
    let results = parts.iter().filter_map(|part| lock(part).1.take());
    results
        .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
        .collect()
}

/// Fills `elements`, `width` of them per item, on several threads where the work is worth it: `f` gets each item's
/// number and part.
pub fn fill<T: Send>(
    elements: &mut [T],
    width: usize,
    work_per_item: usize,
    f: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let shares = shares(elements.len() / width, work_per_item);
    let parts = split(elements, width, &shares);
    each(shares.into_iter().zip(parts).collect(), |(share, part)| {
        for (item, part) in share.zip(part.chunks_mut(width)) {
            f(item, part);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::each;
    use std::panic::catch_unwind;

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_threads_usable() {
        let halves = |bad: usize| {
            each((0..16).collect(), |part: usize| match part == bad {
                true => panic!("{bad} is bad"),
                false => part / 2,
            })
        };
        for bad in [1, 15] {
            let panic = catch_unwind(|| halves(bad)).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&format!("{bad} is bad")));
        }
        assert_eq!(halves(16), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    }
}
