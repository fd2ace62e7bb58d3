//! Pictures per second in training: `throughput carrel|candle STEPS [NETWORK]`, for `make bench`. NETWORK is `mnist`,
//! `mlp`, `transformer`, `resnet20` or `resnet18`; candle's side knows the first only. All steps see one batch, whose
//! numbers are those of `tests/bench/training_torch.py`; RAYON_NUM_THREADS sets the threads.
//!
//! Prints the loss of the second step, by how many MB the process grew from the network's beginning to its peak, and the
//! rate.

#[path = "throughput/memory.rs"]
mod memory;
#[path = "throughput/networks.rs"]
mod networks;

use std::time::Instant;

use anyhow::{Context, bail};
use candle_nn::{Optimizer as _, SGD};
use carrel_training::prelude::*;
use carrel_training::random::manual_seed;
use networks::{ResNet, Transformer, mlp};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (stack, steps, network) = match arguments.as_slice() {
        [stack, steps] => (stack, steps, "mnist"),
        [stack, steps, network] => (stack, steps, network.as_str()),
        _ => bail!("usage: throughput carrel|candle STEPS [NETWORK]"),
    };
    let steps: usize = steps
        .parse()
        .with_context(|| format!("{steps} is no number"))?;
    let before = memory::start();
    manual_seed(1);
    let seconds = match (stack.as_str(), network) {
        ("candle", "mnist") => of_candle(steps)?,
        ("carrel", "mnist") => of_carrel(&MnistNet::new(1, 0.5)?, network, steps)?,
        ("carrel", "mlp") => of_carrel(&mlp()?, network, steps)?,
        ("carrel", "transformer") => of_carrel(&Transformer::new()?, network, steps)?,
        ("carrel", "resnet20") => of_carrel(&ResNet::new(&[16, 32, 64], 3)?, network, steps)?,
        ("carrel", "resnet18") => {
            of_carrel(&ResNet::new(&[64, 128, 256, 512], 2)?, network, steps)?
        }
        _ => bail!("no network {network} of {stack}"),
    };
    println!("memory {}", memory::peak() - before);
    println!("{}", (steps * shape(network)[0]) as f64 / seconds);
    Ok(())
}

/// Of a batch.
fn shape(network: &str) -> &'static [usize] {
    match network {
        "mlp" => &[128, 784],
        "transformer" => &[16, 64, 256],
        "resnet20" => &[64, 3, 32, 32],
        "resnet18" => &[16, 3, 32, 32],
        _ => &[64, 1, 28, 28],
    }
}

/// A batch of numbers in -1..1 without a pattern that a network sees, and classes for it.
fn batch(network: &str) -> candle_core::Result<(Tensor, Tensor)> {
    let shape = shape(network);
    let number = |at: usize| ((at * 37 + at / 101 * 11) % 101) as f32 / 50.0 - 1.0;
    let x = (0..shape.iter().product()).map(number).collect();
    let labels: Vec<u32> = (0..shape[0]).map(|at| (at * 7 % 10) as u32).collect();
    let labels = Tensor::new(labels, &Device::Cpu)?;
    Ok((Tensor::from_vec(x, shape, &Device::Cpu)?, labels))
}

type Loss = fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>;

fn of_carrel(net: &dyn Layer, network: &str, steps: usize) -> candle_core::Result<f64> {
    let (x, y) = batch(network)?;
    let (momentum, loss): (f64, Loss) = match network {
        "mnist" => (0.5, nll_loss),
        _ => (0.9, cross_entropy),
    };
    let mut optimizer = Sgd::new(net.parameters(), 0.01)?.momentum(momentum);
    timed(steps, || {
        let loss = loss(&net.forward_t(&x, true)?, &y)?;
        optimizer.step(&loss.backward()?)?;
        Ok(loss)
    })
}

fn of_candle(steps: usize) -> candle_core::Result<f64> {
    let (x, y) = batch("mnist")?;
    let net = MnistNet::new(1, 0.5)?;
    let mut optimizer = SGD::new(net.parameters(), 0.01)?;
    timed(steps, || {
        let loss = candle_nn::loss::nll(&plain(&net, &x)?, &y)?;
        optimizer.step(&loss.backward()?)?;
        Ok(loss)
    })
}

/// The fewest steps before any is timed.
const WARM_UP: usize = 3;
/// Whose loss is told. In later ones of a deep network the rounding of the first has grown.
const TOLD: usize = 2;

/// Seconds for `steps` steps, which give their loss, after some to warm up.
fn timed(
    steps: usize,
    mut step: impl FnMut() -> candle_core::Result<Tensor>,
) -> candle_core::Result<f64> {
    for at in 1..=steps.div_ceil(5).max(WARM_UP) {
        let loss = step()?;
        if at == TOLD {
            println!("loss {}", loss.to_scalar::<f32>()?);
        }
    }
    let begun = Instant::now();
    for _ in 0..steps {
        step()?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// The same network from candle's own operations; dropout by its own generator.
fn plain(net: &MnistNet, x: &Tensor) -> candle_core::Result<Tensor> {
    let conv = |x: &Tensor, conv: &Conv2d| {
        let y = x.conv2d(&conv.weight, 0, 1, 1, 1)?;
        match &conv.bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
            None => Ok(y),
        }
    };
    let linear = |x: &Tensor, linear: &Linear| {
        let y = x.matmul(&linear.weight.t()?)?;
        match &linear.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    };
    let x = conv(x, &net.conv1)?.max_pool2d(2)?.relu()?;
    let x = conv(&x, &net.conv2)?;
    let channels = Tensor::ones((x.dim(0)?, 20, 1, 1), DType::F32, x.device())?;
    let x = x.broadcast_mul(&candle_nn::ops::dropout(&channels, 0.5)?)?;
    let x = x.max_pool2d(2)?.relu()?.flatten_from(1)?;
    let x = candle_nn::ops::dropout(&linear(&x, &net.fc1)?.relu()?, 0.5)?;
    candle_nn::ops::log_softmax(&linear(&x, &net.fc2)?, 1)
}
