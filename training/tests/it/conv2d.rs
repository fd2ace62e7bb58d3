//! Convolution: equal to candle's own forward, gradients, odd shapes and refusals.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::DType;
use carrel_training::ops::{Conv2dConfig, conv2d, portable};

/// (batch, channels in, out, height, width, kernel, configuration)
fn cases() -> Vec<([usize; 7], Conv2dConfig)> {
    let config = |stride, padding, dilation, groups| Conv2dConfig {
        stride,
        padding,
        dilation,
        groups,
    };
    vec![
        ([2, 1, 3, 5, 6, 3, 2], config(1, 0, 1, 1)),
        ([2, 4, 6, 5, 7, 3, 3], config(2, 1, 1, 2)),
        ([1, 3, 3, 7, 6, 2, 3], config(1, 2, 2, 3)),
        ([3, 2, 4, 4, 4, 1, 1], config(3, 1, 1, 1)),
        ([1, 2, 2, 1, 1, 1, 1], config(1, 3, 1, 2)),
        ([0, 2, 2, 4, 4, 3, 3], config(1, 0, 1, 1)),
    ]
}

#[test]
fn forward_equals_candle_and_gradients_equal_differences() {
    for ([n, c, o, h, w, kh, kw], config) in cases() {
        let x = numbers(1, &[n, c, h, w]);
        let weight = numbers(2, &[o, c / config.groups, kh, kw]);
        let bias = numbers(3, &[o]);
        let y = conv2d(&x, &weight, Some(&bias), &config).unwrap();
        if n == 0 {
            assert_eq!(y.dims()[0], 0);
            continue;
        }
        let expected = portable::conv2d(&x, &weight, Some(&bias), &config).unwrap();
        assert!(difference(&y, &expected) < 1e-12, "{config:?}");
        let single = |t: &candle_core::Tensor| t.to_dtype(DType::F32).unwrap();
        let y = conv2d(&single(&x), &single(&weight), Some(&single(&bias)), &config).unwrap();
        assert!(difference(&y, &expected) < 1e-5, "{config:?} in f32");
        let error = gradient_error(&[x, weight, bias], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), &config)
        });
        assert!(error < 1e-8, "{config:?}: {error}");
    }
}

#[test]
fn a_batch_shared_among_threads_gives_the_gradients_of_its_pictures() {
    let config = Conv2dConfig::default();
    let (x, weight) = (numbers(1, &[9, 3, 12, 12]), numbers(2, &[8, 3, 5, 5]));
    let weight = candle_core::Var::from_tensor(&weight).unwrap();
    let gradient = |x: &candle_core::Tensor| {
        let y = conv2d(x, &weight, None, &config).unwrap();
        y.sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap()
            .get(&weight)
            .unwrap()
            .clone()
    };
    let mut sum = weight.zeros_like().unwrap();
    for picture in 0..9 {
        sum = (sum + gradient(&x.narrow(0, picture, 1).unwrap())).unwrap();
    }
    assert!(difference(&gradient(&x), &sum) < 1e-9);
}

#[test]
fn strides_of_the_input_do_not_matter() {
    let config = Conv2dConfig::default();
    let (x, weight) = (numbers(1, &[2, 6, 5, 3]), numbers(2, &[4, 3, 2, 2]));
    let turned = x.transpose(1, 3).unwrap();
    let y = conv2d(&turned, &weight, None, &config).unwrap();
    let copied = conv2d(&turned.contiguous().unwrap(), &weight, None, &config).unwrap();
    assert_eq!(difference(&y, &copied), 0.0);
    let error = gradient_error(&[x, weight], |t| {
        conv2d(&t[0].transpose(1, 3)?, &t[1], None, &config)
    });
    assert!(error < 1e-8, "{error}");
}

#[test]
fn refusals_name_the_shapes() {
    let config = Conv2dConfig::default();
    let x = numbers(1, &[2, 3, 4, 4]);
    let channels = refusal(conv2d(&x, &numbers(2, &[4, 2, 3, 3]), None, &config));
    assert!(
        channels.contains("[4, 2, 3, 3]") && channels.contains("[2, 3, 4, 4]"),
        "{channels}"
    );
    let size = refusal(conv2d(&x, &numbers(2, &[4, 3, 5, 5]), None, &config));
    assert!(
        size.contains("[5, 5]") && size.contains("[2, 3, 4, 4]"),
        "{size}"
    );
    let bias = refusal(conv2d(
        &x,
        &numbers(2, &[4, 3, 3, 3]),
        Some(&numbers(3, &[5])),
        &config,
    ));
    assert!(bias.contains("[4]") && bias.contains("[5]"), "{bias}");
    let stride = Conv2dConfig {
        stride: 0,
        ..config
    };
    assert!(refusal(conv2d(&x, &numbers(2, &[4, 3, 3, 3]), None, &stride)).contains("stride"));
}
