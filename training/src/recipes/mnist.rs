//! Distributed MNIST as in `examples/dist-mnist/dist_mnist.py` of pytorch-operator (commit 9605eb67), in its lines too.

use std::path::PathBuf;

use candle_core::{ModuleT, Result, Shape, Tensor, Var};
use carrel_ranks::{Meeting, Ranks};
use serde::{Deserialize, Serialize};

use super::{RecipeError, Setting};
use crate::data::{DataLoader, MnistData, Order, Partition, Sampler};
use crate::nn::{
    Conv2d, Dropout, Dropout2d, Flatten, Layer, Linear, LogSoftmax, MaxPool2d, Relu, layers,
};
use crate::onnx::{Graph, OnnxError, Value};
use crate::ops::{self, Then};
use crate::optim::Sgd;
use crate::parameter_servers;
use crate::random::with_seed;
use crate::trainer::{Ended, Epoch, History, Step, Trainer, Watcher};

/// The recipe with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mnist {
    pub epochs: usize,
    /// Pictures per step, of all ranks together.
    pub batch: usize,
    pub learning_rate: f64,
    pub momentum: f64,
    /// The probability to drop, of channels and of elements.
    pub dropout: f64,
    pub seed: u64,
    /// The folder with the data; see [`MnistData::load_from`].
    pub data: Option<PathBuf>,
    /// The first so many pictures only.
    pub pictures: Option<usize>,
}

impl Default for Mnist {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            learning_rate: 0.01,
            momentum: 0.5,
            dropout: 0.5,
            seed: 1234,
            data: None,
            pictures: None,
        }
    }
}

impl Mnist {
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Pictures per step, of all ranks together.
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The network before training.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn network(&self) -> Result<MnistNet> {
        MnistNet::new(self.seed, self.dropout)
    }

    pub(super) fn run(&self, mut setting: Setting) -> std::result::Result<History, RecipeError> {
        let (rank, world) = (setting.environment.rank, setting.environment.trainers());
        let batch = self.batch / world;
        if batch == 0 {
            let batch = self.batch;
            return Err(RecipeError::Batch { batch, world });
        }
        if setting.environment.is_server() {
            return self.serve(setting);
        }
        let mut data = MnistData::load_from(self.data.as_deref(), &mut setting.say)?;
        if let Some(pictures) = self.pictures {
            data.train = data.train.take(pictures);
        }
        let sampler = Sampler {
            order: Order::Shuffled { seed: self.seed },
            partition: Partition::Stretches,
            rank,
            world,
        };
        let is_evaluator = setting.environment.is_evaluator();
        let (ranks, stop) = (self.connect(&setting)?, setting.stop);
        let mut trainer = Trainer::new(self.network()?)
            .data(DataLoader::new(data.train, batch).sampler(sampler))
            .test(DataLoader::new(data.test, 500))
            .loss(ops::nll_loss)
            .optimizer(|parameters| self.optimizer(parameters))?
            .epochs(self.epochs)
            .ranks(ranks)
            .stop_when(move || stop());
        if let Some(folder) = setting.checkpoints {
            trainer = trainer.checkpoints(folder);
        } else if is_evaluator {
            return Err(RecipeError::NoCheckpoints);
        }
        if is_evaluator {
            return Ok(trainer.follow(&mut setting.say)?);
        }
        let lines = Lines {
            rank,
            say: setting.say,
            watcher: setting.watcher,
        };
        Ok(trainer.watch(lines).fit()?)
    }

    fn optimizer(&self, parameters: Vec<Var>) -> Result<Sgd> {
        Ok(Sgd::new(parameters, self.learning_rate)?.momentum(self.momentum))
    }

    fn connect(&self, setting: &Setting) -> std::result::Result<Ranks, RecipeError> {
        let servers = setting.environment.servers();
        // Where the data lie may differ.
        let recipe = Self {
            data: None,
            ..self.clone()
        };
        let meeting = Meeting {
            secret: setting.secret.clone(),
            configuration: match servers {
                0 => format!("{recipe:?}"),
                _ => format!("{recipe:?}, {:?} updates", setting.updates),
            },
            stop: setting.stop.clone(),
            ..Meeting::new(setting.environment.clone())
        };
        Ok(Ranks::connect(&meeting)?.with_servers(servers))
    }

