//! Pictures as files become the input of a network, and its output classes with scores: the signature `predict_images`.

use std::io::Cursor;
use std::path::Path;

use half::f16;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder as _, ImageReader, RgbImage};

use crate::engine::Network;
use crate::error::Error;
use crate::manifest::{ChannelOrder, Filter, Fit, Layout, Manifest, Pictures};
use crate::signature::{Named, Signature, TensorSpec};
use crate::stop::Stop;
use crate::tensor::{Data, DataType, Tensor};

const IMAGES: &str = "images";
const CLASSES: &str = "classes";
const SCORES: &str = "scores";

/// What one picture may be. A file of a few bytes can claim to be as large as memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height.
    pub pixels: u64,
    /// Bytes that decoding may take.
    pub memory: u64,
}

impl Default for Limits {
    /// 50 megapixels, as cameras make them, and 512 MiB.
    fn default() -> Self {
        Self {
            pixels: 50_000_000,
            memory: 512 << 20,
        }
    }
}

pub(crate) struct Classifier {
    pictures: Pictures,
    labels: Vec<String>,
    input: String,
    dtype: DataType,
    output: String,
    pub(crate) limits: Limits,
}

impl Classifier {
    /// The classifier that the manifest describes, if it does; the error says what does not fit the network.
    pub(crate) fn new(
        manifest: &Manifest,
        folder: &Path,
        network: &Signature,
    ) -> Result<Option<Self>, String> {
        let (pictures, labels) = match (&manifest.pictures, &manifest.labels) {
            (Some(pictures), Some(labels)) => (pictures.clone(), labels),
            (Some(_), None) => return Err("pictures need labels".into()),
            (None, _) => return Ok(None),
        };
        let labels = labels.read(folder).map_err(|error| error.to_string())?;
        if labels.is_empty() {
            return Err("there are no labels".into());
        }
        let input = one("input", &network.inputs, pictures.input.as_deref())?;
        let output = one("output", &network.outputs, pictures.output.as_deref())?;
        if !matches!(input.dtype, DataType::F32 | DataType::F16 | DataType::U8) {
            return Err(format!("pictures cannot become {}", input.dtype));
        }
        if network.inputs.len() > 1 {
            let count = network.inputs.len();
            return Err(format!(
                "pictures are one input, and the network takes {count}"
            ));
        }
        if output.dtype != DataType::F32 {
            return Err(format!("scores are f32, not {}", output.dtype));
        }
        let shape = shape(&pictures, 1);
        let fits =
            |(wanted, given): (&Option<usize>, &usize)| wanted.is_none_or(|dim| dim == *given);
        if !input.shape.iter().zip(&shape).skip(1).all(fits) {
            let wanted = input.shape_text();
            return Err(format!(
                "pictures become {shape:?}, and the network takes {wanted}"
            ));
        }
        // The network may give [pictures, classes, 1, 1].
        let classes: Option<usize> = output.shape.iter().skip(1).copied().product();
        if let Some(classes) = classes
            && classes != labels.len()
        {
            let count = labels.len();
            return Err(format!("there are {classes} classes and {count} labels"));
        }
        Ok(Some(Self {
            input: input.name.clone(),
            dtype: input.dtype,
            output: output.name.clone(),
            pictures,
            labels,
            limits: Limits::default(),
        }))
    }

    pub(crate) fn signature(&self) -> Signature {
        let spec = |name: &str, dtype, shape: &[Option<usize>]| TensorSpec {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        };
        let top = Some(self.top());
        Signature {
            inputs: vec![spec(IMAGES, DataType::String, &[None])],
            outputs: vec![
                spec(CLASSES, DataType::String, &[None, top]),
                spec(SCORES, DataType::F32, &[None, top]),
            ],
        }
    }

    fn top(&self) -> usize {
        self.pictures.top.min(self.labels.len())
    }

