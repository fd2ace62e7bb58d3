//! Attention as one operation, block by block (Dao et al., "FlashAttention", 2022): the weights of all places for all
//! places, which grow with the square of the length, are never held at once, and the backward pass makes them anew.

mod head;

use super::{ours, portable};
use crate::cpu::{Matrix, Real, by_dtype, dtype, each, shares, slice, split, with};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail,
};
use carrel_ranks::lock;
use head::{Given, Head};
use std::sync::Mutex;

/// `softmax(q k^T / sqrt(d)) v` for `q` (.., l, d), `k` (.., s, d) and `v` (.., s, e): (.., l, e). Where it is causal, place
/// i of `q` sees the first i + 1 places of `k`.
///
/// # Errors
/// When the shapes do not fit.
pub fn scaled_dot_product_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    causal: bool,
) -> Result<Tensor> {
    let [before @ .., queries, _] = q.dims() else {
        bail!("attention: expected q (.., l, d), got {:?}", q.shape())
    };
    if !k.dims().starts_with(before)
        || !v.dims().starts_with(before)
        || [k.rank(), v.rank()] != [q.rank(); 2]
    {
        bail!(
            "attention: k {:?} and v {:?} do not fit q {:?}",
            k.shape(),
            v.shape(),
            q.shape()
        )
    }
    let flat = |x: &Tensor| {
        let (rows, width) = (x.dim(x.rank() - 2)?, x.dim(x.rank() - 1)?);
        x.reshape((before.iter().product::<usize>(), rows, width))
    };
    let y = attention(&flat(q)?, &flat(k)?, &flat(v)?, 1, causal)?;
    let shape = [before, &[*queries, y.dim(2)?]].concat();
    y.reshape(shape)
}

/// The same for `heads` heads side by side: `q` (n, l, heads d), `k` (n, s, heads d), `v` (n, s, heads e) to
/// (n, l, heads e).
///
/// # Errors
/// When the shapes do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
    let (&[n, queries, width], &[_, keys, value]) = (q.dims(), v.dims()) else {
        bail!(
            "attention: expected q (n, l, d) and v (n, s, e), got {:?} and {:?}",
            q.shape(),
            v.shape()
        )
    };
    if k.dims() != [n, keys, width] || v.dim(0)? != n || keys == 0 {
        bail!(
            "attention: k {:?} and v {:?} do not fit q {:?}",
            k.shape(),
            v.shape(),
            q.shape()
        )
    }
    check_heads(heads, &[width, value])?;
    if !ours(&[q, k, v]) {
        return portable::attention(q, k, v, heads, causal);
    }
    let head = Head {
        queries,
        keys,
        width: width / heads,
        value: value / heads,
        causal,
    };
    let op = Attention::new(head, n, heads, false);
    q.contiguous()?
        .apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

/// [`attention()`] of `qkv` (n, l, 3 width), in which q, k and v lie one after the other: (n, l, width).
///
/// # Errors
/// When the heads do not divide the width.
pub fn self_attention(qkv: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
    let &[n, length, all] = qkv.dims() else {
        bail!(
            "attention: expected q, k and v as (n, l, 3 d), got {:?}",
            qkv.shape()
        )
    };
    let width = all / 3;
    check_heads(heads, &[width])?;
    if all != 3 * width || length == 0 {
        bail!("attention: no q, k and v in {:?}", qkv.shape())
    }
    if !ours(&[qkv]) {
        let part = |at| qkv.narrow(2, at * width, width);
        return portable::attention(&part(0)?, &part(1)?, &part(2)?, heads, causal);
    }
    let head = Head {
        queries: length,
        keys: length,
        width: width / heads,
        value: width / heads,
        causal,
    };
    qkv.contiguous()?
        .apply_op1(Attention::new(head, n, heads, true))
}

