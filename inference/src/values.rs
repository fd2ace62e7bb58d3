//! What an ONNX file shows of the values between its nodes: types, vectors, and where 64-bit integers are more than sizes and
//! indices. Names of branches and bodies are taken together with those outside, which shows rather more than less.

use std::collections::{HashMap, HashSet};

use crate::graph::{Attribute, Graph, Model, Node, ValueInfo, Weights};

/// Types as `TensorProto.DataType` numbers them.
pub const F32: i32 = 1;
pub const I64: i32 = 7;
pub const BOOL: i32 = 9;
pub const F64: i32 = 11;
pub const U64: i32 = 13;
/// Integers that fit 32 bits.
const NARROW: [i32; 6] = [2, 3, 4, 5, 6, BOOL];

/// Where nodes take a shape, an axis or an index: of so many elements no tensor has more than 32 bits count.
const SIZES: [(&str, &[usize]); 24] = [
    ("CenterCropPad", &[1]),
    ("ConstantOfShape", &[0]),
    ("CumSum", &[1]),
    ("Expand", &[1]),
    ("Gather", &[1]),
    ("GatherElements", &[1]),
    ("GatherND", &[1]),
    ("Loop", &[0]),
    ("OneHot", &[0, 1]),
    ("Pad", &[1, 3]),
    ("ReduceL1", &[1]),
    ("ReduceL2", &[1]),
    ("ReduceMax", &[1]),
    ("ReduceMean", &[1]),
    ("ReduceMin", &[1]),
    ("ReduceProd", &[1]),
    ("ReduceSum", &[1]),
    ("Reshape", &[1]),
    ("Resize", &[3]),
    ("ScatterElements", &[1]),
    ("ScatterND", &[1]),
    ("Slice", BOUNDS),
    ("Split", &[1]),
    ("Tile", &[1]),
];
/// The same of operators whose second input is one.
const AXES: [&str; 4] = ["Squeeze", "Unsqueeze", "TopK", "Trilu"];
/// The inputs of `Slice` that are cut to the size of the tensor, so that any large number means the same.
const BOUNDS: &[usize] = &[1, 2, 3, 4];
/// Nodes whose results are sizes or indices, and which of their results.
const COUNTS: [(&str, usize); 8] = [
    ("ArgMax", 0),
    ("ArgMin", 0),
    ("MaxPool", 1),
    ("NonMaxSuppression", 0),
    ("NonZero", 0),
    ("Shape", 0),
    ("Size", 0),
    ("TopK", 1),
];
/// Nodes whose results may have more digits than what they are of.
const GROWING: [&str; 17] = [
    "Abs",
    "Add",
    "BitShift",
    "CumProd",
    "CumSum",
    "Einsum",
    "Gemm",
    "MatMul",
    "Mul",
    "Neg",
    "Pow",
    "ReduceL1",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Sub",
    "Sum",
];
const TESTS: [&str; 10] = [
    "And",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Not",
    "Xor",
];

#[derive(Default)]
pub struct Values<'a> {
    types: HashMap<&'a str, Vec<i32>>,
    vectors: HashSet<&'a str>,
    /// Constants with integers beyond 32 bits, but those that only bound a slice.
    wide: HashSet<&'a str>,
    /// What is computed from shapes, indices and constants alone.
    sizes: HashSet<&'a str>,
    /// What the network's results are computed from, otherwise than by shapes and indices.
    shown: HashSet<&'a str>,
}

impl<'a> Values<'a> {
    pub fn of(model: &'a Model) -> Self {
        let (graphs, nodes) = (model.graphs(), model.nodes());
        let mut values = Self::default();
        for graph in graphs {
            for weights in &graph.initializer {
                values.constant(&weights.name, weights);
            }
            let infos = graph.input.iter().chain(&graph.value_info);
            infos
                .chain(&graph.output)
                .for_each(|info| values.described(info));
        }
        for node in &nodes {
            values.constants_of(node);
        }
        values.follow(&nodes);
        let ends = model.graph.iter().flat_map(|graph| &graph.output);
        let ends = ends.map(|info| &*info.name);
        let of_functions = model.functions.iter().flat_map(|one| &one.output);
        values.show(
            &nodes,
            ends.chain(of_functions.map(String::as_str)).collect(),
        );
        values.allow_bounds(&nodes);
        values
    }

