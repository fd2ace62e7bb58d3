//! What engines are known to compute: the table of node tests, and rules for what differs there.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::graph::{Attribute, Model, Node};
use crate::values::{BOOL, F64, U64, Values, names};

/// What `tests/it/nodes.rs` wrote: the outcome of each test of `onnx`, and of our own, by operator, opset and attributes.
const TABLE: &str = include_str!("../nodes.txt");

/// The engines of the table, in the order of its columns.
pub const ENGINES: [&str; 2] = ["onnxruntime", "rten"];

/// A node that an engine computes otherwise than ONNX says, without an error.
struct Rule {
    engine: &'static str,
    /// Or [`ANY`].
    operator: &'static str,
    when: fn(&Node, &Network) -> bool,
    /// The end of a sentence.
    why: &'static str,
}

const ANY: &str = "";

/// What is found wrong in the table; some of it shows by inputs that are not known when a network is loaded, so that all
/// nodes of such an operator are refused.
const RULES: [Rule; 19] = [
    Rule {
        engine: "onnxruntime",
        operator: "MaxUnpool",
        when: |node, _| node.input.len() > 2,
        why: "it places numbers otherwise where output_shape is there",
    },
    rten("ArgMax", always, "of equal numbers it takes the last"),
    rten("ArgMin", always, "of equal numbers it takes the last"),
    rten("DynamicQuantizeLinear", always, "it rounds otherwise"),
    rten(
        "QuantizeLinear",
        always,
        "it multiplies by the inverse of the scale, which rounds otherwise",
    ),
    rten("MatMul", has_vector, "of a vector it keeps a dimension"),
    rten(
        "NonMaxSuppression",
        always,
        "it loses boxes of several batches or classes",
    ),
    rten("Resize", is_cubic, "its cubic mode is linear"),
    rten("Upsample", is_cubic, "its cubic mode is linear"),
    rten(
        "Resize",
        |node, _| text(node, "coordinate_transformation_mode") == Some(b"align_corners"),
        "it aligns corners otherwise where pictures become smaller",
    ),
    rten("ReduceMax", has_bool, "of no booleans it gives true"),
    rten("ReduceMin", has_bool, "of no booleans it gives false"),
    rten("Sign", always, "of 0 it gives 1"),
    rten(
        "Softmax",
        is_before_13,
        "before opset 13 it is over several dimensions",
    ),
    rten(
        "LogSoftmax",
        is_before_13,
        "before opset 13 it is over several dimensions",
    ),
    rten(
        ANY,
        |node, network| has(node, network, F64),
        "of f64 it has 32 bits",
    ),
    rten(
        ANY,
        |node, network| has(node, network, U64),
        "of u64 it has 32 bits",
    ),
    rten(
        ANY,
        |node, network| network.values().has_wide(node),
        "a constant integer is beyond its 32 bits",
    ),
    rten(
        ANY,
        |node, network| network.values().may_be_wide(node),
        "it has 32 bits for the 64-bit integers of the results",
    ),
];

const fn rten(
    operator: &'static str,
    when: fn(&Node, &Network) -> bool,
    why: &'static str,
) -> Rule {
    Rule {
        engine: "rten",
        operator,
        when,
        why,
    }
}

/// What a node does not say itself.
struct Network<'a> {
    model: &'a Model,
    opset: i64,
    values: OnceCell<Values<'a>>,
}

impl<'a> Network<'a> {
    fn values(&self) -> &Values<'a> {
        self.values.get_or_init(|| Values::of(self.model))
    }
}

/// Whether this engine is known to compute all nodes as ONNX says.
///
/// # Errors
/// The first that it does not: the end of a sentence that names node, operator, engine, and the engine that does.
pub fn check(model: &Model, engine: &str, version: Option<&str>) -> Result<(), String> {
    let main = |domain: &str| matches!(domain, "" | "ai.onnx");
    let opsets = model.opset_import.iter();
    let opset = opsets
        .filter(|one| main(&one.domain))
        .map(|one| one.version);
    let network = Network {
        model,
        opset: opset.max().unwrap_or(1),
        values: OnceCell::new(),
    };
    for node in model.nodes() {
        let Some(why) = wrong(node, &network, engine) else {
            continue;
        };
        let (name, operator) = (&node.name, &node.op_type);
        let other = ENGINES.into_iter().find(|other| {
            *other != engine && is_known(node, other) && wrong(node, &network, other).is_none()
        });
        let other = match other {
            Some(other) => format!("{other} computes it"),
            None => "no engine here is known to compute it".to_owned(),
        };
        let engine = [engine].into_iter().chain(version);
        let engine = engine.collect::<Vec<_>>().join(" ");
        return Err(format!(
            "the node {name:?} is {operator}, which {engine} {why}; {other}"
        ));
    }
    Ok(())
}

