//! Convolution: equal to candle's own forward and to sums by definition, gradients, odd shapes and refusals.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Device, Tensor, Var};
use carrel_training::ops::{Conv2dConfig, conv2d, portable};
use proptest::prelude::*;

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

fn inputs([n, c, o, h, w, kh, kw]: [usize; 7], config: &Conv2dConfig) -> [Tensor; 3] {
    let weight = numbers(2, &[o, c / config.groups, kh, kw]);
    [numbers(1, &[n, c, h, w]), weight, numbers(3, &[o])]
}

#[test]
fn forward_equals_candle_and_gradients_equal_differences() {
    for (sizes, config) in cases() {
        let [x, weight, bias] = inputs(sizes, &config);
        let y = conv2d(&x, &weight, Some(&bias), &config).unwrap();
        if sizes[0] == 0 {
            assert_eq!(y.dims()[0], 0);
            continue;
        }
        let expected = portable::conv2d(&x, &weight, Some(&bias), &config).unwrap();
        assert!(difference(&y, &expected) < 1e-12, "{config:?}");
        let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        let y = conv2d(&single(&x), &single(&weight), Some(&single(&bias)), &config).unwrap();
        assert!(difference(&y, &expected) < 1e-5, "{config:?} in f32");
        let error = gradient_error(&[x, weight, bias], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), &config)
        });
        assert!(error < 1e-8, "{config:?}: {error}");
    }
}

/// The result and the gradients of x, weight and bias, each a sum over all products that take part.
fn by_definition(
    [x, weight, bias]: &[Tensor; 3],
    config: &Conv2dConfig,
    dy: &Tensor,
) -> [Tensor; 4] {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (n, c, h, w) = x.dims4().unwrap();
    let (o, inner, kh, kw) = weight.dims4().unwrap();
    let (_, _, out_h, out_w) = dy.dims4().unwrap();
    let parts = [dy, x, weight, bias]
        .map(Tensor::zeros_like)
        .map(Result::unwrap);
    let [mut y, mut dx, mut dweight, mut dbias] = parts.each_ref().map(flat);
    let (shapes, dy) = (parts, flat(dy));
    let (x, weight, bias) = (flat(x), flat(weight), flat(bias));
    for at in 0..n * o * out_h * out_w {
        let (column, row) = (at % out_w, at / out_w % out_h);
        let (out, picture) = (at / out_w / out_h % o, at / out_w / out_h / o);
        y[at] += bias[out];
        dbias[out] += dy[at];
        for k in 0..inner * kh * kw {
            let (channel, ky, kx) = (k / kw / kh, k / kw % kh, k % kw);
            let line = (row * config.stride + ky * config.dilation).wrapping_sub(config.padding);
            let place =
                (column * config.stride + kx * config.dilation).wrapping_sub(config.padding);
            if line < h && place < w {
                let channel = out / (o / config.groups) * inner + channel;
                let from = ((picture * c + channel) * h + line) * w + place;
                let of = out * inner * kh * kw + k;
                y[at] += x[from] * weight[of];
                dx[from] += dy[at] * weight[of];
                dweight[of] += dy[at] * x[from];
            }
        }
    }
    let values = [y, dx, dweight, dbias];
    std::array::from_fn(|at| {
        Tensor::from_slice(&values[at], shapes[at].shape(), &Device::Cpu).unwrap()
    })
}

fn same_as_by_definition(sizes: [usize; 7], config: Conv2dConfig) {
    let vars = inputs(sizes, &config).map(|t| Var::from_tensor(&t).unwrap());
    let [x, weight, bias] = vars.each_ref().map(|var| var.as_tensor().clone());
    let y = conv2d(&x, &weight, Some(&bias), &config).unwrap();
    let dy = numbers(4, y.dims());
    let gradients = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
    let expected = by_definition(&[x, weight, bias], &config, &dy);
    assert!(difference(&y, &expected[0]) < 1e-12);
    for (var, expected) in vars.iter().zip(&expected[1..]) {
        assert!(difference(gradients.get(var).unwrap(), expected) < 1e-12);
    }
}

proptest! {
    #[test]
    fn values_and_gradients_are_those_of_the_definition(
        [n, inner, out, groups] in [0usize..4, 1..4, 1..4, 1..4],
        size in [1usize..20, 1..20],
        kernel in [1usize..6, 1..6],
        [stride, padding, dilation] in [1usize..5, 0..9, 1..4],
    ) {
        let fits = |axis: usize| size[axis] + 2 * padding > dilation * (kernel[axis] - 1);
        prop_assume!(fits(0) && fits(1));
        let config = Conv2dConfig { stride, padding, dilation, groups };
        let [c, o] = [inner * groups, out * groups];
        same_as_by_definition([n, c, o, size[0], size[1], kernel[0], kernel[1]], config);
    }
}

/// Rows of whole tiles and rests of each size, over one vector and many, also in f32.
#[test]
fn many_channels_give_the_values_of_the_definition() {
    for (stride, size, out) in [(1, 3, 8), (1, 11, 13), (2, 12, 17), (1, 33, 6), (3, 20, 9)] {
        let config = Conv2dConfig {
            stride,
            padding: 1,
            ..Conv2dConfig::default()
        };
        let sizes = [3, 5, out, size, size + 1, 3, 3];
        same_as_by_definition(sizes, config);
        let inputs = inputs(sizes, &config);
        let gradients = |dtype: DType| {
            let vars = inputs
                .each_ref()
                .map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()));
            let [x, weight, bias] = vars.map(Result::unwrap);
            let y = conv2d(&x, &weight, Some(&bias), &config).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = |var| gradients.get(var).unwrap().clone();
            [y, gradient(&x), gradient(&weight), gradient(&bias)]
        };
        let both = gradients(DType::F32).into_iter().zip(gradients(DType::F64));
        for (single, double) in both {
            let size = double
                .abs()
                .unwrap()
                .max_all()
                .unwrap()
                .to_scalar::<f64>()
                .unwrap();
            assert!(
                difference(&single, &double) < 1e-5 * size,
                "{config:?}, {out} channels"
            );
        }
    }
}

#[test]
fn windows_that_see_padding_only_give_the_bias() {
    let config = Conv2dConfig {
        stride: 2,
        padding: 3,
        ..Conv2dConfig::default()
    };
    same_as_by_definition([2, 1, 2, 1, 1, 1, 1], config);
    let [x, weight, bias] = inputs([2, 1, 2, 1, 1, 1, 1], &config);
    let y = conv2d(&x, &weight, Some(&bias), &config).unwrap();
    let bias = bias.reshape((1, 2, 1, 1)).unwrap();
    assert_eq!(difference(&y, &bias.broadcast_as(y.shape()).unwrap()), 0.0);
}

#[test]
fn a_batch_shared_among_threads_gives_the_gradients_of_its_pictures() {
    let config = Conv2dConfig::default();
    let (x, weight) = (numbers(1, &[9, 3, 12, 12]), numbers(2, &[8, 3, 5, 5]));
    let weight = Var::from_tensor(&weight).unwrap();
    let gradient = |x: &Tensor| {
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
    let padded = Conv2dConfig {
        padding: 2,
        ..config
    };
    let empty = numbers(1, &[2, 3, 0, 4]);
    let size = refusal(conv2d(&empty, &numbers(2, &[4, 3, 3, 3]), None, &padded));
    assert!(size.contains("[0, 4]"), "{size}");
}
