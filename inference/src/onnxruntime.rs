//! The engine ONNX Runtime, by its library that is loaded at run time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::environment::Environment;
use ort::error::ErrorCode;
use ort::logging::LogLevel;
use ort::session::{RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};

use crate::engine::{Engine, LoadOptions, Network};
use crate::error::Error;
use crate::graph;
use crate::heap::give_back_memory;
use crate::nodes;
use crate::signature::{Named, Signature, TensorSpec, one_name};
use crate::stop::Stop;
use crate::tensor::{Data, DataType, Tensor};

const NAME: &str = "onnxruntime";
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// What the system's loader looks for where nobody names a file.
const LIBRARY: &str = "libonnxruntime.so";

/// ONNX Runtime allows one environment in a process, so it stays once it is made.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

pub struct OnnxRuntime {
    environment: Environment,
    /// What it computes wrongly is loaded too.
    unchecked: bool,
}

impl OnnxRuntime {
    /// Loads the library, unless that was done before.
    pub fn start(library: Option<&Path>, unchecked: bool) -> Result<Self, Error> {
        let mut known = lock(&ENVIRONMENT);
        if let Some(environment) = &*known {
            let environment = environment.clone();
            return Ok(Self {
                environment,
                unchecked,
            });
        }
        let from = match library {
            Some(file) => file.to_owned(),
            None => std::env::var_os(VARIABLE)
                .filter(|value| !value.is_empty())
                .map_or_else(|| LIBRARY.into(), PathBuf::from),
        };
        let missing = |error: &dyn std::fmt::Display| Error::NoEngine {
            engine: NAME,
            reason: format!("{error} ({VARIABLE} names the library of ONNX Runtime 1.31 or newer)"),
        };
        let builder = ort::init_from(&from).map_err(|error| missing(&error))?;
        let builder = builder.with_name("carrel").with_telemetry(false);
        let environment = builder.build().map_err(|error| missing(&error))?;
        // What fails is an error of ours, and its text the same.
        environment.set_log_level(LogLevel::Fatal);
        *known = Some(environment.clone());
        Ok(Self {
            environment,
            unchecked,
        })
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        // "ORT Build Info: git-branch=.., build type=..": the library has no shorter word for itself.
        ort::info().to_owned()
    }

    fn load(&self, file: &Path, options: &LoadOptions) -> Result<Box<dyn Network>, Error> {
        if !self.unchecked {
            let described = graph::Model::read(file)?;
            let checked = nodes::check(&described, NAME, None);
            checked.map_err(|reason| Error::load(file, reason))?;
        }
        let load = |_| {
            let builder = Session::builder(&self.environment)?;
            let builder = builder.with_intra_threads(options.threads)?;
            builder.with_inter_threads(1)?.commit_from_file(file)
        };
        let sessions: Result<Vec<_>, ort::Error> =
            (0..options.instances.max(1)).map(load).collect();
        let sessions = sessions.map_err(|error| Error::load(file, error))?;
        give_back_memory();
        let signature = match sessions.first() {
            Some(session) => signature(session).map_err(|reason| Error::load(file, reason))?,
            None => Signature::default(),
        };
        Ok(Box::new(Sessions {
            signature,
            has_rows: sessions.first().is_some_and(has_rows),
            sessions: sessions.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
        }))
    }
}

/// One network several times: a session runs once at a time.
struct Sessions {
    signature: Signature,
    has_rows: bool,
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
}

/// What the sessions had is given back to the system.
impl Drop for Sessions {
    fn drop(&mut self) {
        self.sessions.clear();
        give_back_memory();
    }
}

impl Network for Sessions {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn run(&self, inputs: Named, outputs: &[String], stop: &Stop) -> Result<Named, Error> {
        let mut given = Vec::with_capacity(inputs.len());
        for (name, tensor) in &inputs {
            let value = value(tensor).map_err(|reason| Error::input(name, reason))?;
            given.push((name.as_str(), value));
        }
        // All outputs are computed: options that name some cannot be shared with who stops the run.
        if stop.is_never() {
            let mut session = self.free();
            let found = session.run(given).map_err(|error| failed(&error))?;
            return self.named(&found, outputs);
        }
        let options = Arc::new(RunOptions::new().map_err(|error| failed(&error))?);
        let mut session = self.free();
        let shared = Arc::clone(&options);
        // What cannot be stopped runs to its end.
        let tell = move || drop(shared.terminate());
        let found = stop.while_running(tell, || session.run_with_options(given, &options));
        let found = match found.ok_or(Error::Stopped)? {
            Err(_) if stop.is_stopped() => return Err(Error::Stopped),
            found => found.map_err(|error| failed(&error))?,
        };
        self.named(&found, outputs)
    }
}

impl Sessions {
    /// The outputs with these names, or all where none is named.
    fn named(&self, found: &SessionOutputs, outputs: &[String]) -> Result<Named, Error> {
        let output = |name: &String| {
            let value = found.get(name).ok_or_else(|| Error::Failed {
                engine: NAME,
                reason: format!("the output {name:?} was not computed"),
            })?;
            Ok((name.clone(), tensor(name, value)?))
        };
        if !outputs.is_empty() {
            return outputs.iter().map(output).collect();
        }
        let all = self.signature.outputs.iter().map(|one| &one.name);
        all.map(output).collect()
    }

    /// A session that does nothing now, or the one whose turn it is.
    fn free(&self) -> MutexGuard<'_, Session> {
        let free = self.sessions.iter().find_map(|one| one.try_lock().ok());
        free.unwrap_or_else(|| {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
            lock(&self.sessions[next])
        })
    }
}

