//! MNIST: 70,000 pictures of digits (Y. LeCun, C. Cortes, C. Burges), from a folder or from a mirror.

use std::env;
use std::path::{Path, PathBuf};

use candle_core::{Device, Result, Tensor, bail};

use super::Dataset;
use super::idx::{self, IdxError};
use super::mirror::{self, MirrorError, Wanted};

/// A folder with a folder `mnist`, or with the files themselves.
pub const DATA_VARIABLE: &str = "CARREL_DATA";
/// The address of a folder with the files.
pub const MIRROR_VARIABLE: &str = "CARREL_DATA_MIRROR";
/// Plain HTTP is enough: only files with the published contents are taken.
const MIRROR: &str = "http://ossci-datasets.s3.amazonaws.com/mnist";

/// Training pictures and labels, then those for the test.
pub const MNIST_FILES: [Wanted; 4] = [
    Wanted {
        name: "train-images-idx3-ubyte.gz",
        bytes: 9_912_422,
        sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    },
    Wanted {
        name: "train-labels-idx1-ubyte.gz",
        bytes: 28_881,
        sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    Wanted {
        name: "t10k-images-idx3-ubyte.gz",
        bytes: 1_648_877,
        sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    },
    Wanted {
        name: "t10k-labels-idx1-ubyte.gz",
        bytes: 4_542,
        sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
];

/// Mean and deviation of the training pictures, by which all are normalized.
const MEAN: f32 = 0.1307;
const DEVIATION: f32 = 0.3081;

#[derive(Debug, thiserror::Error)]
pub enum MnistError {
    #[error("there is no {file} in {}; give a folder with the four files of MNIST", folder.display())]
    Missing { file: String, folder: PathBuf },
    #[error("neither $XDG_CACHE_HOME nor $HOME is set: set $CARREL_DATA to a folder for MNIST")]
    NoHome,
    #[error(transparent)]
    Idx(#[from] IdxError),
    #[error("{}: {pictures} pictures and {labels} labels", folder.display())]
    Count {
        folder: PathBuf,
        pictures: usize,
        labels: usize,
    },
    #[error(transparent)]
    Mirror(#[from] MirrorError),
}

/// Both parts of the data set.
#[derive(Clone, Debug)]
pub struct MnistData {
    pub train: Digits,
    pub test: Digits,
}

impl MnistData {
    /// From the folder `$CARREL_DATA`, else from the user's cache, which a mirror fills: `$CARREL_DATA_MIRROR`, or
    /// a public one.
    ///
    /// # Errors
    /// When a file is missing, broken, or cannot be downloaded.
    pub fn load() -> std::result::Result<Self, MnistError> {
        Self::load_from(None, &mut |_| {})
    }

    /// The same from `folder`, if one is given; `say` is told each step in a line, as torchvision prints it.
    ///
    /// # Errors
    /// When a file is missing, broken, or cannot be downloaded.
    pub fn load_from(
        folder: Option<&Path>,
        say: &mut dyn FnMut(&str),
    ) -> std::result::Result<Self, MnistError> {
        let folder = match folder
            .map(Path::to_owned)
            .or_else(|| env::var_os(DATA_VARIABLE).map(PathBuf::from))
        {
            Some(folder) if folder.join("mnist").is_dir() => folder.join("mnist"),
            Some(folder) => folder,
            None => {
                let mirror = env::var(MIRROR_VARIABLE).unwrap_or_else(|_| MIRROR.to_owned());
                download(&mirror, &cache().ok_or(MnistError::NoHome)?, say)?
            }
        };
        say("Processing...");
        let [train_pictures, train_labels, test_pictures, test_labels] =
            MNIST_FILES.map(|file| file.name);
        let mnist = Self {
            train: Digits::read(&folder, train_pictures, train_labels)?,
            test: Digits::read(&folder, test_pictures, test_labels)?,
        };
        say("Done!");
        Ok(mnist)
    }
}

/// Fills a folder from a mirror.
fn download(
    mirror: &str,
    folder: &Path,
    say: &mut dyn FnMut(&str),
) -> std::result::Result<PathBuf, MnistError> {
    for file in MNIST_FILES {
        if !folder.join(file.name).is_file() {
            say(&format!(
                "Downloading {}/{}",
                mirror.trim_end_matches('/'),
                file.name
            ));
        }
        let mut tenth = 0;
        mirror::fetch(mirror, &file, folder, |found, wanted| {
            // A line for each tenth of a file that takes longer than a blink.
            if wanted > 1 << 20 && found * 10 / wanted > tenth {
                tenth = found * 10 / wanted;
                say(&format!("  {} %", tenth * 10));
            }
        })?;
    }
    Ok(folder.to_owned())
}

fn cache() -> Option<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("carrel/data/mnist"))
}

/// Pictures (n, 1, 28, 28), normalized, with their digits.
#[derive(Clone)]
pub struct Digits {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    /// Height and width of a picture.
    size: [usize; 2],
    /// What each byte is, normalized.
    values: [f32; 256],
}

impl Digits {
    fn read(folder: &Path, pictures: &str, labels: &str) -> std::result::Result<Self, MnistError> {
        let pictures = idx::read(&find(folder, pictures)?, 3)?;
        let labels = idx::read(&find(folder, labels)?, 1)?;
        if pictures.sizes[0] != labels.sizes[0] {
            return Err(MnistError::Count {
                folder: folder.to_owned(),
                pictures: pictures.sizes[0],
                labels: labels.sizes[0],
            });
        }
        Ok(Self {
            size: [pictures.sizes[1], pictures.sizes[2]],
            pixels: pictures.bytes,
            labels: labels.bytes,
            values: std::array::from_fn(|byte| (byte as f32 / 255.0 - MEAN) / DEVIATION),
        })
    }

    /// The first `count` items.
    #[must_use]
    pub fn take(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            pixels: self.pixels[..count * self.size[0] * self.size[1]].to_vec(),
            labels: self.labels[..count].to_vec(),
            ..*self
        }
    }
}

impl Dataset for Digits {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        let [height, width] = self.size;
        let mut values = Vec::with_capacity(indices.len() * height * width);
        let mut labels = Vec::with_capacity(indices.len());
        for index in indices {
            let Some(label) = self.labels.get(*index) else {
                bail!("there is no picture {index} among {}", self.len())
            };
            labels.push(u32::from(*label));
            let pixels = &self.pixels[index * height * width..][..height * width];
            values.extend(pixels.iter().map(|pixel| self.values[usize::from(*pixel)]));
        }
        let shape = (indices.len(), 1, height, width);
        Ok((
            Tensor::from_vec(values, shape, &Device::Cpu)?,
            Tensor::from_vec(labels, indices.len(), &Device::Cpu)?,
        ))
    }
}

/// Not the pixels.
impl std::fmt::Debug for Digits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [height, width] = self.size;
        write!(formatter, "{} pictures of {height} x {width}", self.len())
    }
}

/// The file, compressed or not.
fn find(folder: &Path, name: &str) -> std::result::Result<PathBuf, MnistError> {
    let names = [name, name.trim_end_matches(".gz")];
    let found = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| MnistError::Missing {
        file: name.to_owned(),
        folder: folder.to_owned(),
    })
}
