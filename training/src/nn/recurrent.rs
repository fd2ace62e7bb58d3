//! Recurrent layers over sequences.

use super::{Layer, Parts, uniform};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops::{self, Cell, Then};
use candle_core::{Device, Module, Result, Tensor, Var, bail};

/// Long short-term memory: (n, l, in) to (n, l, hidden), as `torch.nn.LSTM` with `batch_first=True`. Several layers lie one
/// on the other.
#[derive(Clone, Debug)]
pub struct Lstm {
    layers: Vec<Recurrence>,
}

/// Gated recurrent units: (n, l, in) to (n, l, hidden), as `torch.nn.GRU` with `batch_first=True`. Several layers lie one on
/// the other.
#[derive(Clone, Debug)]
pub struct Gru {
    layers: Vec<Recurrence>,
}

macro_rules! recurrent {
    ($layer:ident, $cell:expr) => {
        impl $layer {
            /// One layer.
            ///
            /// # Errors
            /// When candle refuses the shape.
            pub fn new(inner: usize, hidden: usize) -> Result<Self> {
                Self::stacked(inner, hidden, 1)
            }

            /// So many layers, each over what the one below it gives.
            ///
            /// # Errors
            /// When there are none, or candle refuses the shape.
            pub fn stacked(inner: usize, hidden: usize, layers: usize) -> Result<Self> {
                Ok(Self {
                    layers: stacked($cell, inner, hidden, layers)?,
                })
            }

            /// The same without biases.
            #[must_use]
            pub fn without_bias(mut self) -> Self {
                self.layers.iter_mut().for_each(|layer| layer.biases = None);
                self
            }

            fn run(&self, x: &Tensor, state: Option<&[&Tensor]>) -> Result<(Tensor, Vec<Tensor>)> {
                run($cell, &self.layers, x, state)
            }
        }

        impl Module for $layer {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                Ok(self.run(x, None)?.0)
            }
        }

        impl Layer for $layer {
            fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
                for (at, layer) in self.layers.iter().enumerate() {
                    layer.parts(at, parts);
                }
            }

            fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
                self.layers
                    .iter_mut()
                    .try_for_each(|layer| layer.map(change))
            }

            fn to_onnx(
                &self,
                graph: &mut Graph,
                x: Value,
            ) -> std::result::Result<Value, OnnxError> {
                export($cell, &self.layers, graph, &x)
            }
        }
    };
}

recurrent!(Lstm, Cell::Lstm);
recurrent!(Gru, Cell::Gru);

impl Lstm {
    /// The outputs of all steps and the last h and c (layers, n, hidden), from such a state on, or from zeros.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_from(
        &self,
        x: &Tensor,
        state: Option<(&Tensor, &Tensor)>,
    ) -> Result<(Tensor, (Tensor, Tensor))> {
        let state = state.map(|(h, c)| [h, c]);
        let (y, states) = self.run(x, state.as_ref().map(<[_; 2]>::as_slice))?;
        Ok((y, (states[0].clone(), states[1].clone())))
    }
}

impl Gru {
    /// The outputs of all steps and the last h (layers, n, hidden), from such a state on, or from zeros.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_from(&self, x: &Tensor, state: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let state = state.map(|h| [h]);
        let (y, states) = self.run(x, state.as_ref().map(<[_; 1]>::as_slice))?;
        Ok((y, states[0].clone()))
    }
}

/// One layer.
#[derive(Clone, Debug)]
struct Recurrence {
    /// (gates hidden, in)
    weight_ih: Var,
    /// (gates hidden, hidden)
    weight_hh: Var,
    /// (gates hidden) each.
    biases: Option<[Var; 2]>,
}

fn stacked(cell: Cell, inner: usize, hidden: usize, layers: usize) -> Result<Vec<Recurrence>> {
    if layers == 0 || hidden == 0 {
        bail!("{}: {layers} layers of {hidden} are none", cell.name())
    }
    let all = cell.gates() * hidden;
    let layer = |at: usize| {
        let inner = if at == 0 { inner } else { hidden };
        Ok(Recurrence {
            weight_ih: uniform((all, inner), hidden)?,
            weight_hh: uniform((all, hidden), hidden)?,
            biases: Some([uniform(all, hidden)?, uniform(all, hidden)?]),
        })
    };
    (0..layers).map(layer).collect()
}

