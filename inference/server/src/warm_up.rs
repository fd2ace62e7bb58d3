//! The first run of a network, which allocates what later runs reuse, before anybody waits for it.

use carrel_inference::{Data, Model, SERVING_DEFAULT, Tensor, TensorSpec};

/// The largest input that is made up, in elements.
const MOST: usize = 1 << 24;

/// Runs the network on zeros. One that does not take them is served all the same.
pub fn warm_up(model: &Model) {
    let Some(signature) = model.signatures().get(SERVING_DEFAULT) else {
        return;
    };
    let inputs = signature.inputs.iter();
    let inputs = inputs.map(|input| Some((input.name.clone(), zeros(input)?)));
    let Some(inputs) = inputs.collect() else {
        return;
    };
    if let Err(error) = model.run(SERVING_DEFAULT, inputs, &[]) {
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
