//! Parameter servers: ranks that hold the parameters, each some of them, and change them by the gradients of the ranks
//! that train. Those send a step's gradients to every server and take the new values from it.

mod client;
mod server;

use std::collections::BTreeMap;
use std::io;

use candle_core::{Device, Tensor, Var};
use carrel_ranks::RanksError;
use serde::{Deserialize, Serialize};

pub use server::{Served, serve};

pub(crate) use client::Servers;

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
    #[error(
        "parameter {number} is of f64, and parameter servers hold f32: convert the model by `to_dtype`, or train without them"
    )]
    F64 { number: usize },
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

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use candle_core::backprop::GradStore;
    use candle_core::{DType, Device, Tensor, Var};
    use carrel_ranks::{Environment, Meeting, Ranks, free_port};

    use super::{Servers, ServersError, Updates, serve};
    use crate::optim::{Optimizer, Sgd};

    /// Two that train and two that hold parameters.
    fn connect(rank: usize, port: u16) -> Ranks {
        let environment = Environment {
            rank,
            world: 4,
            port,
            ..Environment::alone()
        };
        let meeting = Meeting {
            silence: Duration::from_secs(30),
            ..Meeting::new(environment)
        };
        Ranks::connect(&meeting).unwrap().with_servers(2)
    }

    /// Ones as the gradients of all but the last.
    fn gradients(parameters: &[Var]) -> GradStore {
        let mut gradients = GradStore::default();
        for var in &parameters[..parameters.len() - 1] {
            gradients.insert(var, var.ones_like().unwrap());
        }
        gradients
    }

    /// With more numbers than connections hold, servers and ranks that only sent would wait for one another for ever.
    #[test]
    fn large_parameters_pass_between_asynchronous_servers_and_ranks() {
        let port = free_port().unwrap();
        let make = |parameters| Ok(Sgd::new(parameters, 1.0)?.weight_decay(0.5));
        thread::scope(|scope| {
            let servers = [2, 3].map(|rank| {
                scope.spawn(move || {
                    serve(connect(rank, port), Updates::Asynchronous, make, &|| false).unwrap()
                })
            });
            let training = [0, 1].map(|rank| {
                scope.spawn(move || {
                    let ranks = connect(rank, port);
                    let one = |size| Var::ones(size, DType::F32, &Device::Cpu).unwrap();
                    let parameters = [one(6_000_000), one(6_000_000), one(3)];
                    let servers = Servers::new(&parameters, &ranks);
                    if rank == 0 {
                        let state = make(parameters.to_vec()).unwrap().state().unwrap();
                        servers.set(&ranks, &parameters, &state).unwrap();
                    }
                    for _ in 0..10 {
                        let gradients = gradients(&parameters);
                        servers.step(&ranks, &gradients, &parameters, 0.1).unwrap();
                    }
                    servers.done(&ranks).unwrap();
                    let first = parameters[0].get(0).unwrap().to_scalar::<f32>().unwrap();
                    assert!(first < 0.5, "{first}");
                    // Without a gradient there is no decay either.
                    assert_eq!(parameters[2].to_vec1::<f32>().unwrap(), [1.0; 3]);
                })
            });
            for rank in training {
                rank.join().unwrap();
            }
            let served = servers.map(|server| server.join().unwrap());
            assert!(
                served
                    .iter()
                    .all(|served| served.done && served.updates == 20)
            );
        });
    }

    #[test]
    fn parameters_of_f64_are_refused_and_not_rounded() {
        let ranks = Ranks::alone().with_servers(0);
        let var = Var::from_tensor(&Tensor::new(&[1f64], &Device::Cpu).unwrap()).unwrap();
        let servers = Servers::new(std::slice::from_ref(&var), &ranks);
        let refused = servers.set(&ranks, &[var], &Default::default());
        assert!(matches!(refused, Err(ServersError::F64 { number: 0 })));
    }
}
