//! What is not a number stays so through every operation, loss and metric, as in PyTorch: else a network trains "well" on
//! broken data.

use candle_core::{DType, Device, Result, Tensor};
use carrel_training::ops::{
    self, Conv1dConfig, Conv2dConfig, Pool1dConfig, Pool2dConfig, Then, portable,
};
use carrel_training::prelude::*;

use crate::harness::{numbers, refusal};

/// Numbers with one that is none, at place 3.
fn broken(shape: &[usize], dtype: DType) -> Tensor {
    let mut values = numbers(1, shape).flatten_all().unwrap().to_vec1().unwrap();
    values[3] = f64::NAN;
    let x = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    x.to_dtype(dtype).unwrap()
}

fn of_them_none(y: &Tensor) -> usize {
    let y = y.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let y = y.to_vec1::<f64>().unwrap();
    y.iter().filter(|y| y.is_nan()).count()
}

type Operation = (
    &'static str,
    &'static [usize],
    fn(&Tensor) -> Result<Tensor>,
);

/// Each with the shape of what it takes.
const OPERATIONS: [Operation; 26] = [
    ("relu", &[2, 5], |x| ops::relu(x)),
    ("gelu", &[2, 5], |x| ops::gelu(x)),
    ("silu", &[2, 5], |x| Silu.forward(x)),
    ("sigmoid", &[2, 5], |x| ops::sigmoid(x)),
    ("tanh", &[2, 5], |x| Tanh.forward(x)),
    ("softmax", &[2, 5], |x| softmax(x, 1)),
    ("log_softmax", &[2, 5], |x| log_softmax(x, 1)),
    ("max_pool1d", &[1, 2, 6], |x| {
        ops::max_pool1d(x, &Pool1dConfig::new(2))
    }),
    ("avg_pool1d", &[1, 2, 6], |x| {
        ops::avg_pool1d(x, &Pool1dConfig::new(2))
    }),
    ("max_pool2d", &[1, 1, 4, 4], |x| {
        ops::max_pool2d(x, &Pool2dConfig::new(2))
    }),
    ("max_pool2d_relu", &[1, 1, 4, 4], |x| {
        ops::max_pool2d_relu(x, &Pool2dConfig::new(2))
    }),
    ("avg_pool2d", &[1, 1, 4, 4], |x| {
        ops::avg_pool2d(x, &Pool2dConfig::new(2))
    }),
    ("conv1d", &[1, 1, 6], |x| {
        ops::conv1d(x, &like(x, &[2, 1, 3])?, None, &Conv1dConfig::default())
    }),
    ("conv2d", &[1, 1, 4, 4], |x| {
        ops::conv2d(x, &like(x, &[2, 1, 3, 3])?, None, &Conv2dConfig::default())
    }),
    ("conv2d_max_pool2d_relu", &[1, 1, 6, 6], |x| {
        let (weight, bias) = (like(x, &[2, 1, 3, 3])?, like(x, &[2])?);
        ops::conv2d_max_pool2d_relu(x, &weight, &bias, &Conv2dConfig::default(), None)
    }),
    ("linear with a rectifier", &[2, 5], |x| {
        let then = Then {
            relu: true,
            mask: None,
        };
        ops::linear(x, &like(x, &[3, 5])?, None, then)
    }),
    ("batch_norm", &[2, 3, 2], |x| {
        Ok(ops::batch_norm(x, &like(x, &[3])?, &like(x, &[3])?, 1e-5)?.y)
    }),
    ("layer_norm", &[2, 5], |x| {
        ops::layer_norm(x, &like(x, &[5])?, &like(x, &[5])?, 1e-5)
    }),
    ("group_norm", &[2, 4, 2], |x| {
        ops::group_norm(x, 2, &like(x, &[4])?, &like(x, &[4])?, 1e-5)
    }),
    ("conv_transpose2d", &[1, 1, 4, 4], |x| {
        ops::conv_transpose2d(x, &like(x, &[1, 2, 3, 3])?, None, &Default::default())
    }),
    ("adaptive_avg_pool2d", &[1, 1, 4, 4], |x| {
        ops::adaptive_avg_pool2d(x, [2, 1])
    }),
    ("attention", &[1, 3, 6], |x| {
        ops::self_attention(x, 2, false)
    }),
    ("gru", &[1, 2, 6], |x| {
        let (weight, state) = (like(x, &[6, 2])?, like(x, &[1, 1, 2])?);
        Ok(ops::recurrent(ops::Cell::Gru, x, (&weight, &like(x, &[6])?), &state)?.0)
    }),
    ("mse_loss", &[2, 5], |x| mse_loss(x, &x.zeros_like()?)),
    ("l1_loss", &[2, 5], |x| l1_loss(x, &x.zeros_like()?)),
    ("cross_entropy", &[2, 5], |x| {
        cross_entropy(x, &Tensor::new(&[1u32, 1], x.device())?)
    }),
];

