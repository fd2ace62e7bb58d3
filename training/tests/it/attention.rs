//! Attention by blocks: equal to the chain of products and softmax, gradients of differences, the same at every run.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Result, Tensor, Var};
use carrel_training::ops::{self, portable};
use carrel_training::prelude::*;
use carrel_training::random::with_seed;

/// q, k and v of two items with two heads.
fn inputs(queries: usize, keys: usize) -> [Tensor; 3] {
    // Larger than 1, so that some places weigh much more than others.
    let large = |seed, rows, width| (numbers(seed, &[2, rows, width]) * 3.0).unwrap();
    [large(1, queries, 6), large(2, keys, 6), large(3, keys, 4)]
}

type Attend = fn(&Tensor, &Tensor, &Tensor, usize, bool) -> Result<Tensor>;

/// The result and the gradients of q, k and v.
fn computed(attend: Attend, inputs: &[Tensor; 3], causal: bool) -> Result<Vec<Tensor>> {
    let [q, k, v] = inputs.clone().map(|x| Var::from_tensor(&x).unwrap());
    let y = attend(&q, &k, &v, 2, causal)?;
    let weights = numbers(9, y.dims()).to_dtype(y.dtype())?;
    let gradients = (&y * weights)?.sum_all()?.backward()?;
    let of = |x: &Var| gradients.get(x).unwrap().clone();
    Ok(vec![y, of(&q), of(&k), of(&v)])
}

