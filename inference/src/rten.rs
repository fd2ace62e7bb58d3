//! The engine rten: embedded, for machines without the library of ONNX Runtime. It knows fewer operators and types, so what it
//! is known to compute otherwise than ONNX says is refused when it is loaded, and numbers that do not fit are an error.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rten::{NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;

use crate::engine::{Engine, LoadOptions, Network};
use crate::error::Error;
use crate::graph::{self, Graph, Size, ValueInfo};
use crate::nodes;
use crate::signature::{Named, Signature, TensorSpec, one_name};
use crate::stop::Stop;
use crate::tensor::{Data, DataType, Tensor};

const NAME: &str = "rten";
const VERSION: &str = "0.27.0";

pub struct Rten {
    /// What it computes wrongly is loaded too.
    pub unchecked: bool,
}

impl Engine for Rten {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn load(&self, file: &Path, options: &LoadOptions) -> Result<Box<dyn Network>, Error> {
        let failed = |reason: String| Error::load(file, reason);
        let described = graph::Model::read(file)?;
        if !self.unchecked {
            nodes::check(&described, NAME, Some(VERSION)).map_err(failed)?;
        }
        let graph = described.graph.unwrap_or_default();
        let signature = signature(&graph).map_err(failed)?;
        let model = rten::Model::load_file(file).map_err(|error| failed(error.to_string()))?;
        let id = |spec: &TensorSpec| {
            let found = model.node_id(&spec.name);
            found
                .map(|id| (spec.name.clone(), id))
                .map_err(|error| failed(error.to_string()))
        };
        let specs = signature.inputs.iter().chain(&signature.outputs);
        let given = graph
            .input
            .iter()
            .filter(|info| signature.input(&info.name).is_some());
        let has_rows = one_name(given.chain(&graph.output).map(first_dim));
        let ids = specs.map(id).collect::<Result<_, _>>()?;
        let threads = (options.threads > 0).then(|| ThreadPool::with_num_threads(options.threads));
        Ok(Box::new(Loaded {
            has_rows,
            signature,
            model,
            ids,
            threads: threads.map(Arc::new),
        }))
    }
}

struct Loaded {
    signature: Signature,
    has_rows: bool,
    model: rten::Model,
    ids: HashMap<String, NodeId>,
    threads: Option<Arc<ThreadPool>>,
}

impl Network for Loaded {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    /// Cannot be stopped once it runs.
    fn run(&self, inputs: Named, outputs: &[String], stop: &Stop) -> Result<Named, Error> {
        if stop.is_stopped() {
            return Err(Error::Stopped);
        }
        let mut given = Vec::with_capacity(inputs.len());
        for (name, tensor) in &inputs {
            let value = value(tensor).map_err(|reason| Error::input(name, reason))?;
            given.push((self.id(name)?, ValueOrView::Value(value)));
        }
        let all = self.signature.outputs.iter();
        let wanted: Vec<&TensorSpec> = match outputs.is_empty() {
            true => all.collect(),
            false => outputs
                .iter()
                .filter_map(|name| self.signature.output(name))
                .collect(),
        };
        let ids: Vec<_> = wanted
            .iter()
            .map(|spec| self.id(&spec.name))
            .collect::<Result<_, _>>()?;
        let mut options = RunOptions::default();
        options.thread_pool.clone_from(&self.threads);
        let found = self.model.run(given, &ids, Some(options));
        let found = found.map_err(|error| failed(error.to_string()))?;
        let named = wanted.into_iter().zip(found).map(|(spec, value)| {
            let tensor = tensor(value, spec.dtype);
            let strange = |reason| failed(format!("the output {:?}: {reason}", spec.name));
            Ok((spec.name.clone(), tensor.map_err(strange)?))
        });
        named.collect()
    }
}

impl Loaded {
    fn id(&self, name: &str) -> Result<NodeId, Error> {
        let id = self.ids.get(name).copied();
        id.ok_or_else(|| failed(format!("there is no tensor {name:?}")))
    }
}

fn failed(reason: String) -> Error {
    Error::Failed {
        engine: NAME,
        reason,
    }
}

