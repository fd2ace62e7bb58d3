//! The seed's network and recipe: their size, weights and lines.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use carrel_training::parameter_servers::Updates;
use carrel_training::prelude::*;
use carrel_training::recipes::{Recipe, RecipeError, Setting};

use crate::data::mnist;
use crate::harness::difference;
use crate::threads::on_threads;

/// Runs a recipe on ranks; what each came to and said.
fn on_ranks(world: usize, recipe: &Mnist) -> Vec<(Result<History, RecipeError>, Vec<String>)> {
    on_threads(world, |environment| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = said.clone();
        let setting = Setting {
            environment,
            secret: b"secret".to_vec(),
            updates: Updates::default(),
            checkpoints: None,
            stop: Arc::new(|| false),
            watcher: None,
            say: Box::new(move |line| lines.lock().unwrap().push(line.to_owned())),
        };
        let history = Recipe::from(recipe.clone()).run(setting);
        let said = said.lock().unwrap().clone();
        (history, said)
    })
}

fn data() -> Option<PathBuf> {
    mnist().and_then(|_| Some(PathBuf::from(std::env::var_os("CARREL_DATA")?)))
}

#[test]
fn the_network_has_the_sources_parameters_and_drops_in_training_only() -> anyhow::Result<()> {
    let net = Mnist::default().network()?;
    assert!(
        net.summary().ends_with("21840 parameters"),
        "{}",
        net.summary()
    );
    let x = Tensor::rand(0f32, 1.0, (3, 1, 28, 28), &Device::Cpu)?;
    let y = net.predict(&x)?;
    assert_eq!(difference(&y, &net.predict(&x)?), 0.0);
    let sums = y.exp()?.sum(1)?;
    assert!(difference(&sums, &sums.ones_like()?) < 1e-6);
    assert!(difference(&net.forward_t(&x, true)?, &net.forward_t(&x, true)?) > 0.0);
    Ok(())
}

/// Those of PyTorch 1.13 after `torch.manual_seed(1234)`, to a rounding: the last two weights and biases of each layer.
#[test]
fn the_network_begins_with_the_weights_of_the_source() -> anyhow::Result<()> {
    let net = Mnist::default().network()?;
    let last = |tensor: &Tensor| -> candle_core::Result<Vec<f32>> {
        let all = tensor.flatten_all()?;
        all.narrow(0, all.dim(0)? - 2, 2)?.to_vec1()
    };
    let biased = |bias: &Option<Var>| last(bias.as_ref().unwrap());
    for (weight, bias, weights, biases) in [
        (
            &net.conv1.weight,
            &net.conv1.bias,
            [0.011_224_962, -0.195_636_44],
            [-0.167_345_27, 0.089_841_105],
        ),
        (
            &net.conv2.weight,
            &net.conv2.bias,
            [0.031_612_746, 0.032_392_003],
            [0.028_099_202, 0.051_114_466],
        ),
        (
            &net.fc1.weight,
            &net.fc1.bias,
            [-0.025_368_955, -0.040_161_453],
            [0.053_021_144, -0.024_233_995],
        ),
        (
            &net.fc2.weight,
            &net.fc2.bias,
            [0.079_580_86, 0.117_522_8],
            [-0.033_400_115, -0.092_312_48],
        ),
    ] {
        for (ours, theirs) in [(last(weight)?, weights), (biased(bias)?, biases)] {
            let near = |(a, b): (&f32, f32)| (a - b).abs() < 2e-8;
            assert!(ours.iter().zip(theirs).all(near), "{ours:?} {theirs:?}");
        }
    }
    Ok(())
}

#[test]
fn the_recipe_prints_the_lines_of_the_source() {
    let Some(data) = data() else { return };
    let recipe = Mnist {
        data: Some(data),
        pictures: Some(512),
        ..Mnist::default()
    }
    .epochs(2);
    let results = on_ranks(2, &recipe);
    for (rank, (history, said)) in results.iter().enumerate() {
        let losses = history.as_ref().unwrap().losses();
        let mut expected = vec!["Processing...".to_owned(), "Done!".to_owned()];
        expected.extend(
            (0..2).map(|epoch| format!("Rank  {rank} , epoch  {epoch} :  {}", losses[epoch])),
        );
        assert_eq!(said[..4], expected);
        // Ten classes, nothing learnt yet.
        assert!((2.2..2.4).contains(&losses[0]), "{losses:?}");
    }
    assert!(
        results[0].1[4].starts_with("Test accuracy: 0."),
        "{:?}",
        results[0].1
    );
    let said = on_ranks(1, &recipe.clone().batch(0))
        .remove(0)
        .0
        .unwrap_err()
        .to_string();
    assert_eq!(said, "a batch of 0 cannot be shared by 1 ranks");
}