fn like(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    numbers(2, shape).to_dtype(x.dtype())
}

#[test]
fn it_comes_out_of_every_operation_in_every_element_type() {
    for (name, shape, operation) in OPERATIONS {
        // Half precision goes by candle's operations: the way of the GPU.
        for dtype in [DType::F32, DType::F64, DType::F16] {
            let sound =
                operation(&like(&numbers(1, &[1]).to_dtype(dtype).unwrap(), shape).unwrap());
            assert_eq!(
                of_them_none(&sound.unwrap()),
                0,
                "{name} of numbers, {dtype:?}"
            );
            let y = operation(&broken(shape, dtype)).unwrap();
            assert!(of_them_none(&y) > 0, "{name}, {dtype:?}: {y}");
        }
    }
}

#[test]
fn the_rectifier_keeps_it_in_its_place_and_has_the_gradient_0_at_0() -> Result<()> {
    let x = Var::new(&[f32::NAN, -1.0, 0.0, 2.0, f32::INFINITY], &Device::Cpu)?;
    for relu in [ops::relu, portable::relu] {
        let y = relu(&x)?;
        let values = y.to_vec1::<f32>()?;
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [0.0, 0.0, 2.0, f32::INFINITY]);
        let gradients = y.sum_all()?.backward()?;
        let slopes = gradients.get(&x).unwrap().to_vec1::<f32>()?;
        assert_eq!(slopes[1..], [0.0, 0.0, 1.0, 1.0]);
    }
    Ok(())
}

#[test]
fn a_convolution_has_it_in_the_gradients_of_those_weights_alone_that_meet_it() -> Result<()> {
    let weight = Var::from_tensor(&numbers(2, &[2, 1, 3, 3]))?;
    for (value, padding, met) in [(f64::NAN, 0, 1), (f64::INFINITY, 0, 1), (f64::NAN, 1, 4)] {
        let mut values = vec![1.0; 16];
        values[3] = value;
        let x = Tensor::from_vec(values, (1, 1, 4, 4), &Device::Cpu)?;
        let config = Conv2dConfig {
            padding,
            ..Conv2dConfig::default()
        };
        let gradients = ops::conv2d(&x, &weight, None, &config)?.backward()?;
        let steps = gradients
            .get(&weight)
            .unwrap()
            .flatten_all()?
            .to_vec1::<f64>()?;
        let broken = steps.iter().filter(|step| !step.is_finite()).count();
        assert_eq!(broken, 2 * met, "{value} with padding {padding}: {steps:?}");
        assert_eq!(
            of_them_none(gradients.get(&weight).unwrap()) > 0,
            value.is_nan()
        );
    }
    Ok(())
}

