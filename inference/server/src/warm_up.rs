//! The first run of a network, which allocates what later runs reuse, before anybody waits for it.

use std::sync::Arc;
use std::time::Duration;

use carrel_inference::{Data, Model, SERVING_DEFAULT, Stop, Tensor, TensorSpec};
use tokio::time::timeout;

use crate::execute::Stopped;

/// The largest input that is made up, in elements.
const MOST: usize = 1 << 24;

/// Runs the network on zeros. One that does not take them, or takes longer than a request may, is served all the same.
pub async fn warm_up(model: &Arc<Model>, patience: Duration) {
    let (model, stop) = (Arc::clone(model), Stop::default());
    let until = stop.clone();
    let _stopped = Stopped(stop);
    let running = tokio::task::spawn_blocking(move || run(&model, &until));
    match timeout(patience, running).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "A first run broke off"),
        // It is stopped, but by an engine that cannot.
        Err(_) => {
            tracing::warn!("A first run took longer than {} ms", patience.as_millis());
        }
    }
}

fn run(model: &Model, stop: &Stop) {
    let Some(signature) = model.signatures().get(SERVING_DEFAULT) else {
        return;
    };
    let inputs = signature.inputs.iter();
    let inputs = inputs.map(|input| Some((input.name.clone(), zeros(input)?)));
    let Some(inputs) = inputs.collect() else {
        return;
    };
    if let Err(error) = model.run_until(SERVING_DEFAULT, inputs, &[], stop) {
        tracing::debug!(%error, "A network does not run on zeros");
    }
}

/// Zeros in the shape of an input, with 1 for dimensions of any size.
fn zeros(input: &TensorSpec) -> Option<Tensor> {
    let shape: Vec<usize> = input.shape.iter().map(|dim| dim.unwrap_or(1)).collect();
    let count = shape
        .iter()
        .try_fold(1usize, |all, dim| all.checked_mul(*dim))?;
    if count > MOST {
        return None;
    }
    match input.dtype.size() {
        Some(size) => Tensor::from_bytes(input.dtype, shape, &vec![0; count * size]).ok(),
        None => Tensor::new(shape, Data::String(vec![Vec::new(); count])).ok(),
    }
}
