//! Recurrent layers as one operation: a whole sequence forward, and back through it.

mod cells;

use super::{ours, portable};
use crate::cpu::{
    Matrix, Real, add, by_dtype, dtype, each, multiply, shares, slice, split, sum, with,
};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, WithDType, bail};
use carrel_ranks::lock;
use std::ops::Range;
use std::sync::Mutex;

pub use cells::Cell;

/// The outputs (n, l, h) of a recurrent layer, and its last state (n, states, h).
///
/// `x` (n, l, gates h) is the input by its weights, with its bias; `weight` (gates h, h) and `bias` (gates h) are those of
/// the output of the step before; `state` (n, states, h) is what it begins with. The gates have PyTorch's order.
///
/// # Errors
/// When the shapes do not fit, or the sequence is empty.
pub fn recurrent(
    cell: Cell,
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    state: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (&[n, length, all], &[_, width]) = (x.dims(), weight.dims()) else {
        bail!(
            "{}: expected x (n, l, gates h) and a weight of (gates h, h), got {:?} and {:?}",
            cell.name(),
            x.shape(),
            weight.shape()
        )
    };
    let fits = all == cell.gates() * width
        && weight.dims() == [all, width]
        && bias.dims() == [all]
        && state.dims() == [n, cell.states(), width];
    if !fits || n == 0 || length == 0 || width == 0 {
        bail!(
            "{}: weight {:?}, bias {:?} and state {:?} do not fit x {:?}",
            cell.name(),
            weight.shape(),
            bias.shape(),
            state.shape(),
            x.shape()
        )
    }
    if !ours(&[x, weight, bias, state]) {
        return portable::recurrent(cell, x, (weight, bias), state);
    }
    // With the bias as one more column: an operation takes three tensors.
    let weight = Tensor::cat(&[weight, &bias.unsqueeze(1)?], 1)?.contiguous()?;
    let op = Recurrent {
        cell,
        sizes: Sizes { n, length, width },
        kept: Mutex::default(),
    };
    let y = x
        .contiguous()?
        .apply_op3(&weight, &state.contiguous()?, op)?;
    let last = y.narrow(1, length - 1, cell.states())?;
    Ok((y.narrow(1, 0, length)?, last))
}

#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    length: usize,
    width: usize,
}

/// Gives the outputs, and after the last of each sequence the other states.
struct Recurrent {
    cell: Cell,
    sizes: Sizes,
    /// The gates (n, l, gates h) and what else the cell keeps of each step (n, l, h), from the forward pass.
    kept: Mutex<Option<[Tensor; 2]>>,
}

/// What belongs to some sequences, one after the other.
struct Share<'a, T> {
    range: Range<usize>,
    /// Outputs or their gradients, the gates and what else is kept.
    y: &'a mut [T],
    gates: &'a mut [T],
    more: &'a mut [T],
}

impl Recurrent {
    /// Rows of a sequence's outputs.
    fn rows(&self) -> usize {
        self.sizes.length + self.cell.states() - 1
    }

    /// Elementary steps of a sequence: what decides over threads.
    fn work(&self) -> usize {
        let Sizes { length, width, .. } = self.sizes;
        length * self.cell.gates() * width * width
    }

    /// The outputs, the gates and what else is kept.
    fn forward<T: Real>(&self, x: &[T], weight: &[T], state: &[T]) -> [Vec<T>; 3] {
        let Sizes { n, length, width } = self.sizes;
        let lens = [self.rows(), length * self.cell.gates(), length].map(|rows| rows * width);
        let [mut y, mut gates, mut more] = lens.map(|len| vec![T::zero(); n * len]);
        let shares = shares(n, self.work());
        let parts = split(&mut y, lens[0], &shares).into_iter();
        let parts = parts.zip(split(&mut gates, lens[1], &shares));
        let parts = parts.zip(split(&mut more, lens[2], &shares));
        let parts = shares.iter().cloned().zip(parts);
        let parts = parts.map(|(range, ((y, gates), more))| Share {
            range,
            y,
            gates,
            more,
        });
        each(parts.collect(), |share| {
            self.forward_some(share, x, weight, state);
        });
        [y, gates, more]
    }

