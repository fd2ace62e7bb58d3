//! The side of a rank that holds parameters.

use std::time::{Duration, Instant};

use candle_core::backprop::GradStore;
use candle_core::{Result as TensorResult, Var};
use carrel_ranks::{Inbox, Message, Operation, Ranks};

use super::{ServersError, Tensors, Updates, floats, from_bytes, to_bytes};
use crate::cpu::{add, scale};
use crate::optim::Optimizer;
use crate::optim::gradients::{insert_used, used};

/// Between two looks whether to stop.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the others may still ask for the state after this rank was told to stop: for their checkpoint.
const GRACE: Duration = Duration::from_secs(5);

/// How serving ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Whether all ranks that train were done, or this one was stopped before.
    pub done: bool,
    /// How many parameters were held, and their numbers.
    pub parameters: usize,
    pub elements: usize,
    pub updates: usize,
}

/// Holds parameters until all ranks that train are done. `make` is the optimizer that the others would have.
///
/// # Errors
/// When a rank is lost, or leaves before it is done.
pub fn serve<O: Optimizer>(
    ranks: Ranks,
    updates: Updates,
    make: impl FnOnce(Vec<Var>) -> TensorResult<O>,
    stop: &dyn Fn() -> bool,
) -> Result<Served, ServersError> {
    let served = match first_values(&ranks, stop) {
        Ok(Some(tensors)) => Shard::new(tensors, make).and_then(|shard| {
            let training = (0..ranks.world()).map(Inbox::new).collect();
            let mut server = Server {
                ranks: &ranks,
                updates,
                shard,
                training,
                pushed: Vec::new(),
            };
            server.run(stop)
        }),
        Ok(None) => Ok(Served::default()),
        Err(error) => Err(error),
    };
    if served.is_err() {
        // The others learn at once that this rank is gone.
        ranks.abort();
    }
    served
}

/// What rank 0 gives, or None when this rank was stopped before. The others have nothing to say until then.
fn first_values(ranks: &Ranks, stop: &dyn Fn() -> bool) -> Result<Option<Tensors>, ServersError> {
    let mut first = [Inbox::new(0)];
    while !stop() {
        match ranks.next_message(&mut first, Some(PAUSE))? {
            Some((_, message)) if message.operation == Operation::Set => {
                return from_bytes(&message.bytes, 0).map(Some);
            }
            Some((rank, message)) => return Err(unexpected(rank, &message)),
            None => {}
        }
    }
    Ok(None)
}

struct Server<'a, O> {
    ranks: &'a Ranks,
    updates: Updates,
    shard: Shard<O>,
    /// Of the ranks that are not done.
    training: Vec<Inbox>,
    /// Gradients that are not in the parameters yet, by rank.
    pushed: Vec<(usize, Vec<u8>)>,
}

impl<O: Optimizer> Server<'_, O> {
    fn run(&mut self, stop: &dyn Fn() -> bool) -> Result<Served, ServersError> {
        let mut last = None;
        while !self.training.is_empty() {
            if last.is_none() && stop() {
                last = Some(Instant::now() + GRACE);
            }
            if last.is_some_and(|last| Instant::now() >= last) {
                break;
            }
            match self.ranks.next_message(&mut self.training, Some(PAUSE)) {
                Ok(Some((rank, message))) => self.answer(rank, message)?,
                Ok(None) => {}
                // They leave when they are told to stop, as this rank was.
                Err(_) if last.is_some() || stop() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Served {
            done: self.training.is_empty(),
            parameters: self.shard.vars.len(),
            elements: self.shard.elements(),
            updates: self.shard.updates,
        })
    }

    fn answer(&mut self, rank: usize, message: Message) -> Result<(), ServersError> {
        match message.operation {
            Operation::Push => self.pushed.push((rank, message.bytes)),
            Operation::State => {
                let state = to_bytes(&self.shard.optimizer.state()?)?;
                self.ranks.send(rank, Operation::State, &[&state])?;
            }
            Operation::Done => self.training.retain(|inbox| inbox.rank() != rank),
            _ => return Err(unexpected(rank, &message)),
        }
        match self.updates {
            Updates::Asynchronous => {}
            Updates::Synchronous if self.pushed.len() == self.ranks.world() => {}
            Updates::Synchronous => return self.nobody_waits_in_vain(),
        }
        if !self.pushed.is_empty() {
            self.shard.update(&mut self.pushed)?;
            let values = self.shard.values()?;
            for (rank, _) in self.pushed.drain(..) {
                let values = bytemuck::cast_slice(&values);
                self.ranks.send(rank, Operation::Values, &[values])?;
            }
        }
        Ok(())
    }

    /// Ranks that are done push nothing more.
    fn nobody_waits_in_vain(&self) -> Result<(), ServersError> {
        match self.pushed.first() {
            Some((rank, _)) if self.training.len() < self.ranks.world() => {
                Err(ServersError::Alone { rank: *rank })
            }
            _ => Ok(()),
        }
    }
}