/// The outputs of the last layer, and each last state (layers, n, hidden).
fn run(
    cell: Cell,
    layers: &[Recurrence],
    x: &Tensor,
    state: Option<&[&Tensor]>,
) -> Result<(Tensor, Vec<Tensor>)> {
    let &[n, _, _] = x.dims() else {
        bail!(
            "{}: expected x (n, l, in), got {:?}",
            cell.name(),
            x.shape()
        )
    };
    let hidden = layers[0].weight_hh.dim(1)?;
    for state in state.unwrap_or_default() {
        if state.dims() != [layers.len(), n, hidden] {
            bail!(
                "{}: expected a state (layers, n, hidden) of {:?}, got {:?}",
                cell.name(),
                [layers.len(), n, hidden],
                state.shape()
            )
        }
    }
    let (mut y, mut last) = (x.clone(), vec![Vec::new(); cell.states()]);
    for (at, layer) in layers.iter().enumerate() {
        let state = match state {
            Some(state) => {
                let of_layer = state.iter().map(|state| state.get(at));
                Tensor::stack(&of_layer.collect::<Result<Vec<_>>>()?, 1)?
            }
            None => Tensor::zeros((n, cell.states(), hidden), y.dtype(), y.device())?,
        };
        let (outputs, states) = layer.run(cell, &y, &state)?;
        for (which, last) in last.iter_mut().enumerate() {
            last.push(states.get_on_dim(1, which)?);
        }
        y = outputs;
    }
    let last = last.iter().map(|states| Tensor::stack(states, 0));
    Ok((y, last.collect::<Result<_>>()?))
}

impl Recurrence {
    fn run(&self, cell: Cell, x: &Tensor, state: &Tensor) -> Result<(Tensor, Tensor)> {
        let [of_x, of_h] = match &self.biases {
            Some([of_x, of_h]) => [Some(of_x.as_tensor()), Some(of_h.as_tensor())],
            None => [None, None],
        };
        let sums = ops::linear(x, &self.weight_ih, of_x, Then::default())?;
        let bias = match of_h {
            Some(bias) => bias.clone(),
            None => Tensor::zeros(self.weight_hh.dim(0)?, x.dtype(), x.device())?,
        };
        ops::recurrent(cell, &sums, (&self.weight_hh, &bias), state)
    }

    fn parts<'a>(&'a self, at: usize, parts: &mut Parts<'a>) {
        parts.parameter(&format!("weight_ih_l{at}"), &self.weight_ih);
        parts.parameter(&format!("weight_hh_l{at}"), &self.weight_hh);
        if let Some([of_x, of_h]) = &self.biases {
            parts.parameter(&format!("bias_ih_l{at}"), of_x);
            parts.parameter(&format!("bias_hh_l{at}"), of_h);
        }
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.weight_ih = change(&self.weight_ih)?;
        self.weight_hh = change(&self.weight_hh)?;
        for bias in self.biases.iter_mut().flatten() {
            *bias = change(bias)?;
        }
        Ok(())
    }

    /// A tensor in ONNX's order of the gates, with one direction.
    fn ordered(cell: Cell, tensor: &Tensor) -> Result<Tensor> {
        let order: &[usize] = match cell {
            Cell::Lstm => &[0, 3, 1, 2],
            Cell::Gru => &[1, 0, 2],
        };
        let width = tensor.dim(0)? / order.len();
        let parts = order.iter().map(|at| tensor.narrow(0, at * width, width));
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?.unsqueeze(0)
    }
}

fn export(
    cell: Cell,
    layers: &[Recurrence],
    graph: &mut Graph,
    x: &Value,
) -> std::result::Result<Value, OnnxError> {
    // ONNX has the sequence first, and its results have the direction second.
    let turn = |graph: &mut Graph, x: &Value| {
        graph.node("Transpose", &[x], vec![Attribute::ints("perm", [1, 0, 2])])
    };
    let mut y = turn(graph, x);
    let second = graph.initializer("second", &Tensor::new(&[1i64], &Device::Cpu)?)?;
    for (at, layer) in layers.iter().enumerate() {
        let mut tensors = vec![
            ("weight_ih", Recurrence::ordered(cell, &layer.weight_ih)?),
            ("weight_hh", Recurrence::ordered(cell, &layer.weight_hh)?),
        ];
        if let Some([of_x, of_h]) = &layer.biases {
            let both = [of_x, of_h].map(|bias| Recurrence::ordered(cell, bias));
            let [of_x, of_h] = both;
            tensors.push(("bias", Tensor::cat(&[of_x?, of_h?], 1)?));
        }
        let mut inputs = vec![y.clone()];
        for (name, tensor) in tensors {
            inputs.push(graph.initializer(&format!("{name}_l{at}"), &tensor)?);
        }
        let hidden = layer.weight_hh.dim(1)? as i64;
        let mut attributes = vec![Attribute::int("hidden_size", hidden)];
        let operator = match cell {
            Cell::Lstm => "LSTM",
            Cell::Gru => {
                // PyTorch's reset gate comes after the product.
                attributes.push(Attribute::int("linear_before_reset", 1));
                "GRU"
            }
        };
        let inputs: Vec<&Value> = inputs.iter().collect();
        let all = graph.node(operator, &inputs, attributes);
        y = graph.node("Squeeze", &[&all, &second], vec![]);
    }
    Ok(turn(graph, &y))
}
