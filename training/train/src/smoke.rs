//! What TensorFlow's `tf_smoke` did in a TFJob: says who it is, and multiplies matrices on every task of the cluster.

use anyhow::ensure;
use carrel_training::prelude::{Device, Tensor};
use carrel_training::random::Random;
use carrel_training::ranks::{Environment, Meeting, Ranks};

const SIZE: usize = 64;
/// Set by the image.
const GIT_VERSION_VARIABLE: &str = "CARREL_GIT_VERSION";

pub fn run(environment: Environment, secret: Vec<u8>) -> anyhow::Result<()> {
    println!("Carrel version: {}", env!("CARGO_PKG_VERSION"));
    println!(
        "Carrel git version: {}",
        variable(GIT_VERSION_VARIABLE, "unknown")
    );
    println!("tf_config: {}", variable("TF_CONFIG", "none"));
    let meeting = Meeting {
        secret,
        configuration: "smoke".to_owned(),
        ..Meeting::new(environment)
    };
    let mut ranks = Ranks::connect(&meeting)?;
    // Rank 0 makes the factors, everyone the product, and everyone compares all of them.
    let mut random = Random::new(1234);
    let factors = random.uniform_tensor(1.0, (2, SIZE, SIZE))?;
    let own = bytes(&factors.flatten_all()?.to_vec1()?);
    let factors: Vec<f32> = ranks
        .broadcast(0, &own)?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let factors = Tensor::from_vec(factors, (2, SIZE, SIZE), &Device::Cpu)?;
    let product = factors.get(0)?.matmul(&factors.get(1)?)?;
    let products = ranks.all_gather(&bytes(&product.flatten_all()?.to_vec1()?))?;
    for (rank, product) in products.iter().enumerate() {
        ensure!(
            *product == products[0],
            "the product of rank {rank} differs from that of rank 0"
        );
    }
    ranks.barrier()?;
    println!(
        "The product of two {SIZE} x {SIZE} matrices is the same on all {} tasks",
        ranks.world()
    );
    Ok(())
}

fn variable(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
