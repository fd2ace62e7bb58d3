//! Rows of a table by their numbers.

use super::{early, ours};
use crate::cpu::{Real, add, by_dtype, dtype, slice, with};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// The rows of `weight` (rows, d) that `ids` (.., whole numbers) name: (.., d). The row `padding_idx` gets no gradient.
///
/// # Errors
/// When `ids` are no whole numbers, or one of them names no row.
pub fn embedding(ids: &Tensor, weight: &Tensor, padding_idx: Option<usize>) -> Result<Tensor> {
    let &[rows, width] = weight.dims() else {
        bail!(
            "embedding: expected a weight of (rows, d), got {:?}",
            weight.shape()
        )
    };
    let places = places(ids, rows)?;
    let mut shape = ids.dims().to_vec();
    shape.push(width);
    if !ours(&[weight]) {
        let weight = match padding_idx {
            Some(row) => without_gradient(weight, row)?,
            None => weight.clone(),
        };
        let places: Vec<u32> = places.iter().map(|place| *place as u32).collect();
        let places = Tensor::new(places, weight.device())?;
        return weight.index_select(&places, 0)?.reshape(shape);
    }
    let weight = weight.contiguous()?;
    let op = Rows {
        places,
        width,
        padding_idx,
    };
    weight.apply_op1(op)?.reshape(shape)
}

/// The ids, each below the number of rows. By themselves: candle takes the greatest number of a type for "none".
fn places(ids: &Tensor, rows: usize) -> Result<Vec<usize>> {
    if !ids.dtype().is_int() {
        bail!(
            "embedding: expected ids of whole numbers, got {:?}",
            ids.dtype()
        )
    }
    let ids = ids.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    let place = |id: i64| match usize::try_from(id) {
        Ok(place) if place < rows => Ok(place),
        _ => bail!("embedding: there is no row {id} among {rows}"),
    };
    ids.into_iter().map(place).collect()
}

/// The same table, of which one row gets no gradient.
fn without_gradient(weight: &Tensor, row: usize) -> Result<Tensor> {
    let rows = weight.dim(0)?;
    let is_row: Vec<u8> = (0..rows).map(|at| u8::from(at == row)).collect();
    let is_row = Tensor::new(is_row, weight.device())?.reshape((rows, 1))?;
    let is_row = is_row.broadcast_as(weight.shape())?;
    is_row.where_cond(&weight.detach(), weight)
}

struct Rows {
    places: Vec<usize>,
    width: usize,
    padding_idx: Option<usize>,
}

impl Rows {
    fn forward<T: Real>(&self, weight: &[T]) -> Vec<T> {
        let mut y = Vec::with_capacity(self.places.len() * self.width);
        for place in &self.places {
            y.extend_from_slice(&weight[place * self.width..][..self.width]);
        }
        y
    }

    fn backward<T: Real>(&self, dy: &[T], len: usize) -> Vec<T> {
        let mut dweight = vec![T::zero(); len];
        for (place, dy) in self.places.iter().zip(dy.chunks(self.width.max(1))) {
            if Some(*place) != self.padding_idx {
                add(&mut dweight[place * self.width..][..self.width], dy);
            }
        }
        dweight
    }
}

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(dtype(weight), T => {
            WithDType::to_cpu_storage_owned(self.forward(slice::<T>(weight, layout)?))
        });
        Ok((y, Shape::from((self.places.len(), self.width))))
    }

    fn bwd(&self, weight: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dweight = by_dtype!(weight.dtype(), T => {
            let len = weight.elem_count();
            let dweight = with::<T, _>(dy, |dy| Ok(self.backward(dy, len)))?;
            Tensor::from_vec(dweight, weight.shape(), weight.device())?
        });
        early::tell(weight, &dweight);
        Ok(Some(dweight))
    }
}
