//! LSTM and GRU: equal to the formulas step by step, gradients through time, states, names.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Result, Tensor};
use carrel_training::ops::{Cell, portable, recurrent};
use carrel_training::prelude::*;
use carrel_training::random::with_seed;

type Make = fn() -> Result<Box<dyn Layer>>;

/// x, weight, bias and state of a batch of three.
fn inputs(cell: Cell, length: usize) -> Vec<Tensor> {
    let all = 4 * cell.gates();
    vec![
        numbers(1, &[3, length, all]),
        numbers(2, &[all, 4]),
        numbers(3, &[all]),
        numbers(4, &[3, cell.states(), 4]),
    ]
}

/// The outputs with the last state behind them.
fn ours(cell: Cell, t: &[Tensor]) -> Result<Tensor> {
    let (y, last) = recurrent(cell, &t[0], (&t[1], &t[2]), &t[3])?;
    Tensor::cat(&[y, last], 1)
}

#[test]
fn a_sequence_equals_the_formulas_and_its_gradients_differences() -> Result<()> {
    for cell in [Cell::Lstm, Cell::Gru] {
        for length in [1, 2, 5] {
            let t = inputs(cell, length);
            let (y, last) = portable::recurrent(cell, &t[0], (&t[1], &t[2]), &t[3])?;
            let expected = Tensor::cat(&[y, last], 1)?;
            assert!(difference(&ours(cell, &t)?, &expected) < 1e-14, "{cell:?}");
            let short: Vec<Tensor> = t.iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect();
            let off = difference(&ours(cell, &short)?, &expected);
            assert!(off < 1e-6, "{cell:?}: {off}");
            let error = gradient_error(&t, |t| ours(cell, t));
            assert!(error < 1e-8, "{cell:?}, {length}: {error}");
        }
    }
    Ok(())
}

#[test]
fn a_batch_over_several_threads_gives_what_each_item_gives() -> Result<()> {
    for cell in [Cell::Lstm, Cell::Gru] {
        let (n, length, width) = (7, 12, 40);
        let t = [
            numbers(1, &[n, length, width * cell.gates()]),
            (numbers(2, &[width * cell.gates(), width]) * 0.3)?,
            numbers(3, &[width * cell.gates()]),
            numbers(4, &[n, cell.states(), width]),
        ];
        let of = |t: &[Tensor]| -> Result<Vec<Tensor>> {
            let vars: Vec<Var> = t.iter().map(Var::from_tensor).collect::<Result<_>>()?;
            let t: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let y = ours(cell, &t)?;
            let gradients = y.sqr()?.sum_all()?.backward()?;
            let of_x = gradients.get(&vars[0]).unwrap().clone();
            Ok(vec![y, of_x, gradients.get(&vars[1]).unwrap().clone()])
        };
        let all = of(&t)?;
        let mut of_weight = t[1].zeros_like()?;
        for at in 0..n {
            let item = |t: &Tensor| t.narrow(0, at, 1);
            let one = of(&[item(&t[0])?, t[1].clone(), t[2].clone(), item(&t[3])?])?;
            assert!(difference(&all[0].narrow(0, at, 1)?, &one[0]) < 1e-12);
            assert!(difference(&all[1].narrow(0, at, 1)?, &one[1]) < 1e-12);
            of_weight = (of_weight + &one[2])?;
        }
        assert!(difference(&all[2], &of_weight) < 1e-10, "{cell:?}");
    }
    Ok(())
}