    pub fn is_vector(&self, name: &str) -> bool {
        self.vectors.contains(name)
    }

    pub fn is_of(&self, name: &str, dtype: i32) -> bool {
        self.types.get(name).is_some_and(|all| all.contains(&dtype))
    }

    /// Whether the node takes or gives a constant beyond 32 bits.
    pub fn has_wide(&self, node: &Node) -> bool {
        names(node).any(|name| self.wide.contains(name))
    }

    /// Whether the node computes 64-bit integers that may need more than 32, and show in the results.
    pub fn may_be_wide(&self, node: &Node) -> bool {
        let grows = match &*node.op_type {
            "Cast" | "CastLike" => !node.input.first().is_some_and(|name| self.is_narrow(name)),
            operator => GROWING.contains(&operator),
        };
        let is_wide = |name: &String| {
            let name = &**name;
            self.is_of(name, I64) && self.shown.contains(name) && !self.sizes.contains(name)
        };
        grows && node.output.iter().any(is_wide)
    }

    /// Whether its numbers are integers of 32 bits or fewer, or were looked at before.
    fn is_narrow(&self, name: &str) -> bool {
        let types = self.types.get(name).map(Vec::as_slice).unwrap_or_default();
        !types.is_empty() && types.iter().all(|one| *one == I64 || NARROW.contains(one))
    }

    fn add(&mut self, name: &'a str, dtype: i32) {
        let types = self.types.entry(name).or_default();
        if !types.contains(&dtype) {
            types.push(dtype);
        }
    }

    fn described(&mut self, info: &'a ValueInfo) {
        let Some(tensor) = info
            .r#type
            .as_ref()
            .and_then(|one| one.tensor_type.as_ref())
        else {
            return;
        };
        self.add(&info.name, tensor.elem_type);
        if tensor
            .shape
            .as_ref()
            .is_some_and(|shape| shape.dim.len() == 1)
        {
            self.vectors.insert(&info.name);
        }
    }

    fn constant(&mut self, name: &'a str, weights: &Weights) {
        self.add(name, weights.data_type);
        if weights.dims.len() == 1 {
            self.vectors.insert(name);
        }
        match weights.is_wide() {
            true => self.wide.insert(name),
            false => self.sizes.insert(name),
        };
    }

    /// The result of a node that has it as an attribute.
    fn constants_of(&mut self, node: &'a Node) {
        let Some(name) = node.output.first().map(String::as_str) else {
            return;
        };
        for Attribute {
            name: kind,
            t,
            i,
            ints,
            ..
        } in &node.attribute
        {
            match (&*node.op_type, &**kind, t) {
                ("Constant", "value", Some(weights)) => self.constant(name, weights),
                ("Constant", "value_int", _) => self.constant(name, &Weights::of(&[*i], false)),
                ("Constant", "value_ints", _) => self.constant(name, &Weights::of(ints, true)),
                ("Constant", "value_floats", _) => {
                    self.add(name, F32);
                    self.vectors.insert(name);
                }
                ("ConstantOfShape", "value", Some(weights)) => {
                    self.add(name, weights.data_type);
                    if weights.is_wide() {
                        self.wide.insert(name);
                    }
                }
                _ => {}
            }
        }
    }

