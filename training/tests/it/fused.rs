//! Convolution, channel dropout, pool and rectifier in one pass against the same one after the other.

use crate::harness::{difference, gradient_error, numbers, refusal};
use carrel_training::ops::{
    Conv2dConfig, Pool2dConfig, conv2d, conv2d_max_pool2d_relu, max_pool2d_relu,
};
use carrel_training::prelude::{Tensor, Var};

fn one_by_one(t: &[Tensor], config: &Conv2dConfig, mask: &Option<Vec<f32>>) -> Tensor {
    let mut y = conv2d(&t[0], &t[1], Some(&t[2]), config).unwrap();
    if let Some(mask) = mask {
        let (n, c, _, _) = y.dims4().unwrap();
        let mask = Tensor::from_slice(mask, (n, c, 1, 1), y.device()).unwrap();
        y = y.broadcast_mul(&mask.to_dtype(y.dtype()).unwrap()).unwrap();
    }
    max_pool2d_relu(&y, &Pool2dConfig::new(2)).unwrap()
}

#[test]
fn values_and_gradients_are_those_of_the_single_steps() {
    let groups = Conv2dConfig {
        padding: 1,
        groups: 2,
        ..Conv2dConfig::default()
    };
    for (config, [n, c, o, h, w]) in [
        (Conv2dConfig::default(), [3, 2, 4, 7, 8]),
        (Conv2dConfig::default(), [2, 1, 2, 6, 5]),
        (groups, [2, 4, 2, 5, 5]),
    ] {
        let inputs = [
            numbers(1, &[n, c, h, w]),
            numbers(2, &[o, c / config.groups, 3, 3]),
            numbers(3, &[o]),
        ];
        let mask = (0..n * o).map(|at| if at % 3 == 0 { 0.0 } else { 2.0 });
        for mask in [None, Some(mask.collect::<Vec<f32>>())] {
            let fused =
                |t: &[Tensor]| conv2d_max_pool2d_relu(&t[0], &t[1], &t[2], &config, mask.clone());
            let y = fused(&inputs).unwrap();
            assert!(difference(&y, &one_by_one(&inputs, &config, &mask)) < 1e-13);
            let error = gradient_error(&inputs, fused);
            assert!(error < 1e-8, "{config:?}: {error}");
        }
    }
}

#[test]
fn a_batch_shared_among_threads_or_empty_has_the_gradients_of_the_single_steps() {
    let config = Conv2dConfig::default();
    for n in [0, 9] {
        let inputs = [
            numbers(1, &[n, 3, 12, 12]),
            numbers(2, &[8, 3, 5, 5]),
            numbers(3, &[8]),
        ];
        let vars = inputs.map(|t| Var::from_tensor(&t).unwrap());
        let t = vars.each_ref().map(|var| var.as_tensor().clone());
        let fused = conv2d_max_pool2d_relu(&t[0], &t[1], &t[2], &config, None).unwrap();
        let single = one_by_one(&t, &config, &None);
        let [fused, single] = [fused, single].map(|y| y.sqr().unwrap().backward().unwrap());
        for var in &vars {
            assert!(difference(fused.get(var).unwrap(), single.get(var).unwrap()) < 1e-11);
        }
    }
}

#[test]
fn a_mask_that_does_not_fit_or_is_negative_is_refused() {
    let (x, weight, bias) = (
        numbers(1, &[2, 1, 4, 4]),
        numbers(2, &[3, 1, 3, 3]),
        numbers(3, &[3]),
    );
    for mask in [vec![1.0; 5], vec![-1.0; 6]] {
        let config = Conv2dConfig::default();
        let said = refusal(conv2d_max_pool2d_relu(
            &x,
            &weight,
            &bias,
            &config,
            Some(mask),
        ));
        assert!(said.contains("6 factors"), "{said}");
    }
}