    /// Holds parameters for the ranks that train.
    fn serve(&self, mut setting: Setting) -> std::result::Result<History, RecipeError> {
        let make = |parameters| self.optimizer(parameters);
        let (ranks, stop) = (self.connect(&setting)?, setting.stop);
        let served = parameter_servers::serve(ranks, setting.updates, make, &|| stop())?;
        (setting.say)(&format!(
            "Held {} parameters of {} numbers, updated {} times",
            served.parameters, served.elements, served.updates
        ));
        Ok(History {
            ended: match served.done {
                true => Ended::Done,
                false => Ended::Stopped,
            },
            ..History::default()
        })
    }
}

/// Prints an epoch as the source does, and tells another watcher.
struct Lines {
    rank: usize,
    say: Box<dyn FnMut(&str) + Send>,
    watcher: Option<Box<dyn Watcher>>,
}

impl Watcher for Lines {
    fn step(&mut self, step: &Step) {
        if let Some(watcher) = &mut self.watcher {
            watcher.step(step);
        }
    }

    fn epoch(&mut self, number: usize, epoch: &Epoch) {
        (self.say)(&format!(
            "Rank  {} , epoch  {number} :  {}",
            self.rank, epoch.loss
        ));
        if let Some(watcher) = &mut self.watcher {
            watcher.epoch(number, epoch);
        }
    }

    fn end(&mut self, history: &History) {
        if let Some(accuracy) = history.epochs.last().and_then(|epoch| epoch.accuracy) {
            (self.say)(&format!("Test accuracy: {accuracy}"));
        }
        if let Some(watcher) = &mut self.watcher {
            watcher.end(history);
        }
    }
}

/// The source's network: two convolutions, two linear layers, 21,840 parameters.
#[derive(Debug)]
pub struct MnistNet {
    pub conv1: Conv2d,
    pub conv2: Conv2d,
    pub drop: Dropout2d,
    pub fc1: Linear,
    pub drop1: Dropout,
    pub fc2: Linear,
}

impl MnistNet {
    /// # Errors
    /// When there is no memory for it.
    pub fn new(seed: u64, dropout: f64) -> Result<Self> {
        with_seed(seed, || {
            Ok(Self {
                conv1: Conv2d::new(1, 10, 5)?,
                conv2: Conv2d::new(10, 20, 5)?,
                drop: Dropout2d::new(dropout),
                fc1: Linear::new(320, 50)?,
                drop1: Dropout::new(dropout),
                fc2: Linear::new(50, 10)?,
            })
        })
    }
}

layers!(MnistNet {
    conv1,
    conv2,
    drop,
    fc1,
    drop1,
    fc2
}
    fn input_shape(&self) -> Option<Shape> {
        Some((1, 28, 28).into())
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let pool = MaxPool2d::new(2);
        let mut y = x;
        for (name, layer) in [
            ("conv1", &self.conv1 as &dyn Layer),
            ("pool1", &pool),
            ("relu1", &Relu),
            ("conv2", &self.conv2),
            ("pool2", &pool),
            ("relu2", &Relu),
            ("flatten", &Flatten),
            ("fc1", &self.fc1),
            ("relu3", &Relu),
            ("fc2", &self.fc2),
            ("log_softmax", &LogSoftmax),
        ] {
            y = graph.layer(name, layer, y)?;
        }
        Ok(y)
    }
);

impl ModuleT for MnistNet {
    /// Logarithms of probabilities, (n, 10), of pictures (n, 1, 28, 28). Channels are dropped before the pool, as in
    /// the source.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let n = x.dim(0)?;
        let x = block(&self.conv1, x, None)?;
        let channels = train.then(|| self.drop.mask(n * 20)).transpose()?;
        let x = block(&self.conv2, &x, channels)?.flatten_from(1)?;
        let mask = train.then(|| self.drop1.mask(n * 50)).transpose()?;
        let x = self.fc1.forward_then(&x, Then { relu: true, mask })?;
        ops::log_softmax(&self.fc2.forward_then(&x, Then::default())?, 1)
    }
}

fn block(conv: &Conv2d, x: &Tensor, mask: Option<Vec<f32>>) -> Result<Tensor> {
    let Some(bias) = &conv.bias else {
        candle_core::bail!("a convolution of MnistNet has a bias")
    };
    ops::conv2d_max_pool2d_relu(x, &conv.weight, bias, &conv.config, mask)
}
