//! Seconds per step of data-parallel training with large layers: `overlap RANKS STEPS early|late`. Gradients are
//! averaged while the backward pass goes on, or after it.

mod start;

use anyhow::{Context, bail};
use carrel_training::prelude::*;

/// Of all layers: six of them have 25 MB of gradients.
const WIDTH: usize = 1024;
const BATCH: usize = 128;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [world, steps, when] = arguments.as_slice() else {
        bail!("usage: overlap RANKS STEPS early|late")
    };
    let steps: usize = steps
        .parse()
        .with_context(|| format!("{steps} is no number"))?;
    if start::is_rank(world)? {
        rank(steps, when == "early")?;
    }
    Ok(())
}

fn rank(steps: usize, early: bool) -> anyhow::Result<()> {
    let mut random = Random::new(1);
    let x = random.uniform_tensor(1.0, (BATCH * steps, WIDTH))?;
    let y = random.uniform_tensor(1.0, (BATCH * steps, WIDTH))?;
    let layer = || Linear::new(WIDTH, WIDTH);
    let network = sequential![
        layer()?,
        Relu,
        layer()?,
        Relu,
        layer()?,
        Relu,
        layer()?,
        Relu,
        layer()?,
        Relu,
        layer()?
    ];
    let ranks = Ranks::connect(&Meeting::new(Environment::from_process()?))?;
    let is_first = ranks.rank() == 0;
    // The first epoch is to warm up.
    let mut trainer = Trainer::new(network)
        .data(DataLoader::new(TensorDataset::new(x, y)?, BATCH))
        .loss(mse_loss)
        .ranks(ranks)
        .overlap(early)
        .epochs(2);
    let history = trainer.fit()?;
    if let (true, Some(epoch)) = (is_first, history.epochs.last()) {
        println!("{}", epoch.seconds / steps as f64);
    }
    Ok(())
}
