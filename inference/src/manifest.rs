//! The manifest beside a network: what it is, its labels, and how pictures become its input.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Choice;
use crate::error::Error;

/// The largest manifest or file of labels in bytes.
const MOST: u64 = 16 << 20;

/// `manifest.json`; all of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    pub name: Option<String>,
    /// The model's own version, in its maker's words; the repository numbers versions by folders.
    pub version: Option<String>,
    pub description: Option<String>,
    /// The file of the network, beside the manifest; `model.onnx` where it is left out.
    pub network: Option<PathBuf>,
    /// The SHA-256 of the network, in hexadecimal digits.
    pub sha256: Option<String>,
    pub engine: Choice,
    /// What is meant where a request names no signature; `serving_default` where it is left out.
    pub default_signature: Option<String>,
    pub labels: Option<Labels>,
    /// With it, and with labels, there is the signature `predict_images`.
    pub pictures: Option<Pictures>,
}

/// The names of the classes, in the order of the network's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// A file beside the manifest with one in each line.
    File(PathBuf),
    List(Vec<String>),
}

/// How a picture becomes the input of a network: `(value - mean) * scale` of each channel, whose values are 0 to 255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// The network's input; its only one where it is left out.
    pub input: Option<String>,
    /// The output with a score for each class; its only one where it is left out.
    pub output: Option<String>,
    /// Width and height in pixels.
    pub size: (u32, u32),
    #[serde(default)]
    pub fit: Fit,
    /// The shorter side in pixels before the centre is cut out; the smallest that covers the size where it is left out.
    pub shorter_side: Option<u32>,
    #[serde(default)]
    pub filter: Filter,
    /// Of each channel in the order of the network.
    #[serde(default)]
    pub mean: [f32; 3],
    #[serde(default = "ones")]
    pub scale: [f32; 3],
    #[serde(default)]
    pub channels: ChannelOrder,
    #[serde(default)]
    pub layout: Layout,
    /// How many classes are given, the likeliest first.
    #[serde(default = "five")]
    pub top: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The centre, in the proportions of the size.
    #[default]
    Crop,
    /// All of the picture, in other proportions than its own.
    Stretch,
}

/// How pixels become one in another size, by the names of Pillow, and as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    Nearest,
    Bilinear,
    /// Pillow's own choice.
    #[default]
    Bicubic,
    Lanczos,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    Bgr,
}

/// The order of the dimensions: pictures, channels, rows, columns, or with the channels at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    #[default]
    Nchw,
    Nhwc,
}

const fn ones() -> [f32; 3] {
    [1.0; 3]
}

const fn five() -> usize {
    5
}

impl Manifest {
    /// The manifest of this file; an empty one where there is no file.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let text = match read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Error::load(file, error)),
        };
        serde_json::from_slice(&text).map_err(|error| Error::load(file, error))
    }
}

#[cfg(feature = "pictures")]
impl Labels {
    /// The labels; those of a file are looked for in `folder`.
    pub(crate) fn read(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let file = match self {
            Self::List(labels) => return Ok(labels.clone()),
            Self::File(file) => within(folder, file)?,
        };
        let text = read(&file).map_err(|error| Error::load(&file, error))?;
        let text = String::from_utf8(text).map_err(|error| Error::load(&file, error))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// A file that the manifest names, which lies in its folder or below; a link there may lead elsewhere.
///
/// # Errors
/// Where the name leads out of the folder.
pub(crate) fn within(folder: &Path, file: &Path) -> Result<PathBuf, Error> {
    let mut parts = file.components();
    match !file.as_os_str().is_empty() && parts.all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(folder.join(file)),
        false => Err(Error::load(
            file,
            "the name leads out of the folder of the manifest",
        )),
    }
}

/// The bytes of a manifest or of labels.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= MOST {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("it is larger than {MOST} bytes"))),
    }
}
