//! What candle itself gets wrong; a test that fails here says that a release repaired it.

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

#[test]
fn the_gradient_of_candles_conv1d_with_stride_and_groups_is_wrong() {
    let inputs = [numbers(1, &[2, 4, 9]), numbers(2, &[6, 2, 3])];
    let error = gradient_error(&inputs, |t| t[0].conv1d(&t[1], 1, 2, 1, 2));
    assert!(error > 1e-2, "repaired: {error}");
}