/// Why this engine is not to compute the node.
fn wrong(node: &Node, network: &Network, engine: &str) -> Option<String> {
    let rule = RULES.iter().find(|rule| {
        let is_of = rule.operator == ANY || rule.operator == operator(node);
        rule.engine == engine && is_of && (rule.when)(node, network)
    });
    match rule {
        Some(rule) => Some(format!("computes wrongly: {}", rule.why)),
        // ONNX Runtime has operators beyond those of ONNX, and is what defines them.
        None if engine == ENGINES[0] => None,
        None => unknown(node, engine),
    }
}

fn is_known(node: &Node, engine: &str) -> bool {
    unknown(node, engine).is_none()
}

/// What of the node no test of the table has that this engine computes rightly: the operator, or a text of an attribute.
fn unknown(node: &Node, engine: &str) -> Option<String> {
    let Some(known) = right(engine).and_then(|right| right.get(&*operator(node))) else {
        return Some("is not known to compute rightly".to_owned());
    };
    let mut texts = node.attribute.iter().filter_map(attribute);
    let text = texts.find(|text| !known.contains(&**text))?;
    Some(format!("is not known to compute rightly with {text}"))
}

/// The name in the table.
fn operator(node: &Node) -> String {
    match &*node.domain {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    }
}

/// The attribute as the table has it, if it is a text.
fn attribute(attribute: &Attribute) -> Option<String> {
    let (name, text) = (&attribute.name, |bytes| str::from_utf8(bytes).ok());
    let texts = attribute.strings.iter().map(|one| text(one));
    match texts.collect::<Option<Vec<_>>>()?.join(",") {
        texts if !texts.is_empty() => Some(format!("{name}=[{texts}]")),
        _ if attribute.s.is_empty() => None,
        _ => Some(format!("{name}={}", text(&attribute.s)?)),
    }
}

type Right = HashMap<&'static str, HashSet<&'static str>>;

/// The operators, and attributes with them, of tests whose right answer an engine gives.
fn right(engine: &str) -> Option<&'static Right> {
    static RIGHT: LazyLock<[Right; 2]> = LazyLock::new(|| [0, 1].map(read));
    let column = ENGINES.into_iter().position(|one| one == engine)?;
    RIGHT.get(column)
}

fn read(column: usize) -> Right {
    let mut right = Right::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(" | ");
        let (Some(operator), Some(_), Some(attributes)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if fields
            .nth(column)
            .is_some_and(|found| found.contains("right"))
        {
            let known = right.entry(operator).or_default();
            known.extend(attributes.split(' '));
        }
    }
    right
}

const fn always(_: &Node, _: &Network) -> bool {
    true
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a [u8]> {
    let found = node.attribute.iter().find(|one| one.name == name);
    found.map(|one| &*one.s)
}

fn is_cubic(node: &Node, _: &Network) -> bool {
    text(node, "mode") == Some(b"cubic")
}

fn is_before_13(_: &Node, network: &Network) -> bool {
    network.opset < 13
}

/// Whether an input is known to have one dimension.
fn has_vector(node: &Node, network: &Network) -> bool {
    let values = network.values();
    node.input.iter().any(|name| values.is_vector(name))
}

/// Whether an input is known to be of booleans.
fn has_bool(node: &Node, network: &Network) -> bool {
    let values = network.values();
    node.input.iter().any(|name| values.is_of(name, BOOL))
}

/// Whether it takes or gives numbers of this type.
fn has(node: &Node, network: &Network, dtype: i32) -> bool {
    let values = network.values();
    names(node).any(|name| values.is_of(name, dtype))
}
