//! The side of a rank that trains.

use std::thread;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result as TensorResult, Tensor, Var};
use carrel_ranks::{Operation, Ranks};

use super::{ServersError, Tensors, floats, from_bytes, renumbered, shards, to_bytes};
use crate::optim::gradients::{collect, flags};

/// Which server holds what.
pub(crate) struct Servers {
    shards: Vec<Vec<usize>>,
}

impl Servers {
    pub fn new(parameters: &[Var], ranks: &Ranks) -> Self {
        Self {
            shards: shards(parameters, ranks.servers()),
        }
    }

    /// The servers' ranks and what they hold.
    fn all(&self, ranks: &Ranks) -> impl Iterator<Item = (usize, &Vec<usize>)> {
        (ranks.world()..).zip(&self.shards)
    }

    /// Gives the servers their parameters, and what the optimizer remembers of them; rank 0 does.
    pub fn set(
        &self,
        ranks: &Ranks,
        parameters: &[Var],
        state: &Tensors,
    ) -> Result<(), ServersError> {
        if let Some(number) = (parameters.iter()).position(|var| var.dtype() == DType::F64) {
            return Err(ServersError::F64 { number });
        }
        for (server, shard) in self.all(ranks) {
            let held = |number| shard.iter().position(|held| *held == number);
            let values = (0..).zip(shard);
            let mut tensors: Tensors = values
                .map(|(at, number): (usize, _)| {
                    let value = parameters[*number].as_detached_tensor();
                    (format!("value.{at}"), value)
                })
                .collect();
            let state = renumbered(state.clone(), held);
            tensors.extend(
                state
                    .into_iter()
                    .map(|(name, value)| (format!("state.{name}"), value)),
            );
            ranks.send(server, Operation::Set, &[&to_bytes(&tensors)?])?;
        }
        Ok(())
    }

    /// Sends gradients, and sets the parameters to what the servers answer.
    pub fn step(
        &self,
        ranks: &Ranks,
        gradients: &GradStore,
        parameters: &[Var],
        learning_rate: f64,
    ) -> Result<(), ServersError> {
        let rate = learning_rate.to_le_bytes();
        let pushes = self.all(ranks).map(|(server, shard)| {
            let mut push = collect(gradients, parameters, shard)?;
            let held = shard.iter().map(|number| parameters[*number].clone());
            push.extend(flags(gradients, &held.collect::<Vec<_>>()));
            Ok((server, push))
        });
        let pushes = pushes.collect::<TensorResult<Vec<_>>>()?;
        // At once: a server that answers another rank takes nothing until that one reads, which may wait for a server
        // that answers this one.
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                pushes.iter().try_for_each(|(server, gradients)| {
                    let parts = [&rate, bytemuck::cast_slice(gradients)];
                    ranks.send(*server, Operation::Push, &parts)
                })
            });
            let taken = self.take(ranks, parameters);
            let sent = sending.join();
            sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            taken
        })
    }

    /// Sets the parameters to what the servers answer, one server after the other.
    fn take(&self, ranks: &Ranks, parameters: &[Var]) -> Result<(), ServersError> {
        for (server, shard) in self.all(ranks) {
            let values = ranks.receive(server, Operation::Values)?;
            let sizes = shard.iter().map(|number| parameters[*number].elem_count());
            if values.len() != 4 * sizes.sum::<usize>() {
                let reason = format!("{} bytes of values", values.len());
                return Err(ServersError::Message {
                    rank: server,
                    reason,
                });
            }
            let mut rest: &[u8] = &values;
            for number in shard {
                let parameter = &parameters[*number];
                let (own, after) = rest.split_at(4 * parameter.elem_count());
                let value = Tensor::from_vec(floats(own), parameter.shape(), parameter.device())?;
                parameter.set(&value.to_dtype(parameter.dtype())?)?;
                rest = after;
            }
        }
        Ok(())
    }

    /// What the servers' optimizers remember, with the numbers of this rank's parameters.
    pub fn state(&self, ranks: &Ranks) -> Result<Tensors, ServersError> {
        let mut all = Tensors::new();
        for (server, shard) in self.all(ranks) {
            ranks.send(server, Operation::State, &[])?;
            let state = from_bytes(&ranks.receive(server, Operation::State)?, server)?;
            all.extend(renumbered(state, |at| shard.get(at).copied()));
        }
        Ok(all)
    }

    /// Says that this rank has done all it has to do.
    pub fn done(&self, ranks: &Ranks) -> Result<(), ServersError> {
        let mut servers = self.all(ranks).map(|(server, _)| server);
        servers.try_for_each(|server| Ok(ranks.send(server, Operation::Done, &[])?))
    }
}
