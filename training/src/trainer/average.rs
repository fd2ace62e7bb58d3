//! Gradients and their means over all ranks, which are computed while the backward pass goes on: in buckets of
//! parameters, in the order in which the pass reaches them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, TensorId, Var};
use carrel_ranks::{Ranks, RanksError};

use super::TrainError;
use crate::cpu;
use crate::ops::early;
use crate::optim::gradients::{collect, copy, flags, insert_used, used};

/// Numbers of a bucket, unless one parameter has more: enough that its sum takes longer than the start of one.
const BUCKET: usize = 1 << 20;
/// Below so many numbers, one sum after the pass is quicker.
const WORTH_BUCKETS: usize = 1 << 18;

/// How gradients are averaged, learnt in the first step.
#[derive(Default)]
pub(super) enum Averaging {
    #[default]
    Unknown,
    /// All in one go, after the backward pass.
    Whole,
    /// Parameters by their numbers, as rank 0's first pass reached them.
    Buckets(Vec<Vec<usize>>),
}

/// The gradients of a loss, as means over all ranks.
pub(super) fn backward(
    averaging: &mut Averaging,
    loss: &Tensor,
    parameters: &[Var],
    ranks: &mut Ranks,
) -> std::result::Result<GradStore, TrainError> {
    if ranks.world() == 1 {
        return Ok(loss.backward()?);
    }
    if parameters.iter().any(|var| var.dtype() == DType::F64) {
        return exact(loss.backward()?, parameters, ranks);
    }
    let buckets = match averaging {
        Averaging::Buckets(buckets) => buckets,
        Averaging::Whole => return whole(loss.backward()?, parameters, ranks),
        Averaging::Unknown => {
            let (gradients, reached) = order(loss)?;
            *averaging = learn(&reached, parameters, ranks)?;
            return whole(gradients, parameters, ranks);
        }
    };
    let rest = rest(buckets, parameters.len());
    let (mut gradients, means) = overlapped(loss, buckets, &rest, parameters, ranks)?;
    // The last one is the share of the ranks where a gradient was not what was sent.
    let Some((&0.0, flags)) = means.last().and_then(|last| last.split_last()) else {
        *averaging = Averaging::Whole;
        return whole(gradients, parameters, ranks);
    };
    let used = used(flags, parameters.len());
    for (numbers, means) in buckets.iter().chain([&rest]).zip(&means) {
        insert_used(&mut gradients, parameters, numbers, means, &used)?;
    }
    Ok(gradients)
}

/// The means of a model of f64, in full: the gradients of all ranks are gathered, and added in their order.
fn exact(
    mut gradients: GradStore,
    parameters: &[Var],
    ranks: &mut Ranks,
) -> std::result::Result<GradStore, TrainError> {
    let mut own: Vec<f64> = Vec::new();
    for parameter in parameters {
        let gradient = gradients.get(parameter);
        own.push(f64::from(u8::from(gradient.is_some())));
        match gradient {
            Some(gradient) => own.extend(
                gradient
                    .to_dtype(DType::F64)?
                    .flatten_all()?
                    .to_vec1::<f64>()?,
            ),
            None => own.resize(own.len() + parameter.elem_count(), 0.0),
        }
    }
    let mut means = vec![0.0; own.len()];
    for bytes in ranks.all_gather(bytemuck::cast_slice(&own))? {
        let each = means.iter_mut().zip(bytes.as_chunks().0);
        each.for_each(|(mean, bytes)| *mean += f64::from_le_bytes(*bytes));
    }
    let world = ranks.world() as f64;
    means.iter_mut().for_each(|mean| *mean /= world);
    let mut rest = means.as_slice();
    for parameter in parameters {
        let (values, after) = rest.split_at(1 + parameter.elem_count());
        if values[0] > 0.0 {
            let mean = Tensor::from_slice(&values[1..], parameter.shape(), parameter.device())?;
            gradients.insert(parameter, mean.to_dtype(parameter.dtype())?);
        }
        rest = after;
    }
    Ok(gradients)
}