#[test]
fn it_equals_the_plain_chain_in_one_block_and_in_several() -> Result<()> {
    for (queries, keys) in [(1, 1), (5, 7), (64, 128), (65, 129), (200, 300)] {
        for causal in [false, true] {
            for (dtype, most) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                let inputs = inputs(queries, keys).map(|x| x.to_dtype(dtype).unwrap());
                let ours = computed(ops::attention, &inputs, causal)?;
                let theirs = computed(portable::attention, &inputs, causal)?;
                for (which, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                    let off = difference(ours, theirs);
                    assert!(
                        off < most,
                        "{queries} by {keys}, {causal}, {dtype:?}, {which}: {off}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn its_gradients_are_those_of_differences() {
    for causal in [false, true] {
        let of_three = |t: &[Tensor]| ops::attention(&t[0], &t[1], &t[2], 2, causal);
        let error = gradient_error(&inputs(4, 5), of_three);
        assert!(error < 1e-7, "{causal}: {error}");
        let error = gradient_error(&[numbers(4, &[2, 3, 12])], |t| {
            ops::self_attention(&t[0], 2, causal)
        });
        assert!(error < 1e-7, "from one tensor, {causal}: {error}");
    }
}

#[test]
fn one_tensor_gives_what_three_do() -> Result<()> {
    let qkv = numbers(4, &[3, 70, 12]);
    let part = |at: usize| qkv.narrow(2, 4 * at, 4);
    let apart = ops::attention(&part(0)?, &part(1)?, &part(2)?, 2, true)?;
    assert_eq!(
        difference(&ops::self_attention(&qkv, 2, true)?, &apart),
        0.0
    );
    let heads = |x: Tensor| x.reshape((3, 70, 2, 2))?.transpose(1, 2);
    let (q, k, v) = (heads(part(0)?)?, heads(part(1)?)?, heads(part(2)?)?);
    let y = ops::scaled_dot_product_attention(&q, &k, &v, true)?.transpose(1, 2)?;
    assert!(difference(&y.reshape((3, 70, 4))?, &apart) < 1e-14);
    Ok(())
}

#[test]
fn two_runs_give_the_same_bits() -> Result<()> {
    let inputs = inputs(150, 150).map(|x| x.to_dtype(DType::F32).unwrap());
    let (first, second) = (
        computed(ops::attention, &inputs, true)?,
        computed(ops::attention, &inputs, true)?,
    );
    for (first, second) in first.iter().zip(&second) {
        let [first, second] = [first, second].map(|x| x.flatten_all()?.to_vec1::<f32>());
        assert_eq!(first?, second?);
    }
    Ok(())
}

#[test]
fn a_large_score_takes_all_and_what_is_not_seen_makes_no_difference() -> Result<()> {
    let row = |values: [f32; 2]| Tensor::new(&[[values]], &Device::Cpu);
    let q = row([1e4, 0.0])?;
    let keys = Tensor::new(&[[[1e4f32, 0.0], [0.0, 1.0], [-1e4, 0.0]]], &Device::Cpu)?;
    let values = Tensor::new(&[[[1f32], [2.0], [3.0]]], &Device::Cpu)?;
    let y = ops::attention(&q, &keys, &values, 1, false)?;
    assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [1.0]);
    // The first place sees itself only, whatever follows.
    let x = numbers(1, &[1, 80, 6]);
    let mut changed = x.flatten_all()?.to_vec1::<f64>()?;
    changed[6 * 40..].fill(5.0);
    let changed = Tensor::from_vec(changed, (1, 80, 6), &Device::Cpu)?;
    let [before, after] = [x, changed].map(|x| ops::self_attention(&x, 1, true));
    let (before, after) = (before?.narrow(1, 0, 40)?, after?.narrow(1, 0, 40)?);
    assert_eq!(difference(&before, &after), 0.0);
    Ok(())
}

#[test]
fn the_layer_is_that_of_pytorch() -> anyhow::Result<()> {
    let layer = with_seed(5, || MultiheadAttention::new(4, 2))?;
    // Of PyTorch 2.15 with the same seed.
    let close = |found: Tensor, expected: [f32; 4]| -> Result<f64> {
        Ok(difference(&found, &Tensor::new(&expected, &Device::Cpu)?))
    };
    let of_in = [0.207_918_6, -0.292_134_58, -0.562_506_7, 0.349_096_12];
    let of_out = [0.330_251_87, -0.373_889_1, 0.407_469_7, 0.319_927_04];
    assert!(close(layer.in_proj_weight.get(0)?, of_in)? < 1e-6);
    assert!(close(layer.out_proj.weight.get(0)?, of_out)? < 1e-6);
    let names: Vec<String> = layer.state()?.into_keys().collect();
    assert_eq!(
        names,
        [
            "in_proj_bias",
            "in_proj_weight",
            "out_proj.bias",
            "out_proj.weight"
        ]
    );
    let x = numbers(1, &[2, 5, 4]).to_dtype(DType::F32)?;
    let apart = layer.attend(&x, &x, &x)?;
    assert!(difference(&layer.forward(&x)?, &apart) < 1e-6);
    Ok(())
}

#[test]
fn the_gradients_of_the_layers_parameters_are_those_of_differences() -> Result<()> {
    let inputs = [
        numbers(1, &[2, 3, 4]),
        numbers(2, &[12, 4]),
        numbers(3, &[12]),
        numbers(4, &[4, 4]),
    ];
    for causal in [false, true] {
        let mut layer = MultiheadAttention::new(4, 2)?;
        layer.to_dtype(DType::F64)?;
        layer.causal = causal;
        let error = gradient_error(&inputs, |t| {
            let mut layer = layer.clone();
            layer.in_proj_weight = Var::from_tensor(&t[1])?;
            layer.in_proj_bias = Some(Var::from_tensor(&t[2])?);
            layer.out_proj.weight = Var::from_tensor(&t[3])?;
            (layer.forward(&t[0])? + layer.attend(&t[0], &t[0], &t[0])?)? * 0.5
        });
        assert!(error < 1e-7, "{causal}: {error}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let said = MultiheadAttention::new(10, 3).unwrap_err().to_string();
    assert!(
        said.contains("3 heads do not divide a width of 10"),
        "{said}"
    );
    let [q, k, _] = inputs(3, 4);
    let said = refusal(ops::attention(&q, &k, &numbers(1, &[2, 5, 4]), 2, false));
    assert!(
        said.contains("[2, 4, 6]") && said.contains("[2, 5, 4]"),
        "{said}"
    );
    let said = refusal(ops::self_attention(&numbers(1, &[2, 3, 10]), 2, false));
    assert!(
        said.contains("heads") || said.contains("[2, 3, 10]"),
        "{said}"
    );
    let said = refusal(ops::scaled_dot_product_attention(
        &q,
        &k.get(0).unwrap(),
        &k,
        false,
    ));
    assert!(said.contains("[4, 6]"), "{said}");
}
