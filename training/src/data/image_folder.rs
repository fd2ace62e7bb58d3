//! Pictures in folders named for their classes, as `torchvision.datasets.ImageFolder` takes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{Device, Result, Tensor, bail};
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};
use rayon::prelude::*;

use super::Dataset;

const EXTENSIONS: [&str; 3] = ["jpeg", "jpg", "png"];
/// A link to a folder above would lead down for ever.
const MOST_FOLDERS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum ImageFolderError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has no folders; pictures lie in one for each class, such as cats/1.png", .0.display())]
    NoClasses(PathBuf),
    #[error("{} has no pictures (.png, .jpg, .jpeg)", .0.display())]
    NoPictures(PathBuf),
}

/// Pictures that are read when a batch needs them: inputs `[n, 3, height, width]` of f32 in 0..1, or `[n, 1, ..]` of gray
/// ones, and the number of the class as u32.
///
/// ```no_run
/// # use carrel_training::prelude::*;
/// let data = ImageFolder::open("pets")?.resize(64, 64).normalize([0.5; 3], [0.5; 3]);
/// println!("{:?}", data.classes());
/// let loader = DataLoader::new(data, 32).shuffle(1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    /// With the number of the class.
    pictures: Vec<(PathBuf, u32)>,
    /// Height and width.
    size: Option<(u32, u32)>,
    gray: bool,
    /// Mean and deviation of each channel.
    normal: [(f32, f32); 3],
}

impl ImageFolder {
    /// Classes are the folders of `root`, in order of their names, and numbered so. Pictures may lie deeper. What is
    /// hidden, such as `.ipynb_checkpoints`, is passed over: its name begins with a dot.
    ///
    /// # Errors
    /// When a folder cannot be read, there is none, or one has no pictures.
    pub fn open(root: impl AsRef<Path>) -> std::result::Result<Self, ImageFolderError> {
        let root = root.as_ref();
        let (mut classes, mut pictures) = (Vec::new(), Vec::new());
        for folder in entries(root)?.into_iter().filter(|path| path.is_dir()) {
            let before = pictures.len();
            collect(&folder, classes.len() as u32, &mut pictures, MOST_FOLDERS)?;
            if pictures.len() == before {
                return Err(ImageFolderError::NoPictures(folder));
            }
            let name = folder.file_name().unwrap_or_default();
            classes.push(name.to_string_lossy().into_owned());
        }
        if classes.is_empty() {
            return Err(ImageFolderError::NoClasses(root.to_owned()));
        }
        Ok(Self {
            classes,
            pictures,
            size: None,
            gray: false,
            normal: [(0.0, 1.0); 3],
        })
    }

    /// All pictures in one size, in pixels.
    #[must_use]
    pub fn resize(mut self, height: u32, width: u32) -> Self {
        self.size = Some((height.max(1), width.max(1)));
        self
    }

    /// One channel.
    #[must_use]
    pub fn gray(mut self) -> Self {
        self.gray = true;
        self
    }

    /// `(x - mean) / deviation` for red, green and blue; gray takes the first.
    #[must_use]
    pub fn normalize(mut self, mean: [f32; 3], deviation: [f32; 3]) -> Self {
        for ((normal, mean), deviation) in self.normal.iter_mut().zip(mean).zip(deviation) {
            *normal = (mean, deviation);
        }
        self
    }

    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Channels one after the other, with height and width.
    fn read(&self, path: &Path) -> Result<(Vec<f32>, (usize, usize))> {
        let read = || -> std::result::Result<DynamicImage, image::ImageError> {
            ImageReader::open(path)?.with_guessed_format()?.decode()
        };
        let mut picture = match read() {
            Ok(picture) => picture,
            Err(error) => bail!("cannot read the picture {}: {error}", path.display()),
        };
        if let Some((height, width)) = self.size {
            picture = picture.resize_exact(width, height, FilterType::Triangle);
        }
        let size = (picture.height() as usize, picture.width() as usize);
        let (bytes, channels) = match self.gray {
            true => (picture.into_luma8().into_raw(), 1),
            false => (picture.into_rgb8().into_raw(), 3),
        };
        let channel = |(at, (mean, deviation)): (usize, &(f32, f32))| {
            let (mean, deviation) = (*mean, *deviation);
            let values = bytes.iter().skip(at).step_by(channels);
            values.map(move |byte| (f32::from(*byte) / 255.0 - mean) / deviation)
        };
        let values = self.normal[..channels].iter().enumerate().flat_map(channel);
        Ok((values.collect(), size))
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        let pictures: Vec<&(PathBuf, u32)> = indices
            .iter()
            .map(|index| match self.pictures.get(*index) {
                Some(picture) => Ok(picture),
                None => bail!("there is no picture {index} among {}", self.len()),
            })
            .collect::<Result<_>>()?;
        let read: Vec<_> = pictures
            .par_iter()
            .map(|(path, _)| self.read(path))
            .collect::<Result<_>>()?;
        let size = read.first().map_or((0, 0), |(_, size)| *size);
        if let Some(at) = read.iter().position(|(_, other)| *other != size) {
            let (height, width) = read[at].1;
            bail!(
                "{} has {width} x {height} pixels, {} has {} x {}; give all one size: `.resize(height, width)`",
                pictures[at].0.display(),
                pictures[0].0.display(),
                size.1,
                size.0
            )
        }
        let channels = if self.gray { 1 } else { 3 };
        let shape = (read.len(), channels, size.0, size.1);
        let values: Vec<f32> = read.into_iter().flat_map(|(values, _)| values).collect();
        let targets: Vec<u32> = pictures.iter().map(|(_, class)| *class).collect();
        let count = targets.len();
        Ok((
            Tensor::from_vec(values, shape, &Device::Cpu)?,
            Tensor::from_vec(targets, count, &Device::Cpu)?,
        ))
    }
}

/// What a folder holds that is not hidden, in order of the names.
fn entries(folder: &Path) -> std::result::Result<Vec<PathBuf>, ImageFolderError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut paths = read().map_err(|source| ImageFolderError::Read {
        path: folder.to_owned(),
        source,
    })?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".")
    });
    paths.sort();
    Ok(paths)
}

fn collect(
    folder: &Path,
    class: u32,
    pictures: &mut Vec<(PathBuf, u32)>,
    depth: usize,
) -> std::result::Result<(), ImageFolderError> {
    for path in entries(folder)? {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, class, pictures, depth - 1)?;
            }
        } else if EXTENSIONS.iter().any(|known| extension == *known) {
            pictures.push((path, class));
        }
    }
    Ok(())
}