    fn forward_some<T: Real>(&self, share: Share<T>, x: &[T], weight: &[T], state: &[T]) {
        let Sizes { length, width, .. } = self.sizes;
        let (all, states) = (self.cell.gates() * width, self.cell.states());
        let count = share.range.len();
        let bias: Vec<T> = weight
            .iter()
            .skip(width)
            .step_by(width + 1)
            .copied()
            .collect();
        let mut h = vec![T::zero(); count * width];
        let mut sums = vec![T::zero(); count * all];
        // The states at the end of the step before.
        let mut last =
            state[share.range.start * states * width..share.range.end * states * width].to_vec();
        for step in 0..length {
            for (h, last) in h.chunks_mut(width).zip(last.chunks(states * width)) {
                h.copy_from_slice(&last[..width]);
            }
            let by = Matrix::transposed(weight, width + 1);
            multiply(
                [count, width, all],
                Matrix::rows(&h, width),
                by,
                false,
                &mut sums,
            );
            for (at, last) in last.chunks_mut(states * width).enumerate() {
                let place = at * length + step;
                let from = share.range.start * length + place;
                let (h, more) = last.split_at_mut(width);
                self.cell.forward(cells::Forward {
                    x: &x[from * all..][..all],
                    sums: &sums[at * all..][..all],
                    bias: &bias,
                    h,
                    more,
                    gates: &mut share.gates[place * all..][..all],
                    kept: &mut share.more[place * width..][..width],
                });
                share.y[(at * self.rows() + step) * width..][..width].copy_from_slice(h);
            }
        }
        for (y, last) in share
            .y
            .chunks_mut(self.rows() * width)
            .zip(last.chunks(states * width))
        {
            y[length * width..].copy_from_slice(&last[width..]);
        }
    }

    /// The gradients of x, of the weight with its bias, and of the first state.
    fn backward<T: Real>(
        &self,
        (weight, state): (&[T], &[T]),
        (y, dy): (&[T], &[T]),
        [gates, kept]: [&[T]; 2],
    ) -> [Vec<T>; 3] {
        let Sizes { n, length, width } = self.sizes;
        let (all, states) = (self.cell.gates() * width, self.cell.states());
        let mut dx = vec![T::zero(); n * length * all];
        let mut dstate = vec![T::zero(); n * states * width];
        let shares = shares(n, 2 * self.work());
        let parts = split(&mut dx, length * all, &shares).into_iter();
        let parts = parts.zip(split(&mut dstate, states * width, &shares));
        let parts = shares.iter().cloned().zip(parts).collect();
        let steps = each(parts, |(share, (dx, dstate)): (Range<usize>, _)| {
            let back = Back {
                of: self,
                weight,
                state: part(state, &share, states * width),
                y: part(y, &share, self.rows() * width),
                dy: part(dy, &share, self.rows() * width),
                gates: part(gates, &share, length * all),
                kept: part(kept, &share, length * width),
            };
            back.run(dx, dstate)
        });
        [dx, sum(steps, all * (width + 1)), dstate]
    }
}

/// What some sequences have of a slice.
fn part<'a, T>(slice: &'a [T], share: &Range<usize>, len: usize) -> &'a [T] {
    &slice[share.start * len..share.end * len]
}

/// The way back through some sequences.
struct Back<'a, T> {
    of: &'a Recurrent,
    weight: &'a [T],
    state: &'a [T],
    y: &'a [T],
    dy: &'a [T],
    gates: &'a [T],
    kept: &'a [T],
}

