//! Pictures from pixels and tensors, shown as PNG.

use std::fmt;

use carrel_runtime::{MimeBundle, Rich, mime};
use carrel_training::prelude::{DType, Tensor};
use png::{BitDepth, ColorType, Encoder};

/// A picture in memory, row by row from the top.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    color: ColorType,
    pixels: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("a picture of {width} x {height} pixels has {wanted} bytes, but here are {found}")]
    Size {
        width: u32,
        height: u32,
        wanted: u64,
        found: usize,
    },
    #[error("a tensor of shape {0:?} is no picture; [H, W], [H, W, 3] and [3, H, W] are")]
    Shape(Vec<usize>),
    #[error(transparent)]
    Tensor(#[from] carrel_training::prelude::candle_core::Error),
}

impl Image {
    /// One byte for each pixel, 0 for black.
    ///
    /// # Errors
    /// When there are not `width * height` bytes.
    pub fn gray(width: u32, height: u32, pixels: impl Into<Vec<u8>>) -> Result<Self, ImageError> {
        Self::new(width, height, ColorType::Grayscale, pixels.into())
    }

    /// Three bytes for each pixel: red, green, blue.
    ///
    /// # Errors
    /// When there are not `3 * width * height` bytes.
    pub fn rgb(width: u32, height: u32, pixels: impl Into<Vec<u8>>) -> Result<Self, ImageError> {
        Self::new(width, height, ColorType::Rgb, pixels.into())
    }

    /// Of a tensor `[H, W]`, `[1, H, W]`, `[H, W, 3]` or `[3, H, W]`: bytes as they are, other numbers from 0 for black
    /// to 1.
    ///
    /// # Errors
    /// When it has another shape, or its values cannot be read.
    pub fn of(tensor: &Tensor) -> Result<Self, ImageError> {
        let (height, width, color, ordered) = match *tensor.dims() {
            [height, width] | [1, height, width] => {
                (height, width, ColorType::Grayscale, tensor.clone())
            }
            [3, height, width] => (height, width, ColorType::Rgb, tensor.permute((1, 2, 0))?),
            [height, width, 3] => (height, width, ColorType::Rgb, tensor.clone()),
            _ => return Err(ImageError::Shape(tensor.dims().to_vec())),
        };
        let values = ordered.flatten_all()?;
        let pixels = match values.dtype() {
            DType::U8 => values.to_vec1::<u8>()?,
            _ => {
                let values = values.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                // A cast of floats saturates.
                values.iter().map(|v| (v * 255.0).round() as u8).collect()
            }
        };
        let shape = || ImageError::Shape(tensor.dims().to_vec());
        let width = u32::try_from(width).map_err(|_| shape())?;
        let height = u32::try_from(height).map_err(|_| shape())?;
        Self::new(width, height, color, pixels)
    }

    fn new(width: u32, height: u32, color: ColorType, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let wanted = u64::from(width) * u64::from(height) * color.samples() as u64;
        if wanted != pixels.len() as u64 {
            return Err(ImageError::Size {
                width,
                height,
                wanted,
                found: pixels.len(),
            });
        }
        Ok(Self {
            width,
            height,
            color,
            pixels,
        })
    }

    /// As a PNG file.
    ///
    /// # Errors
    /// When it has no pixels.
    pub fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(self.color);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(file)
    }
}

impl Rich for Image {
    fn rich(&self) -> MimeBundle {
        let text = format!("{self:?}");
        match self.png() {
            Ok(file) => mime::png(file).with("text/plain", text),
            Err(_) => MimeBundle::plain(text),
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height, color) = (self.width, self.height, self.color);
        write!(formatter, "Image({width} x {height}, {color:?})")
    }
}