/// A backward pass, and the parameters in the order in which it reached them.
fn order(loss: &Tensor) -> Result<(GradStore, Vec<TensorId>)> {
    let reached = Rc::new(RefCell::new(Vec::new()));
    let told = reached.clone();
    let gradients = early::listen(
        move |parameter, _| told.borrow_mut().push(parameter.id()),
        || loss.backward(),
    )?;
    Ok((gradients, reached.take()))
}

/// Rank 0's order, cut into buckets, on all ranks.
fn learn(
    reached: &[TensorId],
    parameters: &[Var],
    ranks: &mut Ranks,
) -> std::result::Result<Averaging, RanksError> {
    let size = |number: &usize| parameters[*number].elem_count();
    if (0..parameters.len())
        .map(|number| size(&number))
        .sum::<usize>()
        < WORTH_BUCKETS
    {
        return Ok(Averaging::Whole);
    }
    let number_of = |id| parameters.iter().position(|var| var.as_tensor().id() == id);
    // What is used twice is whole only at the end.
    let once = |id: &&TensorId| reached.iter().filter(|other| other == id).count() == 1;
    let order: Vec<u8> = (reached.iter().filter(once))
        .filter_map(|id| u32::try_from(number_of(*id)?).ok())
        .flat_map(u32::to_le_bytes)
        .collect();
    let order = ranks.broadcast(0, &order)?;
    let order = order.as_chunks().0.iter();
    let order = order.map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let mut buckets: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for number in order.filter(|number| *number < parameters.len()) {
        match buckets.last_mut().filter(|_| size(&number) <= room) {
            Some(bucket) => bucket.push(number),
            None => {
                buckets.push(vec![number]);
                room = BUCKET;
            }
        }
        room = room.saturating_sub(size(&number));
    }
    Ok(match buckets.is_empty() {
        true => Averaging::Whole,
        false => Averaging::Buckets(buckets),
    })
}

/// The parameters that are in no bucket.
fn rest(buckets: &[Vec<usize>], count: usize) -> Vec<usize> {
    let in_bucket = |number: &usize| buckets.iter().flatten().any(|other| other == number);
    (0..count).filter(|number| !in_bucket(number)).collect()
}

/// Averages all gradients in one go.
fn whole(
    mut gradients: GradStore,
    parameters: &[Var],
    ranks: &mut Ranks,
) -> std::result::Result<GradStore, TrainError> {
    let all: Vec<usize> = (0..parameters.len()).collect();
    let mut means = collect(&gradients, parameters, &all)?;
    means.extend(flags(&gradients, parameters));
    ranks.all_reduce_mean(&mut means)?;
    let used = used(&means, parameters.len());
    insert_used(&mut gradients, parameters, &all, &means, &used)?;
    Ok(gradients)
}

/// A backward pass whose gradients are averaged meanwhile: the own ones, and the means of each bucket and the rest.
fn overlapped(
    loss: &Tensor,
    buckets: &[Vec<usize>],
    rest: &[usize],
    parameters: &[Var],
    ranks: &mut Ranks,
) -> std::result::Result<(GradStore, Vec<Vec<f32>>), TrainError> {
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        let averaging = scope.spawn(move || average_all(&receiver, ranks));
        let gradients = send_all(loss, buckets, rest, parameters, sender);
        let means = averaging.join();
        let means = means.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((gradients?, means?))
    })
}

fn average_all(
    buckets: &Receiver<Vec<f32>>,
    ranks: &mut Ranks,
) -> std::result::Result<Vec<Vec<f32>>, RanksError> {
    let average = |mut bucket: Vec<f32>| {
        ranks.all_reduce_mean(&mut bucket)?;
        Ok(bucket)
    };
    buckets.iter().map(average).collect()
}

