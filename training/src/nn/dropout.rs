//! Dropout of elements and of channels, from a generator of its own whose state is part of the network's.

use std::sync::Mutex;

use super::{Layer, Parts};
use crate::onnx::graph::{Graph, OnnxError, Value};
use crate::ops;
use crate::random::{Random, of_layer};
use candle_core::{ModuleT, Result, Tensor, Var};
use carrel_ranks::lock;

/// Drops elements in training.
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    random: Mutex<Random>,
}

/// Drops whole channels of (n, c, h, w) in training.
#[derive(Debug)]
pub struct Dropout2d {
    p: f64,
    random: Mutex<Random>,
}

/// A generator seeded by the one that weights are drawn from.
fn seeded() -> Mutex<Random> {
    Mutex::new(of_layer())
}

macro_rules! dropout {
    ($layer:ident, $op:path) => {
        impl $layer {
            /// With the probability to drop, in 0..=1.
            pub fn new(p: f64) -> Self {
                Self {
                    p,
                    random: seeded(),
                }
            }

            /// One factor for each of `len` elements (channels), for operations that apply it themselves.
            ///
            /// # Errors
            /// When the probability is none.
            pub fn mask(&self, len: usize) -> Result<Vec<f32>> {
                ops::mask(len, self.p, &mut lock(&self.random))
            }
        }

        impl ModuleT for $layer {
            fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
                if train {
                    $op(x, self.p, &mut lock(&self.random))
                } else {
                    Ok(x.clone())
                }
            }
        }

        impl Layer for $layer {
            fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
                parts.random("random", &self.random);
            }

            fn map(&mut self, _: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
                Ok(())
            }

            /// Nothing is dropped in use.
            fn to_onnx(&self, _: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
                Ok(x)
            }
        }
    };
}

dropout!(Dropout, ops::dropout);
dropout!(Dropout2d, ops::dropout2d);
