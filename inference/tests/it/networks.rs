//! Networks that the tests make, on ONNX Runtime.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use carrel_inference::{
    Choice, Data, Error, LoadOptions, Model, Named, SERVING_DEFAULT, Stop, Tensor,
};
use half::{bf16, f16};
use tempfile::TempDir;

use crate::site::{BF16, F16, F32, I64, STRING, data, engines, network, node, value};

fn load(folder: &TempDir) -> Option<Result<Model, Error>> {
    let engines = engines()?;
    let options = LoadOptions {
        threads: 1,
        instances: 2,
    };
    Some(Model::load(folder.path(), &engines, Choice::Auto, &options))
}

/// `sum = a + b` and `product = a * b`, any number of rows of two.
fn sum_and_product() -> anyhow::Result<(TempDir, Option<Model>)> {
    let folder = TempDir::new()?;
    let two = |name: &str| value(name, F32, &[-1, 2]);
    network(
        folder.path(),
        vec![two("a"), two("b")],
        vec![two("sum"), two("product")],
        vec![
            node("Add", &["a", "b"], "sum"),
            node("Mul", &["a", "b"], "product"),
        ],
    );
    let model = load(&folder).transpose()?;
    Ok((folder, model))
}

fn tensor(shape: impl Into<Vec<usize>>, data: impl Into<Data>) -> Tensor {
    Tensor::new(shape, data).unwrap()
}

fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> Named {
    tensors
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .into()
}

#[test]
fn several_inputs_and_outputs_by_name() -> anyhow::Result<()> {
    let (_folder, Some(model)) = sum_and_product()? else {
        return Ok(());
    };
    let signature = model.signature(SERVING_DEFAULT)?;
    assert_eq!(signature.inputs[1].shape_text(), "[?, 2]");
    let inputs = || {
        named([
            ("b", tensor([1, 2], vec![3.0f32, 4.0])),
            ("a", tensor([1, 2], vec![1.0f32, 2.0])),
        ])
    };
    let sum = ("sum".to_owned(), tensor([1, 2], vec![4.0f32, 6.0]));
    let product = ("product".to_owned(), tensor([1, 2], vec![3.0f32, 8.0]));
    let all = model.run(SERVING_DEFAULT, inputs(), &[])?;
    assert_eq!(all, [sum.clone(), product.clone()]);
    let two = model.run(SERVING_DEFAULT, inputs(), &["product".into(), "sum".into()])?;
    assert_eq!(two, [product.clone(), sum]);
    let one = model.run(SERVING_DEFAULT, inputs(), &["product".into()])?;
    assert_eq!(one, [product]);
    Ok(())
}

#[test]
fn an_empty_batch_gives_an_empty_one() -> anyhow::Result<()> {
    let (_folder, Some(model)) = sum_and_product()? else {
        return Ok(());
    };
    let none = || tensor([0, 2], Vec::<f32>::new());
    let found = model.run(SERVING_DEFAULT, named([("a", none()), ("b", none())]), &[])?;
    assert_eq!(found, named([("sum", none()), ("product", none())]));
    Ok(())
}

