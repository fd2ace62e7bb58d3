//! Sums and multiples of numbers in slices.

use std::ops::AddAssign;

/// `values *= factor`.
pub fn scale(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// `to += from`.
#[inline]
pub fn add<T: AddAssign + Copy>(to: &mut [T], from: &[T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += *from;
    }
}