/// Sends each bucket as soon as it is full, and what is left at the end.
fn send_all(
    loss: &Tensor,
    buckets: &[Vec<usize>],
    rest: &[usize],
    parameters: &[Var],
    sender: Sender<Vec<f32>>,
) -> Result<GradStore> {
    let filling = Rc::new(RefCell::new(Filling::new(
        buckets,
        parameters,
        sender.clone(),
    )));
    let listener = filling.clone();
    let gradients = early::listen(
        move |parameter, gradient| listener.borrow_mut().take(parameter.id(), gradient),
        || loss.backward(),
    )?;
    let filling = filling.take();
    let mut different = false;
    for (bucket, numbers) in buckets.iter().enumerate() {
        if bucket < filling.sent {
            for number in numbers {
                different |= !filling.is_what_was_sent(&gradients, parameters, *number)?;
            }
        } else {
            // Who no longer takes it says why.
            let _ = sender.send(collect(&gradients, parameters, numbers)?);
        }
    }
    let mut last = collect(&gradients, parameters, rest)?;
    last.extend(flags(&gradients, parameters));
    last.push(f32::from(u8::from(different)));
    let _ = sender.send(last);
    Ok(gradients)
}

/// Buckets that fill up while the backward pass goes on.
#[derive(Default)]
struct Filling {
    places: HashMap<TensorId, Place>,
    values: Vec<Vec<f32>>,
    /// Parameters that are missing, by bucket.
    missing: Vec<usize>,
    /// So many of the first buckets were sent.
    sent: usize,
    /// What was taken for each parameter, as a checksum.
    taken: HashMap<usize, u64>,
    sender: Option<Sender<Vec<f32>>>,
}

#[derive(Clone, Copy)]
struct Place {
    number: usize,
    bucket: usize,
    from: usize,
    to: usize,
}

impl Filling {
    fn new(buckets: &[Vec<usize>], parameters: &[Var], sender: Sender<Vec<f32>>) -> Self {
        let mut filling = Self {
            missing: buckets.iter().map(Vec::len).collect(),
            sender: Some(sender),
            ..Self::default()
        };
        for (bucket, numbers) in buckets.iter().enumerate() {
            let mut from = 0;
            for number in numbers {
                let parameter = parameters[*number].as_tensor();
                let to = from + parameter.elem_count();
                let place = Place {
                    number: *number,
                    bucket,
                    from,
                    to,
                };
                filling.places.insert(parameter.id(), place);
                from = to;
            }
            filling.values.push(vec![0.0; from]);
        }
        filling
    }

    fn take(&mut self, parameter: TensorId, gradient: &Tensor) {
        let Some(place) = self.places.get(&parameter).copied() else {
            return;
        };
        let Some(values) = self.values[place.bucket].get_mut(place.from..place.to) else {
            return;
        };
        // It is used twice now, or cannot be read: the bucket waits for the end of the pass, if it was not sent.
        if self.taken.contains_key(&place.number) || copy(gradient, values).is_err() {
            self.missing[place.bucket] += 1;
            return;
        }
        self.taken.insert(place.number, checksum(values));
        self.missing[place.bucket] -= 1;
        while self.missing.get(self.sent) == Some(&0) {
            let bucket = std::mem::take(&mut self.values[self.sent]);
            if let Some(sender) = &self.sender {
                // Who no longer takes it says why.
                let _ = sender.send(bucket);
            }
            self.sent += 1;
        }
    }

    /// Whether a whole gradient is the one that an operation told.
    fn is_what_was_sent(
        &self,
        gradients: &GradStore,
        parameters: &[Var],
        number: usize,
    ) -> Result<bool> {
        let found = match gradients.get(&parameters[number]) {
            Some(gradient) if gradient.dtype() == DType::F32 && gradient.device().is_cpu() => {
                cpu::with(gradient, |values| Ok(checksum(values)))?
            }
            _ => checksum(&collect(gradients, parameters, &[number])?),
        };
        Ok(self.taken.get(&number) == Some(&found))
    }
}

/// Of the bits and their places. candle adds a gradient to zeros, which turns -0 into 0.
fn checksum(values: &[f32]) -> u64 {
    let each = values.iter().zip(1u64..);
    each.fold(0, |sum, (value, place)| {
        sum.wrapping_add(u64::from((value + 0.0).to_bits()).wrapping_mul(place))
    })
}