#[test]
fn the_gradient_of_l1_is_0_where_nothing_differs() -> Result<()> {
    let x = Var::new(&[1f32, 2.0, 3.0, 4.0], &Device::Cpu)?;
    let target = Tensor::new(&[1f32, 0.0, 5.0, 4.0], &Device::Cpu)?;
    let gradients = l1_loss(&x, &target)?.backward()?;
    assert_eq!(
        gradients.get(&x).unwrap().to_vec1::<f32>()?,
        [0.0, 0.25, -0.25, 0.0]
    );
    Ok(())
}

#[test]
fn a_training_ends_at_the_first_loss_that_is_none() -> Result<()> {
    let x = broken(&[20, 2], DType::F32);
    let y = Tensor::from_vec(
        (0..20).map(|at| u32::from(at > 9)).collect(),
        20,
        &Device::Cpu,
    )?;
    let model = sequential![Linear::new(2, 8)?, Relu, Linear::new(8, 2)?];
    let mut trainer = Trainer::new(model)
        .data(DataLoader::new(TensorDataset::new(x, y)?, 20))
        .epochs(3);
    let said = trainer.fit().unwrap_err().to_string();
    assert!(
        said.starts_with("the loss is NaN in epoch 0, batch 0"),
        "{said}"
    );
    Ok(())
}

#[test]
fn scores_that_are_none_are_guesses_of_nothing() -> Result<()> {
    let scores = Tensor::new(
        &[[f32::NAN, 5.0], [f32::NAN, f32::NAN], [0.0, 1.0]],
        &Device::Cpu,
    )?;
    let targets = Tensor::new(&[1u32, 0, 1], &Device::Cpu)?;
    assert_eq!(accuracy(&scores, &targets)?, 1.0 / 3.0);
    let none = accuracy(&scores.narrow(0, 0, 0)?, &targets.narrow(0, 0, 0)?);
    assert!(none.unwrap_err().to_string().contains("[0, 2]"));
    Ok(())
}

#[test]
fn a_norm_that_is_none_makes_all_gradients_so() -> Result<()> {
    let (a, b) = (
        Var::new(&[1f32], &Device::Cpu)?,
        Var::new(&[1f32], &Device::Cpu)?,
    );
    let loss = ((a.as_tensor() * f64::NAN)? + b.as_tensor())?.sum_all()?;
    let mut gradients = loss.backward()?;
    let norm = clip_grad_norm(&mut gradients, &[a, b.clone()], 1.0)?;
    assert!(norm.is_nan() && of_them_none(gradients.get(&b).unwrap()) == 1);
    Ok(())
}

#[test]
fn a_test_set_without_items_is_refused_before_the_first_step() -> Result<()> {
    let x = Tensor::zeros((4, 2), DType::F32, &Device::Cpu)?;
    let y = Tensor::zeros(4, DType::U32, &Device::Cpu)?;
    let empty = TensorDataset::new(x.narrow(0, 0, 0)?, y.narrow(0, 0, 0)?)?;
    let mut trainer = Trainer::new(Linear::new(2, 2)?)
        .data(DataLoader::new(TensorDataset::new(x, y)?, 2))
        .test(DataLoader::new(empty, 2));
    let said = trainer.fit().unwrap_err().to_string();
    assert!(said.starts_with("the test set has no items"), "{said}");
    assert_eq!(trainer.history().epochs, []);
    let said = trainer.follow(&mut |_| {}).unwrap_err().to_string();
    assert!(said.starts_with("the test set has no items"), "{said}");
    Ok(())
}

#[test]
fn a_batch_without_rows_has_empty_gradients() -> Result<()> {
    let x = Var::zeros((0, 4), DType::F32, &Device::Cpu)?;
    let ones = Tensor::ones(4, DType::F32, &Device::Cpu)?;
    let gradients = ops::layer_norm(&x, &ones, &ones, 1e-5)?
        .sum_all()?
        .backward()?;
    assert_eq!(gradients.get(&x).unwrap().dims(), [0, 4]);
    assert!(
        refusal(ops::conv1d(&ones, &ones, None, &Conv1dConfig::default())).contains("(n, c, l)")
    );
    Ok(())
}
