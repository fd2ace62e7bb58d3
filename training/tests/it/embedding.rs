//! Embeddings: values, gradients, padding, refusals.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Result, Tensor};
use carrel_training::ops::embedding;
use carrel_training::prelude::*;
use carrel_training::random::with_seed;

fn ids() -> Tensor {
    Tensor::new(&[[3u32, 0, 3], [1, 2, 3]], &Device::Cpu).unwrap()
}

#[test]
fn it_gives_the_rows_that_ids_of_every_type_name() -> Result<()> {
    let weight = numbers(1, &[5, 4]);
    for dtype in [DType::U8, DType::U32, DType::I64] {
        let y = embedding(&ids().to_dtype(dtype)?, &weight, None)?;
        assert_eq!(y.dims(), [2, 3, 4]);
        let row = |at: usize| weight.get(at);
        assert_eq!(difference(&y.get(0)?.get(1)?, &row(0)?), 0.0);
        assert_eq!(difference(&y.get(1)?.get(2)?, &row(3)?), 0.0);
    }
    Ok(())
}

#[test]
fn its_gradients_are_those_of_differences_also_in_half_precision() -> Result<()> {
    let weight = numbers(1, &[5, 4]);
    let error = gradient_error(std::slice::from_ref(&weight), |t| {
        embedding(&ids(), &t[0], None)
    });
    assert!(error < 1e-9, "{error}");
    for dtype in [DType::F64, DType::F16] {
        let weight = Var::from_tensor(&weight.to_dtype(dtype)?)?;
        let gradients = embedding(&ids(), &weight, Some(3))?.sum_all()?.backward()?;
        let gradient = gradients.get(&weight).unwrap().to_dtype(DType::F64)?;
        let of_rows = gradient.sum(1)?.to_vec1::<f64>()?;
        assert_eq!(of_rows, [4.0, 4.0, 4.0, 0.0, 0.0], "{dtype:?}");
    }
    Ok(())
}

#[test]
fn the_layer_begins_as_that_of_pytorch() -> Result<()> {
    // Of PyTorch 2.15 with the same seed: more than sixteen numbers, and fewer, which are drawn otherwise.
    let padded = with_seed(5, || Embedding::new(5, 4)?.padding_idx(1))?;
    let expected = [
        [1.842_329_7, 0.518_887_16, -1.711_921_3, -1.701_379_3],
        [0.0; 4],
        [2.614_577, -0.434_022_96, 0.352_335_45, -0.064_551_48],
        [1.482_932_3, 0.494_038_08, 0.249_218_78, 1.747_031_5],
        [0.744_776_96, 0.031_656_895, -1.172_414_3, -1.506_940_4f32],
    ];
    let off = difference(&padded.weight, &Tensor::new(&expected, &Device::Cpu)?);
    assert!(off < 1e-5, "{off}: {}", padded.weight.as_tensor());
    let (few, after) = with_seed(5, || -> Result<_> {
        let few = Embedding::new(3, 4)?;
        Linear::new(1, 1)?;
        Ok((few, Embedding::new(1, 3)?))
    })?;
    let first = [-0.486_780_76, -0.603_821_6, -0.558_096_23, 0.667_524_3f32];
    let off = difference(&few.weight.get(0)?, &Tensor::new(&first, &Device::Cpu)?);
    assert!(off < 1e-5, "{off}");
    let first = [0.095_097_095, 0.475_788_62, -0.445_091_55f32];
    let off = difference(&after.weight.get(0)?, &Tensor::new(&first, &Device::Cpu)?);
    assert!(off < 1e-5, "{off}");
    Ok(())
}

#[test]
fn training_leaves_the_padding_as_it_is() -> Result<()> {
    let layer = Embedding::new(5, 4)?.padding_idx(3)?;
    let mut optimizer = Sgd::new(layer.parameters(), 0.1)?;
    let before = layer.weight.as_tensor().copy()?;
    optimizer.step(&layer.forward(&ids())?.sum_all()?.backward()?)?;
    assert_eq!(difference(&layer.weight.get(3)?, &before.get(3)?), 0.0);
    assert!(difference(&layer.weight.get(1)?, &before.get(1)?) > 0.05);
    Ok(())
}

#[test]
fn an_id_that_names_no_row_is_refused() -> Result<()> {
    let weight = numbers(1, &[3, 2]);
    for (ids, id) in [
        (Tensor::new(&[3u32], &Device::Cpu)?, "row 3"),
        (Tensor::new(&[u8::MAX], &Device::Cpu)?, "row 255"),
        (Tensor::new(&[-1i64], &Device::Cpu)?, "row -1"),
        (Tensor::new(&[u32::MAX], &Device::Cpu)?, "row 4294967295"),
    ] {
        let said = refusal(embedding(&ids, &weight, None));
        assert!(said.contains(id) && said.contains("among 3"), "{said}");
    }
    let said = refusal(embedding(&numbers(1, &[2]), &weight, None));
    assert!(said.contains("whole numbers"), "{said}");
    let said = Embedding::new(3, 2)?
        .padding_idx(3)
        .unwrap_err()
        .to_string();
    assert!(said.contains("padding_idx 3"), "{said}");
    Ok(())
}