fn check_heads(heads: usize, widths: &[usize]) -> Result<()> {
    let fits = |width: &usize| *width > 0 && heads > 0 && width.is_multiple_of(heads);
    if !widths.iter().all(fits) {
        bail!("attention: {heads} heads do not divide the widths {widths:?}")
    }
    Ok(())
}

struct Attention {
    head: Head,
    items: usize,
    heads: usize,
    /// q, k and v lie in one tensor.
    packed: bool,
    /// The greatest score and the sum of the exponentials of each row of each head, from the forward pass.
    scales: Mutex<Vec<f64>>,
}

/// A tensor (items, rows, columns), of which each head has some columns.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    elements: &'a [T],
    rows: usize,
    /// From one row to the next.
    pitch: usize,
    /// Where those of the first head begin.
    first: usize,
    /// Of one head.
    width: usize,
}

impl<'a, T> Columns<'a, T> {
    fn of(&self, item: usize, head: usize) -> Matrix<'a, T> {
        let from = item * self.rows * self.pitch + self.first + head * self.width;
        // Where there are no elements at all, nothing reads them.
        Matrix::rows(&self.elements[from.min(self.elements.len())..], self.pitch)
    }
}

/// The rows of each head of each item, in a tensor (items, rows, heads width).
fn rows_of_heads<T>(
    elements: &mut [T],
    rows: usize,
    heads: usize,
    width: usize,
) -> Vec<Vec<&mut [T]>> {
    let count = elements.len() / (rows * heads * width).max(1) * heads;
    let mut of: Vec<Vec<&mut [T]>> = (0..count).map(|_| Vec::with_capacity(rows)).collect();
    for (at, run) in elements.chunks_mut(width).enumerate() {
        of[at / (rows * heads) * heads + at % heads].push(run);
    }
    of
}

impl Attention {
    fn new(head: Head, items: usize, heads: usize, packed: bool) -> Self {
        Self {
            head,
            items,
            heads,
            packed,
            scales: Mutex::default(),
        }
    }

