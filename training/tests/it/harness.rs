//! Random inputs, comparison, gradients against finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};
use carrel_training::random::Random;

/// Uniform in -1..1, the same at every run.
pub fn numbers(seed: u64, shape: &[usize]) -> Tensor {
    let mut random = Random::new(seed);
    let len = shape.iter().product();
    let numbers: Vec<f64> = (0..len).map(|_| random.uniform() * 2.0 - 1.0).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// The greatest difference between two tensors of one shape.
pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let flat = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let (a, b) = (
        flat(a).to_vec1::<f64>().unwrap(),
        flat(b).to_vec1::<f64>().unwrap(),
    );
    a.iter()
        .zip(&b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

/// The greatest difference between the gradient of `f` (weighted by fixed numbers, so that no error cancels) and
/// central differences, over every element of every f64 input. With a step of 1e-5 rounding and truncation stay
/// below 1e-8.
pub fn gradient_error(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> f64 {
    let score = |inputs: &[Tensor]| {
        let y = f(inputs).unwrap();
        let weights = numbers(99, y.dims());
        (y * weights).unwrap().sum_all().unwrap()
    };
    let vars: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(x).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let gradients = score(&tensors).backward().unwrap();
    let mut worst = 0.0f64;
    for (which, var) in vars.iter().enumerate() {
        let gradient = gradients.get(var).expect("a gradient for every input");
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let values = inputs[which]
            .flatten_all()
            .unwrap()
            .to_vec1::<f64>()
            .unwrap();
        for (at, gradient) in gradient.iter().enumerate() {
            let moved = |step: f64| {
                let (mut values, mut inputs) = (values.clone(), inputs.to_vec());
                values[at] += step;
                let shape = inputs[which].shape().clone();
                inputs[which] = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                score(&inputs).to_scalar::<f64>().unwrap()
            };
            worst = worst.max(((moved(1e-5) - moved(-1e-5)) / 2e-5 - gradient).abs());
        }
    }
    worst
}

/// The message of a refused call.
pub fn refusal(result: Result<Tensor>) -> String {
    result.expect_err("a call that must be refused").to_string()
}