    /// Types and sizes of results, by those of what they are computed from.
    fn follow(&mut self, nodes: &[&'a Node]) {
        // Nodes come after those that they need; but what is in branches comes last.
        const PASSES: usize = 8;
        for _ in 0..PASSES {
            let known = self.types.len() + self.sizes.len();
            for node in nodes {
                let given = node.input.iter().filter(|name| !name.is_empty());
                let mut of_sizes = !node.input.is_empty() && node.graphs().next().is_none();
                of_sizes &= given.clone().all(|name| self.sizes.contains(&**name));
                for (place, name) in node.output.iter().enumerate() {
                    self.types_of(node, place)
                        .into_iter()
                        .for_each(|one| self.add(name, one));
                    if of_sizes || COUNTS.contains(&(&*node.op_type, place)) {
                        self.sizes.insert(name);
                    }
                }
            }
            if self.types.len() + self.sizes.len() == known {
                break;
            }
        }
    }

    fn types_of(&self, node: &Node, place: usize) -> Vec<i32> {
        let like = |place: usize| {
            let name = node.input.get(place).map(String::as_str);
            name.and_then(|name| self.types.get(name))
                .cloned()
                .unwrap_or_default()
        };
        let number = |name: &str| {
            node.attribute
                .iter()
                .find(|one| one.name == name)
                .map(|one| one.i)
        };
        let number = number("to")
            .or_else(|| number("dtype"))
            .and_then(|one| i32::try_from(one).ok());
        match (&*node.op_type, number) {
            ("Cast" | "BitCast" | "EyeLike" | "Multinomial", Some(number)) => vec![number],
            ("CastLike" | "Where", _) => like(1),
            ("OneHot", _) => like(2),
            ("ConstantOfShape", _) if node.attribute.is_empty() => vec![F32],
            ("Constant" | "ConstantOfShape", _) => Vec::new(),
            ("If" | "Loop" | "Scan", _) => self.types_of_bodies(node, place),
            (operator, _) if TESTS.contains(&operator) => vec![BOOL],
            (operator, _) if COUNTS.contains(&(operator, place)) => vec![I64],
            _ => like(0),
        }
    }

    /// The results of a node with bodies are the last that those have: a loop's begin with its condition.
    fn types_of_bodies(&self, node: &Node, place: usize) -> Vec<i32> {
        let of_body = |graph: &Graph| {
            let skipped = graph.output.len().checked_sub(node.output.len())?;
            self.types
                .get(&*graph.output.get(skipped + place)?.name)
                .cloned()
        };
        node.graphs().filter_map(of_body).flatten().collect()
    }

    /// Follows results back to what they are computed from.
    fn show(&mut self, nodes: &[&'a Node], mut ends: Vec<&'a str>) {
        let mut makers: HashMap<&str, Vec<&'a Node>> = HashMap::new();
        for node in nodes {
            for name in &node.output {
                makers.entry(name).or_default().push(node);
            }
        }
        while let Some(name) = ends.pop() {
            if !self.shown.insert(name) {
                continue;
            }
            for node in makers.get(name).into_iter().flatten() {
                let given = node.input.iter().enumerate();
                let given = given.filter(|(place, _)| !is_size(node, *place));
                ends.extend(given.map(|(_, name)| &**name));
                let bodies = node.graphs().flat_map(|graph| &graph.output);
                ends.extend(bodies.map(|info| &*info.name));
            }
        }
    }

    /// A bound beyond 32 bits is that of a slice to the end.
    fn allow_bounds(&mut self, nodes: &[&Node]) {
        let mut used: HashMap<&str, bool> = HashMap::new();
        for node in nodes {
            for (place, name) in node.input.iter().enumerate() {
                let is_bound = node.op_type == "Slice" && BOUNDS.contains(&place);
                *used.entry(name).or_insert(true) &= is_bound;
            }
        }
        let shown = &self.shown;
        self.wide
            .retain(|name| shown.contains(name) || used.get(name) != Some(&true));
    }
}

fn is_size(node: &Node, place: usize) -> bool {
    let operator = &*node.op_type;
    let known = SIZES.iter().find(|(name, _)| *name == operator);
    known.is_some_and(|(_, places)| places.contains(&place))
        || place == 1 && AXES.contains(&operator)
}

/// What a node takes and gives.
pub fn names(node: &Node) -> impl Iterator<Item = &str> {
    node.input.iter().chain(&node.output).map(String::as_str)
}
