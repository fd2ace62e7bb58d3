//! Networks on rten, which is part of the build.

use anyhow::Context as _;
use carrel_inference::{
    Choice, Data, Engines, Error, LoadOptions, Model, Named, PREDICT_IMAGES, SERVING_DEFAULT,
    Tensor,
};
use carrel_skip::package_folder;
use tempfile::TempDir;

use crate::site::{F16, F32, I64, STRING, data, network, node, python, value};

fn load(folder: &TempDir) -> Result<Model, Error> {
    let options = LoadOptions::default();
    Model::load(folder.path(), &Engines::default(), Choice::Rten, &options)
}

/// `y` is `operator` of `x` and perhaps others.
fn one(operator: &str, element: i32, inputs: &[(&str, &[i64])]) -> anyhow::Result<TempDir> {
    let folder = TempDir::new()?;
    let given = inputs
        .iter()
        .map(|(name, dims)| value(name, element, dims))
        .collect();
    let names: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
    let y = value("y", element, &[-1, 2]);
    network(
        folder.path(),
        given,
        vec![y],
        vec![node(operator, &names, "y")],
    );
    Ok(folder)
}

fn run(model: &Model, inputs: Named) -> Result<Tensor, Error> {
    let found = model.run(SERVING_DEFAULT, inputs, &[])?;
    Ok(found.into_iter().next().unwrap().1)
}

#[test]
fn it_computes() -> anyhow::Result<()> {
    let model = load(&one("Add", F32, &[("x", &[-1, 2]), ("z", &[2])])?)?;
    assert_eq!(model.engine(), "rten");
    let x = Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
    let z = Tensor::new([2], vec![10.0f32, 20.0])?;
    let y = run(&model, vec![("z".into(), z), ("x".into(), x)])?;
    assert_eq!(y, Tensor::new([2, 2], vec![11.0f32, 22.0, 13.0, 24.0])?);
    Ok(())
}

#[test]
fn numbers_beyond_32_bits_are_refused() -> anyhow::Result<()> {
    let model = load(&one("Max", I64, &[("x", &[-1, 2]), ("z", &[-1, 2])])?)?;
    let tensor = |one: i64| Tensor::new([1, 2], vec![one, 1]);
    let inputs = |one| {
        anyhow::Ok(vec![
            ("x".to_owned(), tensor(one)?),
            ("z".to_owned(), tensor(2)?),
        ])
    };
    assert_eq!(
        run(&model, inputs(5)?)?,
        Tensor::new([1, 2], vec![5i64, 1])?
    );
    let error = run(&model, inputs(1 << 40)?).unwrap_err();
    assert!(error.is_of_the_request());
    let wanted = r#"the input "x": 1099511627776 does not fit the 32 bits of rten's integers"#;
    assert_eq!(error.to_string(), wanted);
    Ok(())
}

#[test]
fn what_it_computes_wrongly_is_refused_by_name() -> anyhow::Result<()> {
    let x: &[(&str, &[i64])] = &[("x", &[-1, 2])];
    let vector: &[(&str, &[i64])] = &[("x", &[-1, 3, 2, 2]), ("z", &[2])];
    for (operator, inputs) in [
        ("Sign", x),
        ("ArgMax", x),
        ("MatMul", vector),
        ("Hardmax", x),
    ] {
        let error = load(&one(operator, F32, inputs)?)
            .err()
            .context(operator)?
            .to_string();
        let how = match operator {
            "Hardmax" => "is not known to compute rightly",
            _ => "computes wrongly",
        };
        let wanted = format!(r#"the node "y" is {operator}, which rten 0.27.0 {how}"#);
        assert!(
            error.contains(&wanted) && error.ends_with("onnxruntime computes it"),
            "{error}"
        );
    }
    for element in [F16, STRING] {
        let error = load(&one("Identity", element, x)?)
            .err()
            .context("loaded")?
            .to_string();
        assert!(error.contains("which rten does not have"), "{error}");
    }
    Ok(())
}

/// What it computes wrongly was found with this version; another is to be looked at anew.
#[test]
fn it_is_the_version_that_was_looked_at() -> anyhow::Result<()> {
    let lock = std::fs::read_to_string(package_folder().join("../Cargo.lock"))?;
    let (_, after) = lock
        .split_once("name = \"rten\"\nversion = \"")
        .context("no rten")?;
    let (version, _) = after.split_once('"').context("no version")?;
    assert_eq!(Engines::default().get(Choice::Rten)?.version(), version);
    Ok(())
}

/// They have 64-bit integers for shapes, positions and words.
#[test]
fn real_networks_are_loaded_but_those_with_an_older_softmax() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let script = package_folder().join("server/tests/clients/networks.py");
    let found = std::process::Command::new(python).arg(script).output()?;
    let files = String::from_utf8(found.stdout)?;
    let mut loaded = 0;
    for file in files.lines() {
        let (engines, options) = (Engines::default(), LoadOptions::default());
        match Model::load(file.as_ref(), &engines, Choice::Rten, &options) {
            Ok(_) => loaded += 1,
            Err(error) => assert!(error.to_string().contains("before opset 13"), "{error}"),
        }
    }
    assert!(loaded >= 10, "{loaded} of {files}");
    Ok(())
}

#[test]
fn squeezenet_names_the_cat() -> anyhow::Result<()> {
    let Some(data) = data() else { return Ok(()) };
    let folder = TempDir::new()?;
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(data.join("squeezenet").join(from), folder.path().join(to))
    };
    link("squeezenet1.1.onnx", "model.onnx")?;
    link("squeezenet1.1.labels", "labels.txt")?;
    let manifest = r#"{"labels": "labels.txt", "engine": "rten", "pictures":
        {"size": [227, 227], "mean": [104, 117, 123], "channels": "bgr"}}"#;
    std::fs::write(folder.path().join("manifest.json"), manifest)?;
    let engines = Engines::default();
    let model = Model::load(
        folder.path(),
        &engines,
        Choice::Auto,
        &LoadOptions::default(),
    )?;
    assert_eq!(model.engine(), "rten");
    let picture = std::fs::read(data.join("images/cat_720p.jpg"))?;
    let images = Tensor::new([1], Data::String(vec![picture]))?;
    let found = model.run(
        PREDICT_IMAGES,
        vec![("images".into(), images)],
        &["scores".into()],
    )?;
    let scores = found[0].1.values::<f32>().context("no numbers")?;
    assert!((scores[0] - 0.751).abs() < 0.005, "{scores:?}");
    Ok(())
}
