//! How long a network takes: `engine_time MODEL ENGINE THREADS ROUNDS` prints the median in milliseconds of runs on numbers
//! between 0 and 1, with 1 for dimensions of any size.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use carrel_inference::{Choice, Engines, LoadOptions, Model, Named, SERVING_DEFAULT, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, engine, threads, rounds] = &*arguments else {
        return Err("see the first lines of engine_time.rs".into());
    };
    let choice: Choice = serde_json::from_value(engine.as_str().into())?;
    let options = LoadOptions {
        threads: threads.parse()?,
        instances: 1,
    };
    let model = Model::load(Path::new(model), &Engines::default(), choice, &options)?;
    let signature = model.signature(SERVING_DEFAULT)?;
    let inputs = signature.inputs.iter().map(|input| {
        let shape: Vec<usize> = input.shape.iter().map(|dim| dim.unwrap_or(1)).collect();
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|one| (one % 100) as f32 / 100.0).collect();
        Ok((input.name.clone(), Tensor::new(shape, numbers)?))
    });
    let inputs: Named = inputs.collect::<Result<_, carrel_inference::TensorError>>()?;
    let run = || {
        let begun = Instant::now();
        model.run(SERVING_DEFAULT, inputs.clone(), &[])?;
        Ok::<_, carrel_inference::Error>(begun.elapsed().as_secs_f64() * 1e3)
    };
    run()?;
    let rounds: usize = rounds.parse()?;
    let mut times = (0..rounds).map(|_| run()).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    println!("{}", times[rounds / 2]);
    Ok(())
}
