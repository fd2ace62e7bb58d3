//! The exponential, the error function and the hyperbolic tangent without branches, so that a loop over them becomes
//! vectors; within 1.5 units in the last place, the tangent within 3.

/// `e` to the power `x`: 2^n times a polynomial (Cephes' `expf`), n the nearest whole number to x / ln 2.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Added to a number of up to 2^22, it leaves no digits behind the point, and the whole number in the last bits.
    const WHOLE: f32 = 12_582_912.0;
    /// ln 2 in a short and exact part, and the rest.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const POWERS: [f32; 6] = [
        1.987_569_2e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_6e-1,
        0.5,
    ];
    // Comparisons that leave alone what is not a number.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let sum = x * std::f32::consts::LOG2_E + WHOLE;
    let whole = sum - WHOLE;
    let rest = x - whole * LN_2[0] - whole * LN_2[1];
    let mut power = POWERS[0];
    for factor in &POWERS[1..] {
        power = power * rest + factor;
    }
    power = power * rest * rest + rest + 1.0;
    // In two steps, as 2^n alone may be too large or too small for a number.
    let whole = sum.to_bits() as i32 - WHOLE.to_bits() as i32;
    let half = whole >> 1;
    let two_to = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    power * two_to(half) * two_to(whole - half)
}

/// The error function: a polynomial near 0, beyond `1 - exp` of one (after N. Juffa's `erff`).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    const NEAR: [f32; 6] = [
        -5.967_617e-4,
        4.991_194e-3,
        -2.676_813_5e-2,
        1.128_199_2e-1,
        -3.761_253_4e-1,
        1.283_791_7e-1,
    ];
    const FAR: [f32; 7] = [
        -1.728_534_7e-5,
        3.831_971_3e-4,
        -3.883_964_4e-3,
        2.425_462_2e-2,
        -1.067_778_8e-1,
        -6.348_467e-1,
        -1.287_175_1e-1,
    ];
    let (size, square) = (x.abs(), x * x);
    let mut near = NEAR[0];
    for factor in &NEAR[1..] {
        near = near * square + factor;
    }
    near = near * x + x;
    // From 10 on the function is 1, and higher powers would overflow.
    let size = if size > 10.0 { 10.0 } else { size };
    let mut far = FAR[0];
    for factor in &FAR[1..] {
        far = far * size + factor;
    }
    let far = (1.0 - exp(far * size - size)).copysign(x);
    if size > 0.921_875 { far } else { near }
}

/// The hyperbolic tangent: a polynomial near 0 (Cephes' `tanhf`), beyond `1 - 2 / (exp(2 x) + 1)`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    const NEAR: [f32; 5] = [
        -5.704_988_7e-3,
        2.063_909e-2,
        -5.373_971_6e-2,
        1.333_144_2e-1,
        -3.333_328e-1,
    ];
    let (size, square) = (x.abs(), x * x);
    let mut near = NEAR[0];
    for factor in &NEAR[1..] {
        near = near * square + factor;
    }
    let near = near * square * x + x;
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if size > 0.625 { far } else { near }
}

#[cfg(test)]
mod tests {
    use super::{erf, exp, tanh};

    /// The greatest distance from `exact` between two numbers, in units in the last place.
    fn error(from: f32, to: f32, f: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let steps = 400_000;
        let at = |step| from + (to - from) * step as f32 / steps as f32;
        let error = |x: f32| {
            let exact = exact(f64::from(x));
            let size = (exact.abs() as f32).max(f32::MIN_POSITIVE);
            (f64::from(f(x)) - exact).abs() / f64::from(size.next_up() - size)
        };
        (0..=steps).map(at).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn they_are_close_to_those_of_twice_the_digits() {
        assert!(error(-87.0, 88.7, exp, f64::exp) < 1.5);
        assert!(error(-1.0, 1.0, exp, f64::exp) < 1.5);
        let exact = candle_core::cpu::erf::erf_f64;
        assert!(error(-6.0, 6.0, erf, exact) < 1.5);
        assert!(error(-1e-3, 1e-3, erf, exact) < 1.5);
        assert!(error(-9.5, 9.5, tanh, f64::tanh) < 3.0);
        assert!(error(-1e-3, 1e-3, tanh, f64::tanh) < 3.0);
    }

    #[test]
    fn what_is_beyond_them_ends_as_it_should() {
        assert_eq!([-1e9, f32::NEG_INFINITY].map(exp), [0.0; 2]);
        assert_eq!([89.0, 1e9, f32::INFINITY].map(exp), [f32::INFINITY; 3]);
        assert_eq!(exp(-100.0), (-100f64).exp() as f32);
        assert_eq!([10.0, 1e30, f32::INFINITY].map(erf), [1.0; 3]);
        assert_eq!([-10.0, f32::NEG_INFINITY].map(erf), [-1.0; 2]);
        assert_eq!([10.0, 1e30, f32::INFINITY].map(tanh), [1.0; 3]);
        assert_eq!([-10.0, f32::NEG_INFINITY].map(tanh), [-1.0; 2]);
        assert!(exp(f32::NAN).is_nan() && erf(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
    }
}
