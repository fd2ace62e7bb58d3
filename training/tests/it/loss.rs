//! Softmax and the losses of classification.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Device, Tensor};
use carrel_training::ops::{cross_entropy, log_softmax, nll_loss, portable, softmax};
use std::slice::from_ref;

#[test]
fn softmax_over_every_dimension_equals_candle_and_differences() {
    let x = numbers(1, &[3, 4, 2]);
    for dim in 0..3 {
        let y = log_softmax(&x, dim).unwrap();
        assert!(difference(&y, &portable::log_softmax(&x, dim).unwrap()) < 1e-14);
        assert!(difference(&softmax(&x, dim).unwrap(), &y.exp().unwrap()) < 1e-14);
        for error in [
            gradient_error(from_ref(&x), |t| log_softmax(&t[0], dim)),
            gradient_error(from_ref(&x), |t| softmax(&t[0], dim)),
            gradient_error(from_ref(&x), |t| portable::log_softmax(&t[0], dim)),
        ] {
            assert!(error < 1e-8, "dimension {dim}: {error}");
        }
    }
    assert_eq!(softmax(&numbers(1, &[0, 4]), 1).unwrap().dims(), [0, 4]);
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let x = Tensor::new(&[[1e4f32, 0.0, -1e4]], &Device::Cpu).unwrap();
    let y = log_softmax(&x, 1).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(y, [[0.0, -1e4, -2e4]]);
}

/// Next to a large maximum the logarithm of the sum is less than a float's step (PyTorch's issue 11752).
#[test]
fn equal_large_scores_share_evenly() {
    for size in [1e4f32, 1e5, 1e8, 1e30] {
        for sign in [1.0, -1.0] {
            let x = Tensor::new(&[[sign * size; 2]], &Device::Cpu).unwrap();
            for x in [x.clone(), x.to_dtype(DType::F64).unwrap()] {
                let half = Tensor::new(&[[0.5f64; 2]], &Device::Cpu).unwrap();
                assert!(difference(&softmax(&x, 1).unwrap(), &half) < 1e-7, "{size}");
                let ln = half.log().unwrap();
                assert!(
                    difference(&log_softmax(&x, 1).unwrap(), &ln) < 1e-7,
                    "{size}"
                );
                let target = Tensor::new(&[1u32], &Device::Cpu).unwrap();
                let loss = cross_entropy(&x, &target).unwrap();
                let two = Tensor::new(2f64.ln(), &Device::Cpu).unwrap();
                assert!(difference(&loss, &two) < 1e-7, "{size}: {loss}");
            }
        }
    }
}

#[test]
fn cross_entropy_equals_the_closed_form_and_differences() {
    let targets = Tensor::new(&[2u32, 0, 1], &Device::Cpu).unwrap();
    let even = numbers(1, &[3, 4]).zeros_like().unwrap();
    let loss = cross_entropy(&even, &targets)
        .unwrap()
        .to_scalar::<f64>()
        .unwrap();
    assert!((loss - 4f64.ln()).abs() < 1e-14);
    for error in [
        gradient_error(&[numbers(1, &[3, 4])], |t| cross_entropy(&t[0], &targets)),
        gradient_error(&[numbers(1, &[3, 4])], |t| nll_loss(&t[0], &targets)),
    ] {
        assert!(error < 1e-8, "{error}");
    }
}

#[test]
fn refusals_name_targets_and_shapes() {
    let x = numbers(1, &[2, 4]);
    let targets = |targets: &[i64]| Tensor::new(targets, &Device::Cpu).unwrap();
    assert!(refusal(cross_entropy(&x, &targets(&[0, 4]))).contains("target 4"));
    assert!(refusal(cross_entropy(&x, &targets(&[-1, 0]))).contains("target -1"));
    assert!(refusal(nll_loss(&x, &targets(&[0]))).contains("[2, 4]"));
    assert!(refusal(nll_loss(&numbers(1, &[0, 4]), &targets(&[]))).contains("[0, 4]"));
    assert!(refusal(nll_loss(&x, &numbers(1, &[2]))).contains("F64"));
}