#[test]
fn what_is_wrong_with_inputs_is_said_by_name() -> anyhow::Result<()> {
    let (_folder, Some(model)) = sum_and_product()? else {
        return Ok(());
    };
    let a = || ("a", tensor([1, 2], vec![1.0f32; 2]));
    let said = |inputs: Named, outputs: &[String]| {
        let error = model.run(SERVING_DEFAULT, inputs, outputs).unwrap_err();
        assert!(error.is_of_the_request(), "{error}");
        error.to_string()
    };
    assert_eq!(said(named([a()]), &[]), r#"the input "b" is missing"#);
    assert_eq!(
        said(named([a(), a()]), &[]),
        r#"the input "a" is there twice"#
    );
    let c = ("c", tensor([1], vec![1i64]));
    assert_eq!(
        said(named([a(), c]), &[]),
        r#"there is no input "c"; there are "a", "b""#
    );
    let b = ("b", tensor([1, 2], vec![1i64; 2]));
    assert_eq!(
        said(named([a(), b]), &[]),
        r#"the input "b" is f32, not i64"#
    );
    let b = ("b", tensor([2], vec![1.0f32; 2]));
    assert_eq!(
        said(named([a(), b]), &[]),
        r#"the input "b" has the shape [?, 2], not [2]"#
    );
    let b = || ("b", tensor([1, 2], vec![1.0f32; 2]));
    assert_eq!(
        said(named([a(), b()]), &["d".into()]),
        r#"there is no output "d"; there are "sum", "product""#
    );
    assert_eq!(
        said(named([a(), b()]), &["sum".into(), "sum".into()]),
        r#"the output "sum" is asked for twice"#
    );
    // Only the engine knows that these rows cannot be added.
    let b = ("b", tensor([3, 2], vec![1.0f32; 6]));
    let a = ("a", tensor([2, 2], vec![1.0f32; 4]));
    let error = model.run(SERVING_DEFAULT, named([a, b]), &[]).unwrap_err();
    assert!(error.to_string().contains("onnxruntime"), "{error}");
    let error = model.run("other", vec![], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"there is no signature "other"; there are "serving_default""#
    );
    Ok(())
}

#[test]
fn strings_and_other_numbers_go_through() -> anyhow::Result<()> {
    let cases = [
        (STRING, Data::from(vec!["Grüße".to_owned(), String::new()])),
        (I64, vec![i64::MIN, i64::MAX].into()),
        (F16, vec![f16::from_f32(0.1), f16::NAN].into()),
        (BF16, vec![bf16::from_f32(0.1), bf16::NAN].into()),
    ];
    for (element, data) in cases {
        let folder = TempDir::new()?;
        let (x, y) = (value("x", element, &[-1]), value("y", element, &[-1]));
        network(
            folder.path(),
            vec![x],
            vec![y],
            vec![node("Identity", &["x"], "y")],
        );
        let Some(model) = load(&folder).transpose()? else {
            return Ok(());
        };
        let given = tensor([2], data);
        let found = model.run(SERVING_DEFAULT, named([("x", given.clone())]), &[])?;
        let (_, found) = found.first().context("no output")?;
        assert_eq!(found.bytes(), given.bytes());
        assert_eq!(found.strings(), given.strings());
        if element == STRING {
            for (bad, why) in [
                (vec![0xff], "is no UTF-8"),
                (vec![b'a', 0], "has a zero byte"),
            ] {
                let bad = named([("x", tensor([1], Data::String(vec![bad])))]);
                let error = model.run(SERVING_DEFAULT, bad, &[]).unwrap_err();
                assert!(error.is_of_the_request());
                assert!(error.to_string().contains(why), "{error}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_manifest_is_checked_when_it_is_loaded() -> anyhow::Result<()> {
    let Some(data) = data() else { return Ok(()) };
    let said = |manifest: &str| -> anyhow::Result<Option<String>> {
        let folder = TempDir::new()?;
        let network = folder.path().join("model.onnx");
        std::os::unix::fs::symlink(data.join("squeezenet/squeezenet1.1.onnx"), network)?;
        std::fs::write(folder.path().join("manifest.json"), manifest)?;
        let huge = std::fs::File::create(folder.path().join("huge.txt"))?;
        huge.set_len((16 << 20) + 1)?;
        Ok(load(&folder)
            .and_then(Result::err)
            .map(|error| error.to_string()))
    };
    let cases = [
        (r#"{"lables": []}"#, "unknown field `lables`"),
        (r#"{"sha256": "00"}"#, "the manifest says 00"),
        (r#"{"network": "other.onnx"}"#, "other.onnx"),
        (
            r#"{"pictures": {"size": [227, 227]}}"#,
            "pictures need labels",
        ),
        (
            r#"{"labels": ["cat"], "pictures": {"size": [227, 227]}}"#,
            "1000 classes and 1 labels",
        ),
        (
            r#"{"labels": ["cat"], "pictures": {"size": [9, 9]}}"#,
            "takes [?, 3, 227, 227]",
        ),
        (
            r#"{"labels": [], "pictures": {"size": [227, 227]}}"#,
            "there are no labels",
        ),
        (
            r#"{"labels": "huge.txt", "pictures": {"size": [227, 227]}}"#,
            "larger than 16777216 bytes",
        ),
        (
            r#"{"labels": "../labels.txt", "pictures": {"size": [227, 227]}}"#,
            "leads out of the folder",
        ),
        (r#"{"network": "/dev/zero"}"#, "leads out of the folder"),
        (r#"{"network": "a/../../b"}"#, "leads out of the folder"),
        (
            r#"{"default_signature": "predict_images"}"#,
            r#"no signature "predict_images""#,
        ),
    ];
    for (manifest, why) in cases {
        let Some(said) = said(manifest)? else {
            return Ok(());
        };
        assert!(said.contains(why), "{manifest}: {said}");
    }
    Ok(())
}

#[test]
fn what_is_no_network_is_not_loaded() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("model.onnx"), "no network")?;
    let Some(loaded) = load(&folder) else {
        return Ok(());
    };
    let said = loaded.err().context("it was loaded")?.to_string();
    assert!(said.contains("model.onnx"), "{said}");
    Ok(())
}

#[test]
fn a_run_is_stopped_from_another_thread() -> anyhow::Result<()> {
    // Each product takes some 50 ms, and all of them longer than the test may.
    const SIDE: usize = 1024;
    const PRODUCTS: usize = 400;
    let folder = TempDir::new()?;
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        PRODUCTS => "y".to_owned(),
        index => format!("product{index}"),
    };
    let products = (0..PRODUCTS).map(|one| node("MatMul", &[&name(one), "x"], &name(one + 1)));
    let square = |name: &str| value(name, F32, &[SIDE as i64, SIDE as i64]);
    network(
        folder.path(),
        vec![square("x")],
        vec![square("y")],
        products.collect(),
    );
    let Some(model) = load(&folder).transpose()? else {
        return Ok(());
    };
    let stop = Stop::default();
    let inputs = || named([("x", tensor([SIDE, SIDE], vec![0.0f32; SIDE * SIDE]))]);
    let begun = Instant::now();
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            stop.stop();
        });
        model.run_until(SERVING_DEFAULT, inputs(), &[], &stop)
    });
    assert!(
        matches!(ended, Err(Error::Stopped)),
        "{:?} after {:?}",
        ended.err(),
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // Nor does it begin again.
    let again = model.run_until(SERVING_DEFAULT, inputs(), &[], &stop);
    assert!(matches!(again, Err(Error::Stopped)));
    Ok(())
}
