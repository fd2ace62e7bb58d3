//! SqueezeNet by its pictures.

use std::io::Cursor;
use std::path::Path;

use anyhow::Context as _;
use carrel_inference::{
    Choice, Data, Error, Limits, LoadOptions, Model, Named, PREDICT_IMAGES, Tensor,
};
use image::{DynamicImage, ImageFormat, RgbImage};
use tempfile::TempDir;

use crate::mutations::mutations;
use crate::site::{F32, data, engines, network, node, value};

const MANIFEST: &str = r#"{
    "name": "squeezenet1.1",
    "labels": "squeezenet1.1.labels",
    "pictures": {"size": [227, 227], "mean": [104, 117, 123], "channels": "bgr"},
    "default_signature": "predict_images"
}"#;

fn squeezenet(data: &Path) -> anyhow::Result<Option<(TempDir, Model)>> {
    let Some(engines) = engines() else {
        return Ok(None);
    };
    let folder = TempDir::new()?;
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(data.join("squeezenet").join(from), folder.path().join(to))
    };
    link("squeezenet1.1.onnx", "model.onnx")?;
    link("squeezenet1.1.labels", "squeezenet1.1.labels")?;
    std::fs::write(folder.path().join("manifest.json"), MANIFEST)?;
    let options = LoadOptions::default();
    let model = Model::load(folder.path(), &engines, Choice::OnnxRuntime, &options)?;
    Ok(Some((folder, model)))
}

fn classify(model: &Model, files: Vec<Vec<u8>>) -> Result<Named, Error> {
    let images = Tensor::new([files.len()], Data::String(files)).unwrap();
    model.run(PREDICT_IMAGES, vec![("images".into(), images)], &[])
}

#[test]
fn pictures_of_several_formats_are_classified() -> anyhow::Result<()> {
    let Some(data) = data() else { return Ok(()) };
    let Some((_folder, model)) = squeezenet(&data)? else {
        return Ok(());
    };
    let pictures = ["cat_720p.jpg", "parrot.jpg", "cat.bmp"];
    let files = pictures.map(|name| std::fs::read(data.join("images").join(name)));
    let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
    let found = classify(&model, files)?;
    let [(classes_name, classes), (scores_name, scores)] = &*found else {
        anyhow::bail!("{} outputs", found.len());
    };
    assert_eq!((&**classes_name, classes.shape()), ("classes", &[3, 5][..]));
    assert_eq!((&**scores_name, scores.shape()), ("scores", &[3, 5][..]));
    let classes = classes.strings().context("no strings")?;
    let scores = scores.values::<f32>().context("no numbers")?;
    let first = |picture: usize| (str::from_utf8(&classes[5 * picture]), scores[5 * picture]);
    for (picture, class, score) in [(0, "Egyptian cat", 0.751), (1, "macaw", 0.973)] {
        let (found, probability) = first(picture);
        assert_eq!(found?, class);
        assert!(
            (probability - score).abs() < 0.005,
            "{class}: {probability}, not {score}"
        );
    }
    assert!(first(2).0?.contains("cat"), "{:?}", first(2));
    for scores in scores.chunks(5) {
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
    Ok(())
}

#[test]
fn a_broken_or_huge_picture_is_named() -> anyhow::Result<()> {
    let Some(data) = data() else { return Ok(()) };
    let Some((_folder, mut model)) = squeezenet(&data)? else {
        return Ok(());
    };
    let whole = std::fs::read(data.join("images/cat_720p.jpg"))?;
    let said = |model: &Model, file: &[u8]| {
        let files = vec![whole.clone(), file.to_vec()];
        let error = classify(model, files).unwrap_err();
        assert!(error.is_of_the_request());
        error.to_string()
    };
    let not = r#"the input "images": the picture 1 is no JPEG, PNG, BMP or WebP"#;
    assert_eq!(said(&model, b"no picture"), not);
    assert_eq!(said(&model, b""), not);
    assert!(said(&model, &whole[..200]).contains("cannot be decoded"));
    // 46341 x 46341 pixels in 54 bytes.
    let side = 46341u32.to_le_bytes();
    let mut huge = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    huge.extend(side.iter().chain(&side).chain(b"\x01\0\x18\0"));
    huge.resize(54, 0);
    let huge = said(&model, &huge);
    assert!(huge.contains("46341 x 46341 pixels"), "{huge}");
    model.limit_pictures(Limits {
        pixels: 1000,
        ..Limits::default()
    });
    let error = classify(&model, vec![whole.clone()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1280 x 720 pixels, and 1000 are allowed"),
        "{error}"
    );
    Ok(())
}

/// A network whose classes are the 48 values of a picture of 4 x 4 pixels.
fn tiny(fit: &str) -> anyhow::Result<Option<(TempDir, Model)>> {
    let Some(engines) = engines() else {
        return Ok(None);
    };
    let folder = TempDir::new()?;
    let input = value("x", F32, &[-1, 3, 4, 4]);
    let output = value("y", F32, &[-1, 48]);
    let flatten = node("Flatten", &["x"], "y");
    network(folder.path(), vec![input], vec![output], vec![flatten]);
    let labels: Vec<_> = (0..48).map(|label| label.to_string()).collect();
    let manifest = serde_json::json!({"labels": labels, "pictures": {"size": [4, 4], "fit": fit}});
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string())?;
    let options = LoadOptions::default();
    let model = Model::load(folder.path(), &engines, Choice::Auto, &options)?;
    Ok(Some((folder, model)))
}

#[test]
fn broken_pictures_are_refused_or_classified_and_nothing_else() -> anyhow::Result<()> {
    let Some((_folder, model)) = tiny("crop")? else {
        return Ok(());
    };
    let picture = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 15, 7]));
    let picture = DynamicImage::from(picture);
    let formats = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
    ];
    for format in formats {
        let mut good = Cursor::new(Vec::new());
        picture.write_to(&mut good, format)?;
        let good = good.into_inner();
        classify(&model, vec![good.clone()])?;
        let mut refused = 0;
        for bad in mutations(&good) {
            if let Err(error) = classify(&model, vec![bad]) {
                assert!(error.is_of_the_request(), "{format:?}: {error}");
                refused += 1;
            }
        }
        assert!(refused > 0, "{format:?}");
    }
    Ok(())
}

#[test]
fn pictures_take_no_more_memory_than_they_may() -> anyhow::Result<()> {
    let Some((_folder, mut model)) = tiny("stretch")? else {
        return Ok(());
    };
    // Each picture is 192 bytes as the network takes it.
    model.limit_pictures(Limits {
        memory: 20_000,
        ..Limits::default()
    });
    let said = |files| {
        let error = classify(&model, files).unwrap_err();
        assert!(error.is_of_the_request());
        error.to_string()
    };
    let many = said(vec![Vec::new(); 105]);
    assert!(
        many.contains("105 pictures take more than the 20000 bytes that are allowed"),
        "{many}"
    );
    let picture = |width| -> anyhow::Result<_> {
        let mut file = Cursor::new(Vec::new());
        DynamicImage::from(RgbImage::new(width, 1)).write_to(&mut file, ImageFormat::Bmp)?;
        Ok(file.into_inner())
    };
    classify(&model, vec![picture(300)?; 104])?;
    // Between the two steps of resizing it would have 1000 x 4 pixels of 16 bytes.
    let long = said(vec![picture(1000)?]);
    assert!(
        long.contains("the picture 0 takes 64000 bytes to resize, and 20000 are allowed"),
        "{long}"
    );
    Ok(())
}
