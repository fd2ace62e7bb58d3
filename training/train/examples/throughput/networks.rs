//! The networks whose training is measured: those of `tests/bench/training_torch.py`, layer by layer.

use candle_core::Result;
use carrel_training::prelude::*;
use carrel_training::{layers, ops};

/// `[784, 1024, 1024, 10]`, with rectifiers between.
pub fn mlp() -> Result<Sequential> {
    Ok(sequential![
        Linear::new(784, 1024)?,
        Relu,
        Linear::new(1024, 1024)?,
        Relu,
        Linear::new(1024, 10)?,
    ])
}

/// Two 3 x 3 convolutions beside a shortcut; the first has a stride.
struct Block {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    shortcut: Sequential,
}

impl Block {
    fn new(inner: usize, out: usize, stride: usize) -> Result<Self> {
        let three = |inner, stride| -> Result<Conv2d> {
            Ok(Conv2d::new(inner, out, 3)?
                .stride(stride)
                .padding(1)
                .without_bias())
        };
        let mut shortcut = Sequential::new();
        if stride != 1 || inner != out {
            let conv = Conv2d::new(inner, out, 1)?.stride(stride).without_bias();
            shortcut = shortcut.add(conv).add(BatchNorm::new(out)?);
        }
        Ok(Self {
            conv1: three(inner, stride)?,
            norm1: BatchNorm::new(out)?,
            conv2: three(out, 1)?,
            norm2: BatchNorm::new(out)?,
            shortcut,
        })
    }
}

impl ModuleT for Block {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.conv1.forward_t(x, train)?;
        let y = self.norm1.forward_then(&y, train, None, true)?;
        let y = self.conv2.forward_t(&y, train)?;
        let shortcut = self.shortcut.forward_t(x, train)?;
        self.norm2.forward_then(&y, train, Some(&shortcut), true)
    }
}
layers!(Block {
    conv1,
    norm1,
    conv2,
    norm2,
    shortcut
});

/// A residual network for pictures of 32 x 32 x 3.
pub struct ResNet {
    conv: Conv2d,
    norm: BatchNorm,
    blocks: Sequential,
    pool: AdaptiveAvgPool2d,
    out: Linear,
}

impl ResNet {
    /// `blocks` of each width, the first of each but the first width with a stride of 2.
    pub fn new(widths: &[usize], blocks: usize) -> Result<Self> {
        let mut layers = Sequential::new();
        let mut inner = widths[0];
        for (at, width) in widths.iter().enumerate() {
            for block in 0..blocks {
                let stride = if at > 0 && block == 0 { 2 } else { 1 };
                layers = layers.add(Block::new(inner, *width, stride)?);
                inner = *width;
            }
        }
        Ok(Self {
            conv: Conv2d::new(3, widths[0], 3)?.padding(1).without_bias(),
            norm: BatchNorm::new(widths[0])?,
            blocks: layers,
            pool: AdaptiveAvgPool2d(1),
            out: Linear::new(inner, 10)?,
        })
    }
}

impl ModuleT for ResNet {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.conv.forward_t(x, train)?;
        let x = self.norm.forward_then(&x, train, None, true)?;
        let x = self.blocks.forward_t(&x, train)?;
        let x = self.pool.forward_t(&x, train)?.flatten_from(1)?;
        self.out.forward_t(&x, train)
    }
}
layers!(ResNet {
    conv,
    norm,
    blocks,
    pool,
    out
});

/// Width, heads and the width of the feed-forward part.
const WIDTH: usize = 256;
const HEADS: usize = 8;
const INNER: usize = 1024;

/// An encoder layer with the norms first, as `nn.TransformerEncoderLayer(norm_first=True, activation="gelu")`.
struct Encoder {
    norm1: LayerNorm,
    attention: MultiheadAttention,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Encoder {
    fn new() -> Result<Self> {
        Ok(Self {
            norm1: LayerNorm::new(WIDTH)?,
            attention: MultiheadAttention::new(WIDTH, HEADS)?,
            norm2: LayerNorm::new(WIDTH)?,
            fc1: Linear::new(WIDTH, INNER)?,
            fc2: Linear::new(INNER, WIDTH)?,
        })
    }
}

impl ModuleT for Encoder {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.norm1.forward_t(x, train)?;
        let x = (x + self.attention.forward_t(&y, train)?)?;
        let y = ops::gelu(
            &self
                .fc1
                .forward_t(&self.norm2.forward_t(&x, train)?, train)?,
        )?;
        x + self.fc2.forward_t(&y, train)?
    }
}
layers!(Encoder {
    norm1,
    attention,
    norm2,
    fc1,
    fc2
});

/// Four encoder layers over (n, 64, 256), the mean over the places, ten classes.
pub struct Transformer {
    layers: Sequential,
    norm: LayerNorm,
    out: Linear,
}

impl Transformer {
    pub fn new() -> Result<Self> {
        let mut layers = Sequential::new();
        for _ in 0..4 {
            layers = layers.add(Encoder::new()?);
        }
        Ok(Self {
            layers,
            norm: LayerNorm::new(WIDTH)?,
            out: Linear::new(WIDTH, 10)?,
        })
    }
}

impl ModuleT for Transformer {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self
            .norm
            .forward_t(&self.layers.forward_t(x, train)?, train)?;
        self.out.forward_t(&x.mean(1)?, train)
    }
}
layers!(Transformer { layers, norm, out });