    pub(crate) fn run(
        &self,
        network: &dyn Network,
        inputs: Named,
        outputs: &[String],
        stop: &Stop,
    ) -> Result<Named, Error> {
        let files = inputs.first().and_then(|(_, tensor)| tensor.strings());
        let files = files.unwrap_or_default();
        let pixels = self.pixels(files, stop)?;
        let strange = |reason: String| Error::Failed {
            engine: "predict_images",
            reason,
        };
        let inputs = vec![(self.input.clone(), pixels)];
        let found = network.run(inputs, std::slice::from_ref(&self.output), stop)?;
        let scores = found.first().and_then(|(_, tensor)| tensor.values::<f32>());
        let scores = scores.unwrap_or_default();
        let count = self.labels.len();
        if scores.len() != files.len() * count {
            let given = scores.len();
            let pictures = files.len();
            return Err(strange(format!(
                "{given} scores for {pictures} pictures of {count} classes"
            )));
        }
        let named = self.best(files.len(), scores);
        let mut named = named.map_err(|error| strange(error.to_string()))?;
        if !outputs.is_empty() {
            let place = |name: &str| outputs.iter().position(|output| output == name);
            named.retain(|(name, _)| place(name).is_some());
            named.sort_by_key(|(name, _)| place(name));
        }
        Ok(named)
    }

    /// The likeliest classes of each picture and their scores, the likeliest first.
    fn best(&self, pictures: usize, scores: &[f32]) -> Result<Named, crate::TensorError> {
        let top = self.top();
        let mut classes = Vec::with_capacity(pictures * top);
        let mut best = Vec::with_capacity(pictures * top);
        for scores in scores.chunks(self.labels.len()) {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            // Stable: of equal scores the first class is first.
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            for class in order.into_iter().take(top) {
                classes.push(self.labels[class].clone());
                best.push(scores[class]);
            }
        }
        let shape = [pictures, top];
        Ok(vec![
            (CLASSES.into(), Tensor::new(shape, classes)?),
            (SCORES.into(), Tensor::new(shape, best)?),
        ])
    }

    /// Whether so many pictures take no more memory as the network's input than they may.
    fn check_count(&self, pictures: usize) -> Result<(), Error> {
        let (width, height) = self.pictures.size;
        let sizes = [3, width.into(), height.into(), size_of::<f32>() as u64];
        let bytes = sizes
            .iter()
            .try_fold(pictures as u64, |all, size: &u64| all.checked_mul(*size));
        let most = self.limits.memory;
        match bytes.is_some_and(|bytes| bytes <= most) {
            true => Ok(()),
            false => {
                let reason =
                    format!("{pictures} pictures take more than the {most} bytes that are allowed");
                Err(Error::input(IMAGES, reason))
            }
        }
    }

    fn pixels(&self, files: &[Vec<u8>], stop: &Stop) -> Result<Tensor, Error> {
        self.check_count(files.len())?;
        let mut values = Vec::new();
        for (index, file) in files.iter().enumerate() {
            if stop.is_stopped() {
                return Err(Error::Stopped);
            }
            let picture = decode(file, self.limits)
                .and_then(|picture| fit(&picture, &self.pictures, self.limits))
                .map_err(|reason| Error::input(IMAGES, format!("the picture {index} {reason}")))?;
            self.add(&picture, &mut values);
        }
        let data = match self.dtype {
            DataType::F16 => Data::F16(values.into_iter().map(f16::from_f32).collect()),
            DataType::U8 => Data::U8(values.into_iter().map(|value| value as u8).collect()),
            _ => Data::F32(values),
        };
        let tensor = Tensor::new(shape(&self.pictures, files.len()), data);
        tensor.map_err(|error| Error::input(IMAGES, error))
    }

    /// Adds the values of one picture as the network takes them.
    fn add(&self, picture: &RgbImage, values: &mut Vec<f32>) {
        let Pictures { mean, scale, .. } = self.pictures;
        let from = |channel: usize| match self.pictures.channels {
            ChannelOrder::Rgb => channel,
            ChannelOrder::Bgr => 2 - channel,
        };
        let value = |pixel: &image::Rgb<u8>, channel: usize| {
            (f32::from(pixel.0[from(channel)]) - mean[channel]) * scale[channel]
        };
        match self.pictures.layout {
            Layout::Nchw => {
                for channel in 0..3 {
                    values.extend(picture.pixels().map(|pixel| value(pixel, channel)));
                }
            }
            Layout::Nhwc => {
                let all = |pixel| (0..3).map(move |channel| (pixel, channel));
                let all = picture.pixels().flat_map(all);
                values.extend(all.map(|(pixel, channel)| value(pixel, channel)));
            }
        }
    }
}

