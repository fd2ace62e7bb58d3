//! Ranges in portions: a loop over a range looks for an interrupt between them rather than in each round.

use std::any::Any;
use std::ops::Range;
use std::panic::Location;

use crate::interrupt::tick_at;

/// Some microseconds of the quickest loops.
const PORTION: usize = 1 << 14;

/// A range as a sequence of ranges.
pub struct Portions<T>(Range<T>);

/// The portions of a range. Of a type that is no integer there is one.
#[inline]
pub fn portions<T: Copy + PartialOrd + 'static>(range: Range<T>) -> Portions<T>
where
    Range<T>: Iterator<Item = T>,
{
    Portions(range)
}

/// A range that looks for an interrupt between its portions.
pub struct Rounds<T> {
    portion: Range<T>,
    rest: Portions<T>,
    place: &'static Location<'static>,
}

/// The numbers of a range.
#[inline]
#[track_caller]
pub fn rounds<T: Copy + PartialOrd + 'static>(range: Range<T>) -> Rounds<T>
where
    Range<T>: Iterator<Item = T>,
{
    Rounds {
        portion: range.start..range.start,
        rest: portions(range),
        place: Location::caller(),
    }
}

impl<T: Copy + PartialOrd + 'static> Iterator for Rounds<T>
where
    Range<T>: Iterator<Item = T>,
{
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        loop {
            let number = self.portion.next();
            if number.is_some() {
                return number;
            }
            tick_at(self.place);
            self.portion = self.rest.next()?;
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // Rounds that were not begun are a range again.
        (self.portion.start..self.rest.0.end).size_hint()
    }

    #[inline]
    fn fold<A, F: FnMut(A, T) -> A>(self, first: A, mut add: F) -> A {
        let mut all = self.portion.fold(first, &mut add);
        for portion in self.rest {
            tick_at(self.place);
            all = portion.fold(all, &mut add);
        }
        all
    }
}

impl<T: Copy + PartialOrd + 'static> Iterator for Portions<T> {
    type Item = Range<T>;

    #[inline]
    fn next(&mut self) -> Option<Range<T>> {
        let rest = &mut self.0;
        let start = rest.start;
        if !matches!(start.partial_cmp(&rest.end), Some(std::cmp::Ordering::Less)) {
            return None;
        }
        let any: &mut dyn Any = rest;
        macro_rules! advance {
            ($($integer:ty)*) => {
                $(if let Some(rest) = any.downcast_mut::<Range<$integer>>() {
                    let portion = <$integer>::try_from(PORTION).unwrap_or(<$integer>::MAX);
                    rest.start = rest.start.saturating_add(portion).min(rest.end);
                } else)* {
                    rest.start = rest.end;
                }
            };
        }
        advance!(i32 usize u64 u32 i64 u8 i8 u16 i16 isize u128 i128);
        Some(start..self.0.start)
    }
}