impl<T: Real> Back<'_, T> {
    /// Fills the gradients of x and of the first states; gives back that of the weight with its bias.
    fn run(&self, dx: &mut [T], dstate: &mut [T]) -> Vec<T> {
        let Sizes { length, width, .. } = self.of.sizes;
        let (all, states) = (self.of.cell.gates() * width, self.of.cell.states());
        let count = dstate.len() / (states * width);
        let rows = self.of.rows();
        // The gradients of the sums by the weight, which a cell may change before it adds them to x.
        let mut dsums = vec![T::zero(); count * length * all];
        let mut dh = vec![T::zero(); count * width];
        let mut of_step = vec![T::zero(); count * all];
        for (dstate, dy) in dstate
            .chunks_mut(states * width)
            .zip(self.dy.chunks(rows * width))
        {
            dstate[width..].copy_from_slice(&dy[length * width..]);
        }
        for step in (0..length).rev() {
            for (at, dstate) in dstate.chunks_mut(states * width).enumerate() {
                let place = at * length + step;
                let (_, dmore) = dstate.split_at_mut(width);
                let dh = &mut dh[at * width..][..width];
                add(dh, &self.dy[(at * rows + step) * width..][..width]);
                let dsums = &mut dsums[place * all..][..all];
                self.of.cell.backward(cells::Backward {
                    gates: &self.gates[place * all..][..all],
                    kept: &self.kept[place * width..][..width],
                    h: self.before(at, step, 0),
                    more: self.before(at, step, 1),
                    dh,
                    dmore,
                    dx: &mut dx[place * all..][..all],
                    dsums,
                });
                of_step[at * all..][..all].copy_from_slice(dsums);
            }
            let by = Matrix::rows(self.weight, width + 1);
            multiply(
                [count, all, width],
                Matrix::rows(&of_step, all),
                by,
                true,
                &mut dh,
            );
        }
        for (dstate, dh) in dstate.chunks_mut(states * width).zip(dh.chunks(width)) {
            dstate[..width].copy_from_slice(dh);
        }
        self.of_weight(&dsums)
    }
    /// The state at the end of the step before: the output, or what else the cell keeps.
    fn before(&self, at: usize, step: usize, state: usize) -> &[T] {
        let (Sizes { length, width, .. }, states) = (self.of.sizes, self.of.cell.states());
        let (from, row) = match (step, state) {
            _ if state >= states => return &[],
            (0, _) => (self.state, at * states + state),
            (_, 0) => (self.y, at * self.of.rows() + step - 1),
            _ => (self.kept, at * length + step - 1),
        };
        &from[row * width..][..width]
    }

    /// The gradient of the weight with its bias, by those of the sums.
    fn of_weight(&self, dsums: &[T]) -> Vec<T> {
        let Sizes { length, width, .. } = self.of.sizes;
        let all = self.of.cell.gates() * width;
        let (mut dweight, mut dbias) = (vec![T::zero(); all * width], vec![T::zero(); all]);
        for (at, dsums) in dsums.chunks(length * all).enumerate() {
            dsums.chunks(all).for_each(|row| add(&mut dbias, row));
            let h = Matrix::rows(self.before(at, 0, 0), width);
            let by = Matrix::transposed(&dsums[..all], all);
            multiply([all, 1, width], by, h, true, &mut dweight);
            if length > 1 {
                let h = Matrix::rows(&self.y[at * self.of.rows() * width..], width);
                let by = Matrix::transposed(&dsums[all..], all);
                multiply([all, length - 1, width], by, h, true, &mut dweight);
            }
        }
        let rows = dweight.chunks(width).zip(dbias);
        let row = |(row, bias): (&[T], T)| row.iter().copied().chain([bias]).collect::<Vec<_>>();
        rows.flat_map(row).collect()
    }
}

impl CustomOp3 for Recurrent {
    fn name(&self) -> &'static str {
        self.cell.name()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        state: &CpuStorage,
        state_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Sizes { n, length, width } = self.sizes;
        let y = by_dtype!(dtype(x), T => {
            let (x, weight) = (slice::<T>(x, x_layout)?, slice::<T>(weight, weight_layout)?);
            let [y, gates, more] = self.forward(x, weight, slice::<T>(state, state_layout)?);
            let gates = Tensor::from_vec(gates, (n, length, self.cell.gates() * width), &Device::Cpu)?;
            let more = Tensor::from_vec(more, (n, length, width), &Device::Cpu)?;
            *lock(&self.kept) = Some([gates, more]);
            WithDType::to_cpu_storage_owned(y)
        });
        Ok((y, Shape::from((n, self.rows(), width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        state: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let kept = lock(&self.kept);
        let Some([gates, more]) = &*kept else {
            bail!(
                "{}: a backward pass without a forward pass",
                self.cell.name()
            )
        };
        by_dtype!(x.dtype(), T => {
            let [dx, dweight, dstate] = with::<T, _>(weight, |weight| with(state, |state| {
                with(y, |y| with(dy, |dy| with(gates, |gates| with(more, |more| {
                    Ok(self.backward((weight, state), (y, dy), [gates, more]))
                }))))
            }))?;
            Ok((
                Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                Some(Tensor::from_vec(dweight, weight.shape(), x.device())?),
                Some(Tensor::from_vec(dstate, state.shape(), x.device())?),
            ))
        })
    }
}
