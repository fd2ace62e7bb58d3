//! Pictures per second in training the seed's network: `throughput carrel|candle STEPS`, for `make bench`. The data
//! are noise, one batch of 64; RAYON_NUM_THREADS sets the threads.

use std::time::Instant;

use anyhow::{Context, bail};
use candle_nn::{Optimizer as _, SGD};
use carrel_training::prelude::*;
use carrel_training::random::with_seed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [stack, steps] = arguments.as_slice() else {
        bail!("usage: throughput carrel|candle STEPS")
    };
    let steps: usize = steps
        .parse()
        .with_context(|| format!("{steps} is no number"))?;
    let (x, y) = with_seed(1, || -> candle_core::Result<_> {
        let mut random = Random::new(1);
        let x = random.uniform_tensor(1.0, (BATCH, 1, 28, 28))?;
        let labels: Vec<u32> = (0..BATCH).map(|_| random.below(10) as u32).collect();
        Ok((x, Tensor::new(labels, &Device::Cpu)?))
    })?;
    let net = MnistNet::new(1, 0.5)?;
    let seconds = match stack.as_str() {
        "carrel" => {
            let mut optimizer = Sgd::new(net.parameters(), 0.01)?.momentum(0.5);
            timed(steps, || {
                let loss = nll_loss(&net.forward_t(&x, true)?, &y)?;
                optimizer.step(&loss.backward()?)
            })?
        }
        "candle" => {
            let mut optimizer = SGD::new(net.parameters(), 0.01)?;
            timed(steps, || {
                let loss = candle_nn::loss::nll(&plain(&net, &x)?, &y)?;
                optimizer.step(&loss.backward()?)
            })?
        }
        other => bail!("{other} is neither carrel nor candle"),
    };
    println!("{}", (steps * BATCH) as f64 / seconds);
    Ok(())
}

/// Seconds for `steps` steps, after a fifth of them to warm up.
fn timed(
    steps: usize,
    mut step: impl FnMut() -> candle_core::Result<()>,
) -> candle_core::Result<f64> {
    for _ in 0..steps.div_ceil(5) {
        step()?;
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
