//! One dimension: convolution and pools against sums by definition and differences, on both ways of computing.

use candle_core::{DType, Result, Tensor};
use carrel_training::ops::{
    Conv1dConfig, Conv2dConfig, Pool1dConfig, avg_pool1d, conv1d, max_pool1d,
};
use carrel_training::prelude::*;
use proptest::prelude::*;

use crate::harness::{difference, gradient_error, numbers, refusal};

/// `y[n][o][at] = bias[o] + sum of x[n][c][at * stride + k * dilation - padding] * weight[o][c][k]`
fn by_definition([x, weight, bias]: &[Tensor; 3], config: &Conv1dConfig) -> Result<Tensor> {
    let (n, _, length) = x.dims3()?;
    let (out, inner, kernel) = weight.dims3()?;
    let span = config.dilation * (kernel - 1) + 1;
    let places = (length + 2 * config.padding - span) / config.stride + 1;
    let (x, weight) = (x.to_vec3::<f64>()?, weight.to_vec3::<f64>()?);
    let bias = bias.to_vec1::<f64>()?;
    let mut y = Vec::new();
    for at in 0..n * out * places {
        let (place, o, item) = (at % places, at / places % out, at / places / out);
        let mut sum = bias[o];
        for (c, k) in (0..inner).flat_map(|c| (0..kernel).map(move |k| (c, k))) {
            let from = (place * config.stride + k * config.dilation).checked_sub(config.padding);
            let channel = o / (out / config.groups) * inner + c;
            let value = from.and_then(|from| x[item][channel].get(from));
            sum += value.unwrap_or(&0.0) * weight[o][c][k];
        }
        y.push(sum);
    }
    Tensor::from_vec(y, (n, out, places), &Device::Cpu)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn convolution_is_that_of_the_definition_and_its_gradients_those_of_differences(
        [n, inner, out, groups] in [1usize..4, 1..3, 1..3, 1..3],
        [length, kernel] in [1usize..9, 1..5],
        [stride, padding, dilation] in [1usize..4, 0..4, 1..3],
    ) {
        prop_assume!(length + 2 * padding > dilation * (kernel - 1));
        let config = Conv2dConfig { stride, padding, dilation, groups };
        let inputs = [
            numbers(1, &[n, inner * groups, length]),
            numbers(2, &[out * groups, inner, kernel]),
            numbers(3, &[out * groups]),
        ];
        let convolved = |t: &[Tensor]| conv1d(&t[0], &t[1], Some(&t[2]), &config);
        let expected = by_definition(&inputs, &config).unwrap();
        prop_assert!(difference(&convolved(&inputs).unwrap(), &expected) < 1e-12);
        prop_assert!(gradient_error(&inputs, convolved) < 1e-8);
        let coarse = inputs.map(|t| t.to_dtype(DType::F16).unwrap());
        // Eleven bits of mantissa.
        prop_assert!(difference(&convolved(&coarse).unwrap(), &expected) < 0.02);
    }
}

#[test]
fn pools_are_those_of_pictures_of_one_line() -> Result<()> {
    let x = numbers(4, &[2, 3, 7]);
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 0), (7, 1, 3)] {
        let config = Pool1dConfig {
            kernel,
            stride,
            padding,
        };
        let windows = (7 + 2 * padding - kernel) / stride + 1;
        let (max, mean) = (max_pool1d(&x, &config)?, avg_pool1d(&x, &config)?);
        assert_eq!(
            (max.dims(), mean.dims()),
            (&[2, 3, windows][..], &[2, 3, windows][..])
        );
        let values = x.to_vec3::<f64>()?;
        for (at, (max, mean)) in max.to_vec3::<f64>()?[1][2]
            .iter()
            .zip(&mean.to_vec3::<f64>()?[1][2])
            .enumerate()
        {
            let places =
                (at * stride..at * stride + kernel).filter_map(|at| at.checked_sub(padding));
            let inside: Vec<f64> = places
                .filter_map(|at| values[1][2].get(at).copied())
                .collect();
            assert_eq!(
                *max,
                inside.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            );
            assert!((mean - inside.iter().sum::<f64>() / kernel as f64).abs() < 1e-12);
        }
        for pool in [max_pool1d, avg_pool1d] {
            let error = gradient_error(std::slice::from_ref(&x), |t| pool(&t[0], &config));
            assert!(error < 1e-8, "{config:?}: {error}");
            let coarse = pool(&x.to_dtype(DType::F16)?, &config)?;
            assert!(difference(&coarse, &pool(&x, &config)?) < 0.02);
        }
    }
    assert!(refusal(max_pool1d(&x, &Pool1dConfig::new(8))).contains("max_pool1d"));
    assert!(refusal(avg_pool1d(&numbers(1, &[2, 3]), &Pool1dConfig::new(2))).contains("(n, c, l)"));
    Ok(())
}

#[test]
fn a_network_over_sequences_learns() -> Result<()> {
    let net = || {
        carrel_training::random::with_seed(1, || {
            Ok::<_, candle_core::Error>(sequential![
                Conv1d::new(1, 4, 3)?.padding(1),
                Relu,
                MaxPool1d::new(2),
                AvgPool1d::new(2),
                Flatten,
                Linear::new(8, 2)?
            ])
        })
    };
    let x = numbers(1, &[64, 1, 8]).to_dtype(DType::F32)?;
    let y = x
        .narrow(2, 0, 4)?
        .sum((1, 2))?
        .gt(0f32)?
        .to_dtype(DType::U32)?;
    let data = DataLoader::new(TensorDataset::new(x, y)?, 16);
    let mut trainer = Trainer::new(net()?)
        .data(data)
        .optimizer(|p| Adam::new(p, 0.02))?
        .epochs(40);
    let history = trainer.fit().unwrap();
    assert!(
        history.loss() < 0.2 && history.losses()[0] > 0.5,
        "{history}"
    );
    assert_eq!(trainer.model().named_parts()[0].0, "0.weight");
    Ok(())
}