fn unexpected(rank: usize, message: &Message) -> ServersError {
    ServersError::Message {
        rank,
        reason: format!("{:?} of {} bytes", message.operation, message.bytes.len()),
    }
}

/// The parameters of one server.
struct Shard<O> {
    vars: Vec<Var>,
    optimizer: O,
    updates: usize,
}

impl<O: Optimizer> Shard<O> {
    /// Of the values and the state in a message of rank 0.
    fn new(
        mut tensors: Tensors,
        make: impl FnOnce(Vec<Var>) -> TensorResult<O>,
    ) -> Result<Self, ServersError> {
        let values = (0..).map_while(|at| tensors.remove(&format!("value.{at}")));
        let vars: Vec<Var> = values
            .map(|value| Var::from_tensor(&value))
            .collect::<TensorResult<_>>()?;
        let state = tensors.into_iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("state.")?.to_owned();
            Some((name, value))
        });
        let mut optimizer = make(vars.clone())?;
        optimizer.load_state(&state.collect())?;
        Ok(Self {
            vars,
            optimizer,
            updates: 0,
        })
    }

    fn elements(&self) -> usize {
        self.vars.iter().map(|var| var.elem_count()).sum()
    }

    /// Changes the parameters by the means of gradients, added in the order of the ranks.
    fn update(&mut self, pushed: &mut [(usize, Vec<u8>)]) -> Result<(), ServersError> {
        pushed.sort_by_key(|(rank, _)| *rank);
        let share = 1.0 / pushed.len() as f32;
        // With a flag for each parameter: whether it has a gradient.
        let mut sums = vec![0f32; self.elements() + self.vars.len()];
        let mut rate = None;
        for (rank, bytes) in pushed.iter() {
            let gradients = bytes.split_first_chunk::<8>();
            let Some((own, gradients)) =
                gradients.filter(|(_, gradients)| gradients.len() == size_of_val(&*sums))
            else {
                return Err(ServersError::Message {
                    rank: *rank,
                    reason: format!(
                        "gradients of {} bytes for {} numbers",
                        bytes.len(),
                        sums.len()
                    ),
                });
            };
            let gradients = floats(gradients);
            match rate {
                None => (rate, sums) = (Some(f64::from_le_bytes(*own)), gradients),
                Some(_) => add(&mut sums, &gradients),
            }
        }
        scale(&mut sums, share);
        self.step(&sums, rate)
    }

    fn step(&mut self, means: &[f32], rate: Option<f64>) -> Result<(), ServersError> {
        let mut gradients = GradStore::default();
        let all: Vec<usize> = (0..self.vars.len()).collect();
        let used = used(means, self.vars.len());
        insert_used(&mut gradients, &self.vars, &all, means, &used)?;
        if let Some(rate) = rate {
            self.optimizer.set_learning_rate(rate);
        }
        self.optimizer.step(&gradients)?;
        self.updates += 1;
        Ok(())
    }

    fn values(&self) -> TensorResult<Vec<f32>> {
        let mut all = Vec::with_capacity(self.elements());
        for var in &self.vars {
            let values = var.to_dtype(candle_core::DType::F32)?.flatten_all()?;
            all.extend(values.to_vec1::<f32>()?);
        }
        Ok(all)
    }
}
