//! Where the tests find the library of ONNX Runtime and SqueezeNet, and networks that they make themselves.

use std::path::{Path, PathBuf};

use carrel_inference::Engines;
use carrel_onnx::proto::{
    Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TensorTypeProto, TypeProto, Value, ValueInfoProto,
};
use carrel_skip::{Need, skip};

/// The engines with the library of ONNX Runtime, or none where it is not on this machine.
pub fn engines() -> Option<Engines> {
    Some(Engines::new(Some(library()?)))
}

/// The library of ONNX Runtime, or none where it is not on this machine.
pub fn library() -> Option<PathBuf> {
    let named = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let prepared = std::env::var_os("CARREL_TEST_PREPARED").map(PathBuf::from);
    let found = named.or_else(|| prepared.as_deref().and_then(library_of));
    if found.is_none() {
        skip(
            Need::Prepared,
            "neither $ORT_DYLIB_PATH nor $CARREL_TEST_PREPARED has the library of ONNX Runtime",
        );
    }
    found
}

/// The library in the Python environment there.
fn library_of(prepared: &Path) -> Option<PathBuf> {
    let python = std::fs::read_dir(prepared.join("venv/lib")).ok()?;
    let packages = python.flatten().map(|one| one.path().join("site-packages"));
    let files = packages.filter_map(|one| std::fs::read_dir(one.join("onnxruntime/capi")).ok());
    let mut files = files.flat_map(|folder| folder.flatten().map(|one| one.path()));
    files.find(|file| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("libonnxruntime.so"))
    })
}

/// Python with the clients of model servers and `onnx`: that of `CARREL_TEST_SERVING_PYTHON`, or of the prepared environment.
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("CARREL_TEST_SERVING_PYTHON").map(PathBuf::from);
    let prepared = std::env::var_os("CARREL_TEST_PREPARED").map(PathBuf::from);
    let found = named.or_else(|| prepared.map(|folder| folder.join("serving/bin/python")));
    let found = found.filter(|python| python.is_file());
    if found.is_none() {
        skip(
            Need::Prepared,
            "$CARREL_TEST_PREPARED has no clients of model servers",
        );
    }
    found
}

/// The folder with `squeezenet` and `images`, or none where it is not on this machine.
pub fn data() -> Option<PathBuf> {
    let data = std::env::var_os("CARREL_DATA").map(PathBuf::from);
    let data = data.filter(|data| data.join("squeezenet/squeezenet1.1.onnx").is_file());
    if data.is_none() {
        skip(Need::SqueezeNet, "$CARREL_DATA has no squeezenet");
    }
    data
}

/// Elements as ONNX numbers them.
pub const F32: i32 = 1;
pub const I64: i32 = 7;
pub const STRING: i32 = 8;
pub const F16: i32 = 10;
pub const BF16: i32 = 16;

/// A tensor of a graph; -1 for dimensions of any size.
pub fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| match dim {
        -1 => Value::DimParam("any".into()),
        dim => Value::DimValue(*dim),
    });
    of_dims(name, elem_type, dim)
}

/// A tensor of a graph with these names of its dimensions, each of any size.
pub fn value_of(name: &str, elem_type: i32, dims: &[&str]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| Value::DimParam((*dim).into()));
    of_dims(name, elem_type, dim)
}

fn of_dims(name: &str, elem_type: i32, dims: impl Iterator<Item = Value>) -> ValueInfoProto {
    let dim = dims.map(|dim| Dimension { value: Some(dim) });
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type,
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            }),
        }),
    }
}

pub fn node(operator: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: operator.into(),
        attribute: vec![],
    }
}

/// An ONNX file of this graph in `folder`.
pub fn network(
    folder: &Path,
    input: Vec<ValueInfoProto>,
    output: Vec<ValueInfoProto>,
    node: Vec<NodeProto>,
) -> PathBuf {
    use prost::Message as _;
    let model = ModelProto {
        ir_version: 9,
        graph: Some(GraphProto {
            node,
            name: "network".into(),
            input,
            output,
            ..GraphProto::default()
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 20,
        }],
        ..ModelProto::default()
    };
    let file = folder.join("model.onnx");
    std::fs::write(&file, model.encode_to_vec()).unwrap();
    file
}
