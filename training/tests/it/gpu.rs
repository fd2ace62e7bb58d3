//! The same results on an NVIDIA GPU: operations, gradients, optimizers, and the seed's network in training.

use candle_core::{Device, Result, Tensor, Var};
use carrel_skip::{Need, skip};
use carrel_training::ops::{
    Cell, Conv2dConfig, ConvTranspose2dConfig, Pool2dConfig, Then, attention, avg_pool2d,
    batch_norm, conv_transpose2d, conv2d, conv2d_max_pool2d_relu, cross_entropy, embedding,
    group_norm, layer_norm, linear, max_pool2d, max_pool2d_relu, recurrent, softmax,
};
use carrel_training::prelude::*;
use carrel_training::trainer::Trainer;

use crate::harness::{difference, numbers};

/// The first GPU; None, which is said, where this build or this machine has none.
fn gpu() -> Option<Device> {
    match Device::new_cuda(0) {
        Ok(device) => Some(device),
        Err(error) => {
            let error = error.to_string();
            skip(Need::Gpu, error.lines().next().unwrap_or_default());
            None
        }
    }
}

fn single(seed: u64, shape: &[usize]) -> Tensor {
    numbers(seed, shape).to_dtype(DType::F32).unwrap()
}

type Operation = fn(&[Tensor]) -> Result<Tensor>;

type Case = (&'static str, Vec<Tensor>, Operation);

fn image() -> Tensor {
    single(1, &[4, 6, 9, 8])
}

fn overlapping() -> Pool2dConfig {
    Pool2dConfig {
        kernel: 3,
        stride: 2,
        padding: 1,
    }
}

/// Every operation with inputs for it.
fn operations() -> Vec<Case> {
    [of_planes(), of_rows(), of_sequences()].concat()
}

fn of_planes() -> Vec<Case> {
    let kernel = || vec![image(), single(2, &[8, 6, 3, 3]), single(3, &[8])];
    vec![
        ("conv2d", kernel(), |t| {
            conv2d(
                &t[0],
                &t[1],
                Some(&t[2]),
                &Conv2dConfig {
                    padding: 1,
                    ..Conv2dConfig::default()
                },
            )
        }),
        ("conv2d, pool, relu", kernel(), |t| {
            let mask = (0..32)
                .map(|at| if at % 3 == 0 { 0.0 } else { 2.0 })
                .collect();
            conv2d_max_pool2d_relu(&t[0], &t[1], &t[2], &Conv2dConfig::default(), Some(mask))
        }),
        ("max_pool2d", vec![image()], |t| {
            max_pool2d(&t[0], &overlapping())
        }),
        ("max_pool2d_relu", vec![image()], |t| {
            max_pool2d_relu(&t[0], &Pool2dConfig::new(2))
        }),
        ("avg_pool2d", vec![image()], |t| {
            avg_pool2d(&t[0], &overlapping())
        }),
        (
            "conv_transpose2d",
            vec![image(), single(2, &[6, 4, 3, 3]), single(3, &[4])],
            |t| {
                let config = ConvTranspose2dConfig {
                    stride: 2,
                    padding: 1,
                    ..ConvTranspose2dConfig::default()
                };
                conv_transpose2d(&t[0], &t[1], Some(&t[2]), &config)
            },
        ),
    ]
}

fn of_rows() -> Vec<Case> {
    let row = || vec![single(4, &[5, 7]), single(5, &[3, 7]), single(6, &[3])];
    let channels = || vec![image(), single(7, &[6]), single(8, &[6])];
    let last = || vec![single(4, &[5, 7]), single(7, &[7]), single(8, &[7])];
    vec![
        ("linear", row(), |t| {
            linear(
                &t[0],
                &t[1],
                Some(&t[2]),
                Then {
                    relu: true,
                    mask: None,
                },
            )
        }),
        ("batch_norm", channels(), |t| {
            Ok(batch_norm(&t[0], &t[1], &t[2], 1e-5)?.y)
        }),
        ("layer_norm", last(), |t| {
            layer_norm(&t[0], &t[1], &t[2], 1e-5)
        }),
        ("group_norm", channels(), |t| {
            group_norm(&t[0], 3, &t[1], &t[2], 1e-5)
        }),
        ("softmax", vec![single(4, &[5, 7])], |t| softmax(&t[0], 1)),
        ("cross_entropy", vec![single(4, &[5, 7])], |t| {
            cross_entropy(&t[0], &Tensor::new(&[0u32, 6, 3, 3, 1], t[0].device())?)
        }),
    ]
}

fn of_sequences() -> Vec<Case> {
    vec![
        (
            "attention",
            [9, 10, 11].map(|seed| single(seed, &[2, 5, 6])).to_vec(),
            |t| attention(&t[0], &t[1], &t[2], 2, true),
        ),
        (
            "lstm",
            vec![
                single(4, &[2, 5, 12]),
                single(5, &[12, 3]),
                single(6, &[12]),
                single(7, &[2, 2, 3]),
            ],
            |t| Ok(recurrent(Cell::Lstm, &t[0], (&t[1], &t[2]), &t[3])?.0),
        ),
        ("embedding", vec![single(4, &[5, 7])], |t| {
            embedding(&Tensor::new(&[0u32, 4, 4], t[0].device())?, &t[0], None)
        }),
    ]
}

/// The result and the gradients of all inputs, weighted by fixed numbers.
fn computed(inputs: &[Tensor], operation: Operation, device: &Device) -> Result<Vec<Tensor>> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(&x.to_device(device)?))
        .collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = operation(&tensors)?;
    let weights = single(99, y.dims()).to_device(device)?;
    let gradients = (&y * weights)?.sum_all()?.backward()?;
    let mut all = vec![y.to_device(&Device::Cpu)?];
    for var in &vars {
        all.push(gradients.get(var).unwrap().to_device(&Device::Cpu)?);
    }
    Ok(all)
}

