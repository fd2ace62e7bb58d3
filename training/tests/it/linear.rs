//! Linear maps and what is fused behind them, dropout.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::Var;
use carrel_training::ops::{Then, dropout, dropout2d, linear, portable};
use carrel_training::random::Random;

#[test]
fn every_fusion_equals_candle_and_differences() {
    let mask: Vec<f32> = (0..5 * 3)
        .map(|at| if at % 3 == 0 { 0.0 } else { 2.0 })
        .collect();
    for (relu, mask) in [
        (false, None),
        (true, None),
        (false, Some(mask.clone())),
        (true, Some(mask)),
    ] {
        let then = Then { relu, mask };
        let inputs = [numbers(1, &[5, 4]), numbers(2, &[3, 4]), numbers(3, &[3])];
        let y = linear(&inputs[0], &inputs[1], Some(&inputs[2]), then.clone()).unwrap();
        let expected = portable::linear(&inputs[0], &inputs[1], Some(&inputs[2]), &then).unwrap();
        assert!(difference(&y, &expected) < 1e-14, "{then:?}");
        let error = gradient_error(&inputs, |t| linear(&t[0], &t[1], Some(&t[2]), then.clone()));
        assert!(error < 1e-8, "{then:?}: {error}");
    }
}

#[test]
fn a_batch_shared_among_threads_or_empty_has_the_gradients_of_candle() {
    for n in [0, 70] {
        let inputs = [
            numbers(1, &[n, 64]),
            numbers(2, &[64, 64]),
            numbers(3, &[64]),
        ];
        let [x, weight, bias] = &inputs.map(|t| Var::from_tensor(&t).unwrap());
        let ours = linear(x, weight, Some(bias), Then::default()).unwrap();
        let theirs = portable::linear(x, weight, Some(bias), &Then::default()).unwrap();
        let [ours, theirs] = [ours, theirs].map(|y| y.sqr().unwrap().backward().unwrap());
        for var in [x, weight, bias] {
            let expected = match n {
                0 => var.zeros_like().unwrap(),
                _ => theirs.get(var).unwrap().clone(),
            };
            assert!(difference(ours.get(var).unwrap(), &expected) < 1e-11);
        }
    }
}

#[test]
fn leading_dimensions_stay_and_a_batch_may_be_empty() {
    let (weight, then) = (numbers(2, &[3, 4]), Then::default);
    assert_eq!(
        linear(&numbers(1, &[2, 5, 4]), &weight, None, then())
            .unwrap()
            .dims(),
        [2, 5, 3]
    );
    assert_eq!(
        linear(&numbers(1, &[4]), &weight, None, then())
            .unwrap()
            .dims(),
        [3]
    );
    assert_eq!(
        linear(&numbers(1, &[0, 4]), &weight, None, then())
            .unwrap()
            .dims(),
        [0, 3]
    );
    let turned = numbers(1, &[4, 6]).t().unwrap();
    let copied = linear(&turned.contiguous().unwrap(), &weight, None, then()).unwrap();
    assert_eq!(
        difference(&linear(&turned, &weight, None, then()).unwrap(), &copied),
        0.0
    );
}

#[test]
fn refusals_name_the_shapes() {
    let said = refusal(linear(
        &numbers(1, &[2, 5]),
        &numbers(2, &[3, 4]),
        None,
        Then::default(),
    ));
    assert!(said.contains("[3, 4]") && said.contains("[2, 5]"), "{said}");
    let then = Then {
        relu: false,
        mask: Some(vec![1.0; 5]),
    };
    assert!(
        refusal(linear(
            &numbers(1, &[2, 4]),
            &numbers(2, &[3, 4]),
            None,
            then
        ))
        .contains("2 x 3")
    );
}

#[test]
fn dropout_keeps_the_mean_and_drops_whole_channels_where_asked() {
    let x = numbers(1, &[40, 50, 3, 3]).ones_like().unwrap();
    let y = dropout(&x, 0.25, &mut Random::new(7)).unwrap();
    let mean = y.mean_all().unwrap().to_scalar::<f64>().unwrap();
    // 18,000 draws of variance 1/3: a deviation of 0.02 is more than four sigma.
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    let y = dropout2d(&x, 0.5, &mut Random::new(7))
        .unwrap()
        .flatten(2, 3)
        .unwrap();
    assert_eq!(difference(&y.min(2).unwrap(), &y.max(2).unwrap()), 0.0);
    assert!(refusal(dropout(&x, 1.5, &mut Random::new(7))).contains("1.5"));
    let error = gradient_error(&[numbers(4, &[2, 3, 2, 2])], |t| {
        dropout2d(
            &dropout(&t[0], 0.5, &mut Random::new(1))?,
            0.5,
            &mut Random::new(2),
        )
    });
    assert!(error < 1e-8, "{error}");
}
