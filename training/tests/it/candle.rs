//! What candle itself gets wrong; a test that fails here says that a release repaired it.

use candle_core::{Device, Result, Tensor, Var};
use carrel_training::prelude::candle_nn;

use crate::harness::{gradient_error, numbers};

#[test]
fn the_gradient_of_candles_own_max_pool_is_wrong() {
    let error = gradient_error(&[numbers(5, &[1, 1, 4, 4])], |t| t[0].max_pool2d(2));
    assert!(error > 1e-2, "repaired: {error}");
}

#[test]
fn the_gradient_of_candles_average_pool_is_wrong_where_windows_leave_a_rest() {
    let error = gradient_error(&[numbers(5, &[2, 4, 5, 6])], |t| t[0].avg_pool2d(2));
    assert!(error > 1e-2, "repaired: {error}");
}

/// The errors of the gradients to x and to the kernel.
fn of_conv1d(items: usize, out: usize, padding: usize) -> [f64; 2] {
    let (x, kernel) = (numbers(1, &[items, 2, 9]), numbers(2, &[out, 2, 3]));
    let to_x = gradient_error(std::slice::from_ref(&x), |t| {
        t[0].conv1d(&kernel, padding, 1, 1, 1)
    });
    let to_kernel = gradient_error(std::slice::from_ref(&kernel), |t| {
        x.conv1d(&t[0], padding, 1, 1, 1)
    });
    [to_x, to_kernel]
}

#[test]
fn the_gradients_of_candles_conv1d_are_wrong_for_several_items_and_channels() {
    let [to_x, to_kernel] = of_conv1d(2, 3, 0);
    assert!(
        to_x > 1e-2 && to_kernel > 1e-2,
        "repaired: {to_x}, {to_kernel}"
    );
    let [_, to_kernel] = of_conv1d(2, 3, 1);
    assert!(to_kernel > 1e-2, "repaired with padding: {to_kernel}");
    // Right where there is one of either.
    for (items, out) in [(1, 3), (2, 1)] {
        let errors = of_conv1d(items, out, 0);
        assert!(
            errors.iter().all(|error| *error < 1e-8),
            "{items}, {out}: {errors:?}"
        );
    }
}

#[test]
fn candles_relu_makes_0_of_what_is_not_a_number_and_has_the_gradient_1_at_0() -> Result<()> {
    let x = Var::new(&[f32::NAN, 0.0], &Device::Cpu)?;
    let y = x.relu()?;
    let gradients = y.sum_all()?.backward()?;
    assert_eq!(y.to_vec1::<f32>()?, [0.0, 0.0], "repaired");
    assert_eq!(
        gradients.get(&x).unwrap().to_vec1::<f32>()?[1],
        1.0,
        "repaired"
    );
    Ok(())
}

#[test]
fn the_gradient_of_candles_abs_at_0_is_1() -> Result<()> {
    let x = Var::new(&[0f32], &Device::Cpu)?;
    let gradients = x.abs()?.backward()?;
    assert_eq!(
        gradients.get(&x).unwrap().to_vec1::<f32>()?,
        [1.0],
        "repaired"
    );
    Ok(())
}

#[test]
fn the_gradient_of_candles_gelu_has_six_digits() {
    let x = numbers(3, &[9]);
    let error = gradient_error(std::slice::from_ref(&x), |t| t[0].gelu_erf());
    assert!((1e-8..1e-6).contains(&error), "repaired: {error}");
}

#[test]
fn candles_maximum_and_argmax_pass_over_what_is_not_a_number() -> Result<()> {
    let none = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu)?;
    let one = Tensor::new(&[1f32, f32::NAN], &Device::Cpu)?;
    assert_eq!(one.maximum(&none)?.to_vec1::<f32>()?[0], 1.0, "repaired");
    assert_eq!(one.argmax(0)?.to_scalar::<u32>()?, 0, "repaired");
    Ok(())
}

#[test]
fn candles_softmax_last_dim_has_no_gradient() {
    let x = Var::from_tensor(&numbers(3, &[2, 4])).unwrap();
    let y = candle_nn::ops::softmax_last_dim(&x).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&x).is_none(), "repaired");
}