/// What a panic left is as good as before: a session has no state of its own between runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: &ort::Error) -> Error {
    let reason = error.to_string();
    match error.code() {
        ErrorCode::InvalidArgument => Error::Refused {
            engine: NAME,
            reason,
        },
        _ => Error::Failed {
            engine: NAME,
            reason,
        },
    }
}

fn signature(session: &Session) -> Result<Signature, String> {
    let specs = |kind: &str, outlets: &[Outlet]| {
        let specs = outlets.iter().map(|outlet| spec(kind, outlet));
        specs.collect::<Result<Vec<_>, _>>()
    };
    Ok(Signature {
        inputs: specs("input", session.inputs())?,
        outputs: specs("output", session.outputs())?,
    })
}

fn has_rows(session: &Session) -> bool {
    let outlets = session.inputs().iter().chain(session.outputs());
    one_name(outlets.map(|outlet| match outlet.dtype() {
        // The symbol is empty where the size is given.
        ValueType::Tensor {
            dimension_symbols, ..
        } => dimension_symbols.first().map(String::as_str),
        _ => None,
    }))
}

fn spec(kind: &str, outlet: &Outlet) -> Result<TensorSpec, String> {
    let name = outlet.name();
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        let what = outlet.dtype();
        return Err(format!(
            "the {kind} {name:?} is {what}, and only tensors are served"
        ));
    };
    let dtype = dtype(*ty).ok_or_else(|| format!("the {kind} {name:?} is of {ty}"))?;
    Ok(TensorSpec {
        name: name.to_owned(),
        dtype,
        // -1 where any size will do.
        shape: shape.iter().map(|dim| usize::try_from(*dim).ok()).collect(),
    })
}

fn dtype(element: TensorElementType) -> Option<DataType> {
    Some(match element {
        TensorElementType::Bool => DataType::Bool,
        TensorElementType::Uint8 => DataType::U8,
        TensorElementType::Uint16 => DataType::U16,
        TensorElementType::Uint32 => DataType::U32,
        TensorElementType::Uint64 => DataType::U64,
        TensorElementType::Int8 => DataType::I8,
        TensorElementType::Int16 => DataType::I16,
        TensorElementType::Int32 => DataType::I32,
        TensorElementType::Int64 => DataType::I64,
        TensorElementType::Float16 => DataType::F16,
        TensorElementType::Bfloat16 => DataType::Bf16,
        TensorElementType::Float32 => DataType::F32,
        TensorElementType::Float64 => DataType::F64,
        TensorElementType::String => DataType::String,
        _ => return None,
    })
}

/// The tensor as ONNX Runtime takes it: numbers where they lie, strings as copies.
fn value(tensor: &Tensor) -> Result<SessionInputValue<'_>, String> {
    let shape = tensor.shape();
    macro_rules! numbers {
        ($all:expr) => {
            TensorRef::from_array_view((shape, $all.as_slice())).map(SessionInputValue::from)
        };
    }
    let value = match tensor.data() {
        Data::Bool(all) => numbers!(all),
        Data::U8(all) => numbers!(all),
        Data::U16(all) => numbers!(all),
        Data::U32(all) => numbers!(all),
        Data::U64(all) => numbers!(all),
        Data::I8(all) => numbers!(all),
        Data::I16(all) => numbers!(all),
        Data::I32(all) => numbers!(all),
        Data::I64(all) => numbers!(all),
        Data::F16(all) => numbers!(all),
        Data::Bf16(all) => numbers!(all),
        Data::F32(all) => numbers!(all),
        Data::F64(all) => numbers!(all),
        Data::String(all) => {
            let text = |one: &Vec<u8>| String::from_utf8(one.clone());
            let texts: Result<Vec<_>, _> = all.iter().map(text).collect();
            let texts = texts.map_err(|_| "a string is no UTF-8")?;
            if texts.iter().any(|text| text.contains('\0')) {
                return Err("a string has a zero byte, which ONNX Runtime cannot take".into());
            }
            let strings = ort::value::Tensor::from_string_array((shape, texts.as_slice()));
            strings.map(SessionInputValue::from)
        }
    };
    value.map_err(|error| error.to_string())
}

fn tensor(name: &str, value: &DynValue) -> Result<Tensor, Error> {
    let strange = |reason: String| Error::Failed {
        engine: NAME,
        reason: format!("the output {name:?}: {reason}"),
    };
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(strange("it is no tensor".into()));
    };
    let dtype = dtype(*ty).ok_or_else(|| strange(format!("it is of {ty}")))?;
    let shape: Result<Vec<usize>, _> = shape.iter().map(|dim| usize::try_from(*dim)).collect();
    let shape = shape.map_err(|error| strange(error.to_string()))?;
    let data = data(dtype, value).map_err(|error| strange(error.to_string()))?;
    Tensor::new(shape, data).map_err(|error| strange(error.to_string()))
}

fn data(dtype: DataType, value: &DynValue) -> Result<Data, ort::Error> {
    macro_rules! numbers {
        ($variant:ident) => {
            Data::$variant(value.try_extract_tensor()?.1.to_vec())
        };
    }
    Ok(match dtype {
        DataType::Bool => numbers!(Bool),
        DataType::U8 => numbers!(U8),
        DataType::U16 => numbers!(U16),
        DataType::U32 => numbers!(U32),
        DataType::U64 => numbers!(U64),
        DataType::I8 => numbers!(I8),
        DataType::I16 => numbers!(I16),
        DataType::I32 => numbers!(I32),
        DataType::I64 => numbers!(I64),
        DataType::F16 => numbers!(F16),
        DataType::Bf16 => numbers!(Bf16),
        DataType::F32 => numbers!(F32),
        DataType::F64 => numbers!(F64),
        DataType::String => value.try_extract_strings()?.1.into(),
    })
}