fn dims_of(info: &ValueInfo) -> Vec<Option<usize>> {
    let tensor = info
        .r#type
        .as_ref()
        .and_then(|one| one.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dims = shape.map(|shape| &*shape.dim).unwrap_or_default();
    let size = |dim: &graph::Dimension| match dim.value {
        Some(Size::DimValue(size)) => usize::try_from(size).ok(),
        _ => None,
    };
    dims.iter().map(size).collect()
}

/// The name of the first dimension.
fn first_dim(info: &ValueInfo) -> Option<&str> {
    let tensor = info.r#type.as_ref()?.tensor_type.as_ref()?;
    match &tensor.shape.as_ref()?.dim.first()?.value {
        Some(Size::DimParam(name)) => Some(name),
        _ => None,
    }
}

fn signature(graph: &Graph) -> Result<Signature, String> {
    // Older files have the initializers among the inputs.
    let is_given = |info: &&ValueInfo| !graph.initializer.iter().any(|one| one.name == info.name);
    let inputs = graph
        .input
        .iter()
        .filter(is_given)
        .map(|info| spec("input", info));
    let outputs = graph.output.iter().map(|info| spec("output", info));
    Ok(Signature {
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: outputs.collect::<Result<_, _>>()?,
    })
}

fn spec(kind: &str, info: &ValueInfo) -> Result<TensorSpec, String> {
    let name = &info.name;
    let tensor = info
        .r#type
        .as_ref()
        .and_then(|one| one.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| format!("the {kind} {name:?} is no tensor"))?;
    // `TensorProto.DataType`.
    let dtype = match tensor.elem_type {
        1 => DataType::F32,
        2 => DataType::U8,
        3 => DataType::I8,
        6 => DataType::I32,
        7 => DataType::I64,
        9 => DataType::Bool,
        other => {
            return Err(format!(
                "the {kind} {name:?} is of ONNX's type {other}, which rten does not have"
            ));
        }
    };
    Ok(TensorSpec {
        name: name.clone(),
        dtype,
        shape: dims_of(info),
    })
}

/// The tensor as rten takes it, whose integers have 32 bits.
fn value(tensor: &Tensor) -> Result<Value, String> {
    let shape = tensor.shape();
    macro_rules! value {
        ($all:expr) => {
            Value::from_shape(shape, $all).map_err(|error| error.to_string())
        };
    }
    match tensor.data() {
        Data::F32(all) => value!(all.clone()),
        Data::I32(all) => value!(all.clone()),
        Data::I8(all) => value!(all.clone()),
        Data::U8(all) => value!(all.clone()),
        Data::Bool(all) => value!(all.iter().map(|one| i32::from(*one)).collect::<Vec<_>>()),
        Data::I64(all) => {
            let narrow = |one: &i64| {
                let narrow = i32::try_from(*one);
                narrow.map_err(|_| format!("{one} does not fit the 32 bits of rten's integers"))
            };
            let all: Vec<i32> = all.iter().map(narrow).collect::<Result<_, _>>()?;
            value!(all)
        }
        _ => Err(format!("rten does not have {}", tensor.dtype())),
    }
}

/// The tensor of the type that the network says; rten's own is 32 bits wide.
fn tensor(value: Value, dtype: DataType) -> Result<Tensor, String> {
    let (shape, data): (Vec<usize>, Data) = match (value, dtype) {
        (Value::FloatTensor(one), DataType::F32) => (one.shape().to_vec(), one.to_vec().into()),
        (Value::Int8Tensor(one), DataType::I8) => (one.shape().to_vec(), one.to_vec().into()),
        (Value::UInt8Tensor(one), DataType::U8) => (one.shape().to_vec(), one.to_vec().into()),
        (Value::Int32Tensor(one), dtype) => {
            let (shape, all) = (one.shape().to_vec(), one.to_vec());
            let data = match dtype {
                DataType::I32 => all.into(),
                DataType::I64 => all.into_iter().map(i64::from).collect::<Vec<_>>().into(),
                DataType::Bool => all
                    .into_iter()
                    .map(|one| one != 0)
                    .collect::<Vec<_>>()
                    .into(),
                other => return Err(format!("it is i32, not {other}")),
            };
            (shape, data)
        }
        (other, dtype) => return Err(format!("it is {}, not {dtype}", other.dtype())),
    };
    Tensor::new(shape, data).map_err(|error| error.to_string())
}
