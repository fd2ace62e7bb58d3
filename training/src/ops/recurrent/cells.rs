//! One step of one sequence: what makes an LSTM and a GRU.

use crate::cpu::{Real, vectorized};
use pulp::{Simd, WithSimd};

/// The kinds of recurrent layers, with PyTorch's order of the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Input, forget, cell and output gate; the states are h and c.
    Lstm,
    /// Reset, update and new gate.
    Gru,
}

impl Cell {
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    pub fn states(self) -> usize {
        match self {
            Self::Lstm => 2,
            Self::Gru => 1,
        }
    }

    pub(super) fn forward<T: Real>(self, step: Forward<T>) {
        match self {
            Self::Lstm => vectorized(Lstm(step)),
            Self::Gru => vectorized(Gru(step)),
        }
    }

    pub(super) fn backward<T: Real>(self, step: Backward<T>) {
        match self {
            Self::Lstm => vectorized(Lstm(step)),
            Self::Gru => vectorized(Gru(step)),
        }
    }
}

/// What a step takes and gives; all gates have one run of elements after the other.
pub(super) struct Forward<'a, T> {
    pub x: &'a [T],
    /// h by the weight.
    pub sums: &'a [T],
    pub bias: &'a [T],
    /// The output of the step before, which becomes that of this one.
    pub h: &'a mut [T],
    /// The other state likewise: c of an LSTM.
    pub more: &'a mut [T],
    pub gates: &'a mut [T],
    /// c of an LSTM; of a GRU what the new gate takes of h.
    pub kept: &'a mut [T],
}

pub(super) struct Backward<'a, T> {
    pub gates: &'a [T],
    pub kept: &'a [T],
    /// The states at the end of the step before.
    pub h: &'a [T],
    pub more: &'a [T],
    /// The gradient of h, which becomes that of the h before as far as it is no part of the sums.
    pub dh: &'a mut [T],
    /// That of the other state, which becomes that of the one before.
    pub dmore: &'a mut [T],
    pub dx: &'a mut [T],
    pub dsums: &'a mut [T],
}

struct Lstm<S>(S);

struct Gru<S>(S);

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    let part = (-x.abs()).power();
    let above = T::one() / (T::one() + part);
    if x < T::zero() { part * above } else { above }
}

impl<T: Real> WithSimd for Lstm<Forward<'_, T>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let step = self.0;
        let width = step.h.len();
        let sum = |gate: usize, at: usize| {
            let at = gate * width + at;
            step.x[at] + (step.sums[at] + step.bias[at])
        };
        for at in 0..width {
            let (input, forget) = (sigmoid(sum(0, at)), sigmoid(sum(1, at)));
            let (cell, output) = (sum(2, at).tangent(), sigmoid(sum(3, at)));
            let c = forget * step.more[at] + input * cell;
            step.more[at] = c;
            step.kept[at] = c;
            step.h[at] = output * c.tangent();
            for (gate, value) in [input, forget, cell, output].into_iter().enumerate() {
                step.gates[gate * width + at] = value;
            }
        }
    }
}

impl<T: Real> WithSimd for Lstm<Backward<'_, T>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let (step, one) = (self.0, T::one());
        let width = step.h.len();
        for at in 0..width {
            let [input, forget, cell, output] =
                std::array::from_fn(|gate| step.gates[gate * width + at]);
            let c = step.kept[at].tangent();
            let dc = step.dmore[at] + step.dh[at] * output * (one - c * c);
            let by = [
                dc * cell * input * (one - input),
                dc * step.more[at] * forget * (one - forget),
                dc * input * (one - cell * cell),
                step.dh[at] * c * output * (one - output),
            ];
            for (gate, by) in by.into_iter().enumerate() {
                step.dx[gate * width + at] = by;
                step.dsums[gate * width + at] = by;
            }
            step.dmore[at] = dc * forget;
            step.dh[at] = T::zero();
        }
    }
}

impl<T: Real> WithSimd for Gru<Forward<'_, T>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let step = self.0;
        let width = step.h.len();
        let of_h = |gate: usize, at: usize| {
            let at = gate * width + at;
            step.sums[at] + step.bias[at]
        };
        for at in 0..width {
            let reset = sigmoid(step.x[at] + of_h(0, at));
            let update = sigmoid(step.x[width + at] + of_h(1, at));
            let kept = of_h(2, at);
            let new = (step.x[2 * width + at] + reset * kept).tangent();
            step.kept[at] = kept;
            step.h[at] = (T::one() - update) * new + update * step.h[at];
            for (gate, value) in [reset, update, new].into_iter().enumerate() {
                step.gates[gate * width + at] = value;
            }
        }
    }
}

impl<T: Real> WithSimd for Gru<Backward<'_, T>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let (step, one) = (self.0, T::one());
        let width = step.h.len();
        for at in 0..width {
            let [reset, update, new] = std::array::from_fn(|gate| step.gates[gate * width + at]);
            let dh = step.dh[at];
            let of_new = dh * (one - update) * (one - new * new);
            let of_reset = of_new * step.kept[at] * reset * (one - reset);
            let of_update = dh * (step.h[at] - new) * update * (one - update);
            let by = [
                (of_reset, of_reset),
                (of_update, of_update),
                (of_new, of_new * reset),
            ];
            for (gate, (dx, dsum)) in by.into_iter().enumerate() {
                step.dx[gate * width + at] = dx;
                step.dsums[gate * width + at] = dsum;
            }
            step.dh[at] = dh * update;
        }
    }
}
