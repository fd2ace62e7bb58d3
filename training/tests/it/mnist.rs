//! The seed's network and recipe: their size, their lines, and, ignored by default, the whole of it on four ranks.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use carrel_training::prelude::*;
use carrel_training::recipes::{Recipe, RecipeError, Setting};
use carrel_training::servers::Updates;

use crate::data::mnist;
use crate::harness::difference;

/// Runs a recipe on ranks; what each came to and said.
fn on_ranks(world: usize, recipe: &Mnist) -> Vec<(Result<History, RecipeError>, Vec<String>)> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let run = |rank| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = said.clone();
        let setting = Setting {
            environment: Environment {
                rank,
                world,
                host: "localhost".into(),
                port,
                ..Environment::alone()
            },
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
    };
    thread::scope(|scope| {
        let run = &run;
        let ranks: Vec<_> = (0..world)
            .map(|rank| scope.spawn(move || run(rank)))
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
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

/// The acceptance band of the seed's job, of five runs elsewhere. Seeds differ by more than it is wide: in the third
/// epoch PyTorch comes to 0.394 and 0.399 with two of them, this recipe to 0.36 to 0.46 with eight.
#[test]
#[ignore = "takes minutes: cargo test --release -p carrel-training -- --ignored seed"]
fn the_seeds_job_on_four_ranks_falls_into_its_band() {
    let data = data().expect("the data of MNIST");
    let recipe = Mnist {
        data: Some(data),
        ..Mnist::default()
    }
    .seed(1);
    let (history, said) = on_ranks(4, &recipe).remove(0);
    let history = history.unwrap();
    println!("{}", said.join("\n"));
    let losses = history.losses();
    for (epoch, band) in [
        (0, 1.15..1.45),
        (1, 0.50..0.62),
        (2, 0.39..0.46),
        (9, 0.205..0.245),
    ] {
        assert!(
            band.contains(&losses[epoch]),
            "epoch {epoch}: {}",
            losses[epoch]
        );
    }
    let falls = losses.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(falls >= 8, "{losses:?}");
    assert!(
        history.epochs[9].accuracy >= Some(0.97),
        "{:?}",
        history.epochs[9]
    );
}