    /// Where q, k and v lie in the tensors given.
    fn columns<'a, T>(&self, q: &'a [T], k: &'a [T], v: &'a [T]) -> [Columns<'a, T>; 3] {
        let Head {
            queries,
            keys,
            width,
            value,
            ..
        } = self.head;
        let of = [(q, queries, width), (k, keys, width), (v, keys, value)];
        let mut at = 0;
        of.map(|(elements, rows, width)| {
            let all = self.heads * width;
            let columns = Columns {
                elements,
                rows,
                pitch: if self.packed { 3 * all } else { all },
                first: if self.packed { at * all } else { 0 },
                width,
            };
            at += 1;
            columns
        })
    }

    fn forward<T: Real>(&self, q: &[T], k: &[T], v: &[T]) -> Vec<T> {
        let Head { queries, value, .. } = self.head;
        let [q, k, v] = self.columns(q, k, v);
        let mut y = vec![T::zero(); self.items * queries * self.heads * value];
        let mut rows = rows_of_heads(&mut y, queries, self.heads, value);
        let shares = shares(rows.len(), self.head.work());
        let parts = split(&mut rows, 1, &shares);
        let scales = each(shares.into_iter().zip(parts).collect(), |(share, rows)| {
            let of = |(at, rows): (usize, &mut Vec<&mut [T]>)| {
                let (item, head) = (at / self.heads, at % self.heads);
                let of_head = [q, k, v].map(|columns| columns.of(item, head));
                self.head.forward(of_head, rows)
            };
            share.zip(rows).flat_map(of).collect::<Vec<_>>()
        });
        *lock(&self.scales) = scales.concat();
        y
    }

    /// Of each head of each item the rows of q, k and v, or of these in the one tensor that all lie in.
    fn rows_of_gradients<'a, T>(&self, [q, k, v]: [&'a mut [T]; 3]) -> Vec<[Vec<&'a mut [T]>; 3]> {
        let (
            Head {
                queries,
                keys,
                width,
                value,
                ..
            },
            heads,
        ) = (self.head, self.heads);
        if !self.packed {
            let parts = [
                rows_of_heads(q, queries, heads, width),
                rows_of_heads(k, keys, heads, width),
                rows_of_heads(v, keys, heads, value),
            ];
            return zipped(parts).collect();
        }
        let mut all = rows_of_heads(q, queries, 3 * heads, width).into_iter();
        let mut of = Vec::new();
        // Those of q, then those of k and of v, of one item.
        while all.len() > 0 {
            let parts = [(); 3].map(|()| all.by_ref().take(heads).collect::<Vec<_>>());
            of.extend(zipped(parts));
        }
        of
    }

    /// The gradients of q, k and v, or of the tensor that all lie in.
    fn backward<T: Real>(&self, q: &[T], k: &[T], v: &[T], (y, dy): (&[T], &[T])) -> [Vec<T>; 3] {
        let (Head { queries, value, .. }, heads) = (self.head, self.heads);
        let scales = lock(&self.scales);
        let [y, dy] = [y, dy].map(|elements| Columns {
            elements,
            rows: queries,
            pitch: heads * value,
            first: 0,
            width: value,
        });
        let lens = match self.packed {
            true => [q.len(), 0, 0],
            false => [q.len(), k.len(), v.len()],
        };
        let [q, k, v] = self.columns(q, k, v);
        let [mut dq, mut dk, mut dv] = lens.map(|len| vec![T::zero(); len]);
        let mut rows = self.rows_of_gradients([&mut dq, &mut dk, &mut dv]);
        let shares = shares(rows.len(), 3 * self.head.work());
        let parts = split(&mut rows, 1, &shares);
        each(shares.into_iter().zip(parts).collect(), |(share, rows)| {
            for (at, rows) in share.zip(rows) {
                let (item, head) = (at / heads, at % heads);
                let given = Given {
                    of: [q, k, v].map(|columns| columns.of(item, head)),
                    y: y.of(item, head),
                    dy: dy.of(item, head),
                    scales: &scales[at * 2 * queries..][..2 * queries],
                };
                self.head.backward(given, rows);
            }
        });
        drop(rows);
        [dq, dk, dv]
    }
}

fn zipped<T>([a, b, c]: [Vec<T>; 3]) -> impl Iterator<Item = [T; 3]> {
    let pairs = a.into_iter().zip(b).zip(c);
    pairs.map(|((a, b), c)| [a, b, c])
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, length, all) = layout.shape().dims3()?;
        let y = by_dtype!(dtype(qkv), T => {
            let qkv = slice::<T>(qkv, layout)?;
            WithDType::to_cpu_storage_owned(self.forward(qkv, qkv, qkv))
        });
        Ok((y, Shape::from((n, length, all / 3))))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        by_dtype!(qkv.dtype(), T => {
            let [dqkv, ..] = with::<T, _>(qkv, |qkv| with(y, |y| with(dy, |dy| {
                Ok(self.backward(qkv, qkv, qkv, (y, dy)))
            })))?;
            Ok(Some(Tensor::from_vec(dqkv, qkv.shape(), qkv.device())?))
        })
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(dtype(q), T => {
            let (q, k) = (slice::<T>(q, q_layout)?, slice::<T>(k, k_layout)?);
            WithDType::to_cpu_storage_owned(self.forward(q, k, slice::<T>(v, v_layout)?))
        });
        let width = self.heads * self.head.value;
        Ok((y, Shape::from((self.items, self.head.queries, width))))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(q.dtype(), T => {
            let [dq, dk, dv] = with::<T, _>(q, |q| with(k, |k| with(v, |v| {
                with(y, |y| with(dy, |dy| Ok(self.backward(q, k, v, (y, dy)))))
            })))?;
            Ok((
                Some(Tensor::from_vec(dq, q.shape(), q.device())?),
                Some(Tensor::from_vec(dk, k.shape(), k.device())?),
                Some(Tensor::from_vec(dv, v.shape(), v.device())?),
            ))
        })
    }
}
