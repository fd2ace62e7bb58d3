//! Optimizers against PyTorch 1.13, states, clipping, schedules.

use crate::harness::{difference, numbers};
use candle_core::{DType, Device, Result, Tensor, Var};
use carrel_training::prelude::*;

/// Gradients of a function with another curvature in each element.
fn gradients(p: &Var) -> Result<candle_core::backprop::GradStore> {
    let curvature = Tensor::new(&[1.0f64, 0.5, 2.0], p.device())?.to_dtype(p.dtype())?;
    let value = ((p.sqr()? * curvature)?.sum_all()? + p.sin()?.sum_all()?)?;
    value.backward()
}

fn start() -> Result<Var> {
    Var::new(&[1.0f64, -2.0, 0.5], &Device::Cpu)
}

fn five_steps(make: impl Fn(Vec<Var>) -> Box<dyn Optimizer>) -> Result<[Tensor; 2]> {
    let exact = start()?;
    // Half precision goes by candle's own operations: the way of the GPU.
    let coarse = Var::from_tensor(&start()?.to_dtype(DType::BF16)?)?;
    for p in [&exact, &coarse] {
        let mut optimizer = make(vec![p.clone()]);
        for _ in 0..5 {
            optimizer.step(&gradients(p)?)?;
        }
    }
    Ok([exact, coarse].map(|p| p.as_detached_tensor()))
}

#[test]
fn every_optimizer_goes_where_pytorch_goes_on_both_ways_of_computing() -> Result<()> {
    type Case = (&'static str, fn(Vec<Var>) -> Box<dyn Optimizer>, [f64; 3]);
    let cases: [Case; 6] = [
        (
            "sgd",
            |p| Box::new(Sgd::new(p, 0.1).unwrap()),
            [
                0.03834242739059936,
                -1.1835393664424114,
                -0.1882826665411301,
            ],
        ),
        (
            "momentum",
            |p| Box::new(Sgd::new(p, 0.1).unwrap().momentum(0.9).weight_decay(0.01)),
            [
                -1.214915032061295,
                -0.03618571394412911,
                -0.7310682521238556,
            ],
        ),
        (
            "nesterov",
            |p| {
                Box::new(
                    Sgd::new(p, 0.1)
                        .unwrap()
                        .momentum(0.9)
                        .weight_decay(0.01)
                        .nesterov(),
                )
            },
            [
                -0.9858341792448363,
                -0.19286012081588536,
                -0.33399742068438665,
            ],
        ),
        (
            "adam",
            |p| Box::new(Adam::new(p, 0.1).unwrap()),
            [0.502923812150594, -1.505775623266661, 0.011886598164487908],
        ),
        (
            "adam with decay",
            |p| Box::new(Adam::new(p, 0.1).unwrap().weight_decay(0.1).betas(0.8, 0.9)),
            [
                0.5033555839305828,
                -1.5060109190771844,
                0.013190295104246463,
            ],
        ),
        (
            "adamw",
            |p| Box::new(AdamW::new(p, 0.1).unwrap().weight_decay(0.1)),
            [
                0.4641665890175195,
                -1.4193637667544705,
                -0.0019576747948912288,
            ],
        ),
    ];
    for (name, make, torch) in cases {
        let torch = Tensor::new(&torch, &Device::Cpu)?;
        let [exact, coarse] = five_steps(make)?;
        assert!(difference(&exact, &torch) < 1e-12, "{name}: {exact}");
        // Eight bits of mantissa, five steps.
        assert!(difference(&coarse, &torch) < 0.05, "{name}: {coarse}");
    }
    Ok(())
}

#[test]
fn a_saved_state_goes_on_bit_for_bit_and_another_optimizers_is_refused() -> Result<()> {
    let (a, b) = (start()?, start()?);
    let mut first = Adam::new(vec![a.clone()], 0.1)?;
    for _ in 0..3 {
        first.step(&gradients(&a)?)?;
    }
    b.set(&a.as_detached_tensor())?;
    let mut second = Adam::new(vec![b.clone()], 0.1)?;
    second.load_state(&first.state()?)?;
    for _ in 0..3 {
        first.step(&gradients(&a)?)?;
        second.step(&gradients(&b)?)?;
    }
    assert_eq!(a.to_vec1::<f64>()?, b.to_vec1::<f64>()?);
    let said = Sgd::new(vec![b], 0.1)?
        .load_state(&first.state()?)
        .unwrap_err()
        .to_string();
    assert!(said.contains("has no momentum.0"), "{said}");
    Ok(())
}

#[test]
fn clipping_scales_all_gradients_to_the_common_norm() -> Result<()> {
    let (a, b) = (
        Var::new(&[3f32], &Device::Cpu)?,
        Var::new(&[4f32], &Device::Cpu)?,
    );
    let loss = ((a.sqr()? + b.sqr()?)? * 0.5)?;
    let mut gradients = loss.backward()?;
    assert_eq!(
        clip_grad_norm(&mut gradients, &[a.clone(), b.clone()], 1.0)?,
        5.0
    );
    let values = [&a, &b].map(|v| gradients.get(v).unwrap().to_vec1::<f32>().unwrap()[0]);
    assert!(
        (values[0] - 0.6).abs() < 1e-6 && (values[1] - 0.8).abs() < 1e-6,
        "{values:?}"
    );
    assert!((clip_grad_norm(&mut gradients, &[a, b], 10.0)? - 1.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn schedules_have_their_known_values() {
    let factors = |schedule: &Schedule, steps: [usize; 4]| {
        steps.map(|step| (schedule.factor(step) * 1e6).round() / 1e6)
    };
    let cosine = Schedule::Cosine {
        over: 100,
        least: 0.1,
    };
    assert_eq!(factors(&cosine, [0, 50, 100, 500]), [1.0, 0.55, 0.1, 0.1]);
    let steps = Schedule::Steps {
        every: 10,
        gamma: 0.5,
    };
    assert_eq!(factors(&steps, [0, 9, 10, 20]), [1.0, 1.0, 0.5, 0.25]);
    let exponential = Schedule::Exponential { gamma: 0.9 };
    assert_eq!(factors(&exponential, [0, 1, 2, 3]), [1.0, 0.9, 0.81, 0.729]);
    let warmup = Schedule::Warmup {
        over: 4,
        then: Box::new(steps),
    };
    assert_eq!(factors(&warmup, [0, 3, 4, 14]), [0.2, 0.8, 1.0, 0.5]);
}

#[test]
fn a_large_parameter_steps_as_a_small_one_does() {
    // More elements than are updated at once, with a rest.
    let len = 300_001;
    let x = numbers(1, &[len]).to_dtype(DType::F32).unwrap();
    let step = |x: &Tensor| {
        let p = Var::from_tensor(x).unwrap();
        let sgd = Sgd::new(vec![p.clone()], 0.1).unwrap();
        let mut sgd = sgd.momentum(0.9).weight_decay(0.01).nesterov();
        for _ in 0..3 {
            sgd.step(&p.sqr().unwrap().sum_all().unwrap().backward().unwrap())
                .unwrap();
        }
        p.as_detached_tensor()
    };
    let whole = step(&x);
    for from in [0, 131_000, 299_001] {
        let part = step(&x.narrow(0, from, 1000).unwrap().contiguous().unwrap());
        assert_eq!(
            difference(&whole.narrow(0, from, 1000).unwrap(), &part),
            0.0
        );
    }
}