/// The shape of the network's input for so many pictures.
fn shape(pictures: &Pictures, count: usize) -> [usize; 4] {
    let (width, height) = (pictures.size.0 as usize, pictures.size.1 as usize);
    match pictures.layout {
        Layout::Nchw => [count, 3, height, width],
        Layout::Nhwc => [count, height, width, 3],
    }
}

/// The tensor of this name, or the only one.
fn one<'a>(
    kind: &str,
    specs: &'a [TensorSpec],
    name: Option<&str>,
) -> Result<&'a TensorSpec, String> {
    match (name, specs) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "there are {} {kind}s, and none is named",
            specs.len()
        )),
        (Some(name), _) => {
            let found = specs.iter().find(|spec| spec.name == name);
            found.ok_or_else(|| format!("there is no {kind} {name:?}"))
        }
    }
}

/// The picture of a file; the error is the end of a sentence about it.
fn decode(file: &[u8], limits: Limits) -> Result<DynamicImage, String> {
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format();
    let mut reader = reader.map_err(|error| format!("cannot be read: {error}"))?;
    if reader.format().is_none() {
        return Err("is no JPEG, PNG, BMP or WebP".into());
    }
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.memory);
    reader.limits(allowed);
    let broken = |error: image::ImageError| format!("cannot be decoded: {error}");
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.pixels {
        let most = limits.pixels;
        return Err(format!(
            "has {width} x {height} pixels, and {most} are allowed"
        ));
    }
    if decoder.total_bytes() > limits.memory {
        let (bytes, most) = (decoder.total_bytes(), limits.memory);
        return Err(format!("takes {bytes} bytes, and {most} are allowed"));
    }
    DynamicImage::from_decoder(decoder).map_err(broken)
}

/// The picture in the network's size, by the filter of the manifest; the error is the end of a sentence about it.
fn fit(picture: &DynamicImage, wanted: &Pictures, limits: Limits) -> Result<RgbImage, String> {
    let (width, height) = wanted.size;
    let (from_width, from_height) = (picture.width(), picture.height());
    let filter = match wanted.filter {
        Filter::Nearest => FilterType::Nearest,
        Filter::Bilinear => FilterType::Triangle,
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Lanczos => FilterType::Lanczos3,
    };
    let resized = |picture: &DynamicImage| {
        // `image` resizes the columns first, to four f32 for each pixel: the width of the one, the height of the other.
        let bytes = 16 * u64::from(picture.width()) * u64::from(height);
        let most = limits.memory;
        match bytes <= most {
            true => Ok(picture.resize_exact(width, height, filter).to_rgb8()),
            false => Err(format!(
                "takes {bytes} bytes to resize, and {most} are allowed"
            )),
        }
    };
    if wanted.fit == Fit::Stretch {
        return resized(picture);
    }
    let shorter = f64::from(from_width.min(from_height));
    let covering = f64::max(
        f64::from(width) / f64::from(from_width),
        f64::from(height) / f64::from(from_height),
    );
    let ratio = match wanted.shorter_side {
        Some(side) => f64::max(f64::from(side) / shorter, covering),
        None => covering,
    };
    // The part that becomes the size, cut out first: the rest needs no work.
    let part = |size: u32, whole: u32| ((f64::from(size) / ratio).round() as u32).clamp(1, whole);
    let (part_width, part_height) = (part(width, from_width), part(height, from_height));
    let (x, y) = (
        (from_width - part_width) / 2,
        (from_height - part_height) / 2,
    );
    resized(&picture.crop_imm(x, y, part_width, part_height))
}