#[test]
fn every_operation_gives_on_the_gpu_what_it_gives_on_the_cpu() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for (name, inputs, operation) in operations() {
        let (here, there) = (
            computed(&inputs, operation, &Device::Cpu)?,
            computed(&inputs, operation, &gpu)?,
        );
        for (which, (here, there)) in here.iter().zip(&there).enumerate() {
            let error = difference(here, there);
            println!("{name}, part {which}: {error:.1e}");
            // Tensor cores round the factors of f32 products to TF32 where candle lets them.
            assert!(error < 5e-3, "{name}, part {which}: {error}");
        }
    }
    Ok(())
}

#[test]
fn optimizers_go_the_same_way_on_the_gpu() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    type Make = fn(Vec<Var>) -> Result<Box<dyn Optimizer>>;
    let makes: [Make; 3] = [
        |p| {
            Ok(Box::new(
                Sgd::new(p, 0.1)?
                    .momentum(0.9)
                    .weight_decay(0.01)
                    .nesterov(),
            ))
        },
        |p| Ok(Box::new(Adam::new(p, 0.1)?.weight_decay(0.1))),
        |p| Ok(Box::new(AdamW::new(p, 0.1)?)),
    ];
    for make in makes {
        let mut ends = Vec::new();
        for device in [&Device::Cpu, &gpu] {
            let p = Var::from_tensor(&single(1, &[40]).to_device(device)?)?;
            let mut optimizer = make(vec![p.clone()])?;
            for _ in 0..5 {
                optimizer.step(&(p.sqr()?.sum_all()? + p.sin()?.sum_all()?)?.backward()?)?;
            }
            ends.push(p.to_device(&Device::Cpu)?);
        }
        assert!(difference(&ends[0], &ends[1]) < 1e-5);
    }
    Ok(())
}

#[test]
fn the_seeds_network_trains_on_the_gpu_as_on_the_cpu() -> anyhow::Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let mut losses = Vec::new();
    for device in [&Device::Cpu, &gpu] {
        let (x, y) = ten_kinds_of_pictures()?;
        let mut trainer = Trainer::new(MnistNet::new(1234, 0.5)?)
            .on(device)?
            .data(DataLoader::new(TensorDataset::new(x, y)?, 64).shuffle(1))
            .loss(nll_loss)
            .optimizer(|parameters| Ok(Sgd::new(parameters, 0.05)?.momentum(0.9)))?
            .epochs(12);
        let history = trainer.fit()?;
        println!("{device:?}\n{history}");
        losses.push(history.losses());
    }
    // The masks are the same; the order of sums is not, and that adds up.
    assert!((losses[0][0] - losses[1][0]).abs() < 0.01, "{losses:?}");
    for losses in losses {
        assert!(losses[11] < losses[0] / 2.0, "{losses:?}");
    }
    Ok(())
}

/// 1024 noisy pictures, each one of ten.
fn ten_kinds_of_pictures() -> Result<(Tensor, Tensor)> {
    let kinds: Vec<u32> = (0..1024).map(|at| at % 10).collect();
    let y = Tensor::new(kinds, &Device::Cpu)?;
    let clean = single(7, &[10, 1, 28, 28]).index_select(&y, 0)?;
    let noise = single(8, &[1024, 1, 28, 28]);
    Ok(((clean + noise * 0.5)?, y))
}
