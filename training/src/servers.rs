//! Parameter servers: ranks that hold the parameters, each some of them, and change them by the gradients of the ranks
//! that train. Those send a step's gradients to every server and take the new values from it.

mod client;
mod server;

use std::collections::BTreeMap;
use std::io;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

pub use server::{Served, serve};

pub(crate) use client::Servers;

use crate::ranks::RanksError;

/// When a parameter server changes its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Updates {
    /// When the gradients of all ranks that train have come, by their means: what one process does with all batches.
    #[default]
    Synchronous,
    /// By each rank's gradients as they come: nobody waits, and no two runs are the same.
    Asynchronous,
}

#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    #[error(transparent)]
    Ranks(#[from] RanksError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    #[error("rank {rank} sent a parameter server what it cannot read: {reason}")]
    Message { rank: usize, reason: String },
    #[error("rank {rank} goes on while others are done: all must do the same number of steps")]
    Alone { rank: usize },
}

/// The parameters of each server, by their numbers: the largest first, each to the one that holds least.
fn shards(parameters: &[Var], servers: usize) -> Vec<Vec<usize>> {
    let size = |number: &usize| parameters[*number].elem_count();
    let mut numbers: Vec<usize> = (0..parameters.len()).collect();
    numbers.sort_by_key(|number| std::cmp::Reverse(size(number)));
    let mut shards = vec![(0, Vec::new()); servers];
    for number in numbers {
        if let Some((held, shard)) = shards.iter_mut().min_by_key(|(held, _)| *held) {
            *held += size(&number);
            shard.push(number);
        }
    }
    shards.into_iter().map(|(_, shard)| shard).collect()
}

type Tensors = BTreeMap<String, Tensor>;

fn to_bytes(tensors: &Tensors) -> candle_core::Result<Vec<u8>> {
    safetensors::serialize(tensors.iter(), None)
        .map_err(|error| candle_core::Error::wrap(io::Error::other(error)))
}

fn from_bytes(bytes: &[u8], rank: usize) -> Result<Tensors, ServersError> {
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu);
    let tensors = tensors.map_err(|error| ServersError::Message {
        rank,
        reason: error.to_string(),
    })?;
    Ok(tensors.into_iter().collect())
}

/// An optimizer's state with other numbers of the parameters: `momentum.7` becomes `momentum.` and what `number` says.
/// What belongs to no parameter stays; what belongs to one without a number is left out.
fn renumbered(state: Tensors, number: impl Fn(usize) -> Option<usize>) -> Tensors {
    let renumbered = state.into_iter().filter_map(|(name, value)| {
        let parts = name.rsplit_once('.');
        match parts.and_then(|(slot, at)| Some((slot, at.parse().ok()?))) {
            Some((slot, at)) => Some((format!("{slot}.{}", number(at)?), value)),
            None => Some((name, value)),
        }
    });
    renumbered.collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let numbers = bytes.as_chunks().0.iter();
    numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
