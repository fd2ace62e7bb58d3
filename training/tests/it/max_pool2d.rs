//! Maximum pool: values, gradients on both ways of computing it, ties, padding and refusals.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{Device, Tensor, Var};
use carrel_training::ops::{Pool2dConfig, max_pool2d, max_pool2d_relu, portable};
use std::slice::from_ref;

fn cases() -> [(Pool2dConfig, [usize; 4]); 4] {
    [
        (Pool2dConfig::new(2), [2, 3, 4, 6]),
        (Pool2dConfig::new(2), [1, 2, 5, 7]),
        (
            Pool2dConfig {
                kernel: 3,
                stride: 2,
                padding: 1,
            },
            [2, 1, 6, 5],
        ),
        (
            Pool2dConfig {
                kernel: 3,
                stride: 1,
                padding: 0,
            },
            [1, 2, 5, 4],
        ),
    ]
}

#[test]
fn both_ways_agree_and_have_the_gradient_of_differences() {
    for (config, shape) in cases() {
        let x = numbers(5, &shape);
        let y = max_pool2d(&x, &config).unwrap();
        assert_eq!(
            difference(&y, &portable::max_pool2d(&x, &config).unwrap()),
            0.0,
            "{config:?}"
        );
        for error in [
            gradient_error(from_ref(&x), |t| max_pool2d(&t[0], &config)),
            gradient_error(from_ref(&x), |t| max_pool2d_relu(&t[0], &config)),
            gradient_error(from_ref(&x), |t| portable::max_pool2d(&t[0], &config)),
        ] {
            assert!(error < 1e-8, "{config:?}: {error}");
        }
    }
}

#[test]
fn values_equal_candle_where_it_has_them() {
    let x = numbers(5, &[2, 3, 5, 7]);
    let y = max_pool2d(&x, &Pool2dConfig::new(2)).unwrap();
    assert_eq!(difference(&y, &x.max_pool2d(2).unwrap()), 0.0);
    let y = max_pool2d_relu(&x, &Pool2dConfig::new(2)).unwrap();
    assert_eq!(
        difference(&y, &x.max_pool2d(2).unwrap().relu().unwrap()),
        0.0
    );
}

#[test]
fn a_tie_goes_to_the_first_on_both_ways() {
    let x = Tensor::new(&[[[[4f32, 4.], [4., 4.]]]], &Device::Cpu).unwrap();
    let x = Var::from_tensor(&x).unwrap();
    let config = Pool2dConfig::new(2);
    for y in [
        max_pool2d(&x, &config).unwrap(),
        portable::max_pool2d(&x, &config).unwrap(),
    ] {
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap().flatten_all().unwrap();
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), [1.0, 0.0, 0.0, 0.0]);
    }
}

#[test]
fn an_empty_batch_stays_empty_and_wrong_shapes_are_named() {
    let config = Pool2dConfig::new(2);
    assert_eq!(
        max_pool2d(&numbers(1, &[0, 3, 4, 4]), &config)
            .unwrap()
            .dims(),
        [0, 3, 2, 2]
    );
    assert!(refusal(max_pool2d(&numbers(1, &[3, 4, 4]), &config)).contains("[3, 4, 4]"));
    assert!(refusal(max_pool2d(&numbers(1, &[1, 1, 1, 4]), &config)).contains("[1, 1, 1, 4]"));
    let padding = Pool2dConfig {
        padding: 2,
        ..config
    };
    assert!(refusal(max_pool2d(&numbers(1, &[1, 1, 4, 4]), &padding)).contains("padding 2"));
    let padding = Pool2dConfig {
        padding: 1,
        ..config
    };
    assert!(refusal(max_pool2d(&numbers(1, &[1, 1, 0, 4]), &padding)).contains("[0, 4]"));
}