#[test]
fn layers_lie_on_one_another_and_go_on_from_a_state() -> Result<()> {
    let x = numbers(5, &[2, 6, 3]).to_dtype(DType::F32)?;
    let (first, second) = (x.narrow(1, 0, 4)?, x.narrow(1, 4, 2)?);
    let lstm = Lstm::stacked(3, 5, 2)?;
    let (all, (h, c)) = lstm.forward_from(&x, None)?;
    assert_eq!([h.dims(), c.dims()], [[2, 2, 5]; 2]);
    // The last output of the upper layer is its state.
    assert!(difference(&all.get_on_dim(1, 5)?, &h.get(1)?) == 0.0);
    let (_, (h, c)) = lstm.forward_from(&first, None)?;
    let (later, _) = lstm.forward_from(&second, Some((&h, &c)))?;
    assert!(difference(&later, &all.narrow(1, 4, 2)?) < 1e-6);
    let gru = Gru::stacked(3, 5, 3)?.without_bias();
    let (all, _) = gru.forward_from(&x, None)?;
    let (_, h) = gru.forward_from(&first, None)?;
    let (later, last) = gru.forward_from(&second, Some(&h))?;
    assert!(difference(&later, &all.narrow(1, 4, 2)?) < 1e-6);
    assert_eq!(last.dims(), [3, 2, 5]);
    assert_eq!(gru.state()?.len(), 6);
    Ok(())
}

#[test]
fn names_and_first_weights_are_those_of_pytorch() -> anyhow::Result<()> {
    let lstm = with_seed(5, || Lstm::stacked(2, 3, 2))?;
    let names: Vec<String> = lstm
        .named_parts()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_ih_l1",
        "weight_hh_l1",
        "bias_ih_l1",
        "bias_hh_l1",
    ];
    assert_eq!(names, expected);
    let state = lstm.state()?;
    // Of PyTorch 2.15 with the same seed.
    let first = Tensor::new(&[0.381_342, -0.431_729_9f32], &Device::Cpu)?;
    assert!(difference(&state["weight_ih_l0"].get(0)?, &first) < 1e-6);
    let last = Tensor::new(&[0.360_014_92, 0.484_322_67, -0.401_004_3f32], &Device::Cpu)?;
    assert!(difference(&state["bias_hh_l1"].narrow(0, 0, 3)?, &last) < 1e-6);
    let other = with_seed(6, || Lstm::stacked(2, 3, 2))?;
    other.load_state(&state)?;
    let x = numbers(5, &[2, 6, 2]).to_dtype(DType::F32)?;
    assert_eq!(difference(&lstm.predict(&x)?, &other.predict(&x)?), 0.0);
    Ok(())
}

#[test]
fn gradients_reach_every_parameter_of_stacked_layers() -> Result<()> {
    let x = numbers(5, &[2, 3, 2]);
    let lstm: Make = || Ok(Box::new(Lstm::stacked(2, 3, 2)?));
    let gru: Make = || Ok(Box::new(Gru::stacked(2, 3, 2)?));
    for (name, make) in [("lstm", lstm), ("gru", gru)] {
        let mut layer = make()?;
        layer.to_dtype(DType::F64)?;
        let values = layer
            .parameters()
            .into_iter()
            .map(|var| var.as_tensor().copy());
        let mut values = values.collect::<Result<Vec<_>>>()?;
        values.push(x.clone());
        let error = gradient_error(&values, |t| {
            let mut layer = make()?;
            let mut given = t.iter();
            layer.map(&mut |_| Var::from_tensor(given.next().expect("one for each")))?;
            layer.forward_t(&t[t.len() - 1], true)
        });
        assert!(error < 1e-8, "{name}: {error}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let t = inputs(Cell::Gru, 2);
    let said = refusal(recurrent(Cell::Lstm, &t[0], (&t[1], &t[2]), &t[3]).map(|(y, _)| y));
    assert!(
        said.starts_with("lstm") && said.contains("[3, 2, 12]"),
        "{said}"
    );
    let gru = Gru::new(3, 5)?;
    let x = numbers(1, &[2, 4, 3]).to_dtype(DType::F32)?;
    let said = refusal(
        gru.forward_from(&x, Some(&numbers(1, &[1, 3, 5])))
            .map(|(y, _)| y),
    );
    assert!(
        said.contains("[1, 2, 5]") && said.contains("[1, 3, 5]"),
        "{said}"
    );
    assert!(refusal(gru.forward(&numbers(1, &[2, 3]))).contains("(n, l, in)"));
    assert!(Lstm::stacked(2, 3, 0).is_err());
    Ok(())
}
