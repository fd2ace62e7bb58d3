//! What rten computes otherwise than ONNX says, found beyond the node itself: in branches, constants, and types in between.

use carrel_inference::{Choice, Engines, LoadOptions, Model, SERVING_DEFAULT, Tensor};
use tempfile::TempDir;

use crate::graphs::{Graph, Node, doubles, floats, integers, node, write};
use crate::site::{F32, I64, value};

const F64: i64 = 11;
const BOOL: i32 = 9;

fn load(graph: Graph) -> (TempDir, Result<Model, String>) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("model.onnx");
    write(&file, graph);
    let options = LoadOptions::default();
    let model = Model::load(&file, &Engines::default(), Choice::Rten, &options);
    (folder, model.map_err(|error| error.to_string()))
}

/// Of `x`, any number of rows of two, to `y`.
fn graph(dtype: i32, node: Vec<Node>) -> Graph {
    Graph {
        node,
        name: "network".into(),
        input: vec![value("x", dtype, &[-1, 2])],
        output: vec![value("y", dtype, &[-1, 2])],
        ..Graph::default()
    }
}

/// Whether it is refused for this node, and why.
fn refused(graph: Graph, node: &str, why: &str) {
    let (_folder, loaded) = load(graph);
    let said = loaded.err().unwrap_or_else(|| panic!("{node} was loaded"));
    assert!(
        said.contains(&format!("the node {node:?}"))
            && said.contains(&format!("computes wrongly: {why}")),
        "{said}"
    );
}

/// `y` is the result of one of two branches, each of which has this node `z`.
fn branches(then: Graph, other: Graph) -> Graph {
    let with_end = |mut graph: Graph| {
        graph.name = "branch".into();
        graph.output = vec![value("z", F32, &[-1])];
        graph
    };
    let chosen = node("If", &["condition"], "y");
    let chosen = chosen
        .graph("then_branch", with_end(then))
        .graph("else_branch", with_end(other));
    let mut whole = graph(F32, vec![chosen]);
    whole.input.push(value("condition", BOOL, &[]));
    whole
}

#[test]
fn a_product_with_a_vector_that_only_a_branch_or_a_constant_shows() {
    const WHY: &str = "of a vector it keeps a dimension";
    let vector = || floats("v", &[2], &[1.0, 2.0]);
    let product = || node("MatMul", &["x", "v"], "z");
    let plain = || Graph {
        node: vec![node("Identity", &["x"], "z")],
        ..Graph::default()
    };
    let of_branch = Graph {
        node: vec![product()],
        initializer: vec![vector()],
        ..Graph::default()
    };
    refused(branches(of_branch.clone(), plain()), "z", WHY);
    refused(branches(plain(), of_branch), "z", WHY);
    let constant = node("Constant", &[], "v").tensor("value", vector());
    let of_constant = Graph {
        node: vec![constant.clone(), product()],
        ..Graph::default()
    };
    refused(branches(plain(), of_constant), "z", WHY);
    // Outside, and used in a branch.
    let inside = Graph {
        node: vec![product()],
        ..Graph::default()
    };
    let mut whole = branches(inside, plain());
    whole.node.insert(0, constant.clone());
    refused(whole, "z", WHY);
    let product = node("MatMul", &["x", "v"], "y");
    refused(graph(F32, vec![constant, product.clone()]), "y", WHY);
    let reshaped = vec![
        node("Reshape", &["x", "shape"], "v"),
        node("MatMul", &["x", "v"], "y"),
    ];
    let whole = Graph {
        initializer: vec![integers("shape", &[1], &[-1])],
        value_info: vec![value("v", F32, &[2])],
        ..graph(F32, reshaped)
    };
    refused(whole, "y", WHY);
    // A matrix is none.
    let matrix = Graph {
        initializer: vec![floats("v", &[2, 2], &[1.0; 4])],
        ..graph(F32, vec![product])
    };
    load(matrix).1.unwrap();
}

#[test]
fn numbers_of_64_bits_in_between() {
    const WHY: &str = "of f64 it has 32 bits";
    let back = |name: &str| node("Cast", &[name], "y").number("to", F32.into());
    let there = node("Cast", &["x"], "wide").number("to", F64);
    refused(graph(F32, vec![there, back("wide")]), "wide", WHY);
    let like = Graph {
        initializer: vec![doubles("one", &[1], &[1.0])],
        ..graph(
            F32,
            vec![node("CastLike", &["x", "one"], "wide"), back("wide")],
        )
    };
    refused(like, "wide", WHY);
    let one = || doubles("value", &[1], &[0.1]);
    let constant = node("Constant", &[], "wide").tensor("value", one());
    let sum = node("Add", &["x", "small"], "y");
    let small = node("Cast", &["wide"], "small").number("to", F32.into());
    refused(
        graph(F32, vec![constant, small.clone(), sum.clone()]),
        "wide",
        WHY,
    );
    let filled = node("ConstantOfShape", &["shape"], "wide").tensor("value", one());
    let filled = Graph {
        initializer: vec![integers("shape", &[1], &[2])],
        ..graph(F32, vec![filled, small, sum])
    };
    refused(filled, "wide", WHY);
}

#[test]
fn integers_that_may_need_more_than_32_bits() {
    const WHY: &str = "it has 32 bits for the 64-bit integers of the results";
    let cast = node("Cast", &["x"], "whole").number("to", I64.into());
    let back = node("Cast", &["whole"], "y").number("to", F32.into());
    refused(graph(F32, vec![cast, back]), "whole", WHY);
    refused(graph(I64, vec![node("Mul", &["x", "x"], "y")]), "y", WHY);
    const CONSTANT: &str = "a constant integer is beyond its 32 bits";
    let large = |numbers: &[i64]| integers("large", &[2], numbers);
    for numbers in [[1, 1 << 40], [i64::MIN, 1]] {
        let sum = Graph {
            initializer: vec![large(&numbers)],
            ..graph(I64, vec![node("Max", &["x", "large"], "y")])
        };
        refused(sum, "y", CONSTANT);
        let constant = node("Constant", &[], "large").tensor("value", large(&numbers));
        let sum = node("Max", &["x", "large"], "y");
        refused(graph(I64, vec![constant, sum]), "large", CONSTANT);
    }
    let constant = node("Constant", &[], "large").number("value_int", 1 << 31);
    refused(
        graph(I64, vec![constant, node("Max", &["x", "large"], "y")]),
        "large",
        CONSTANT,
    );
    let filled = node("ConstantOfShape", &["shape"], "large");
    let filled = filled.tensor("value", integers("value", &[1], &[1 << 40]));
    let filled = Graph {
        initializer: vec![integers("shape", &[1], &[2])],
        ..graph(I64, vec![filled, node("Max", &["x", "large"], "y")])
    };
    refused(filled, "large", CONSTANT);
}

#[test]
fn shapes_and_indices_are_computed() {
    // The rows from the second on, doubled by their count, in one row.
    let nodes = vec![
        node("Slice", &["x", "one", "end", "axis"], "rest"),
        node("Shape", &["rest"], "shape"),
        node("ReduceProd", &["shape"], "count"),
        node("Concat", &["one", "count"], "row").number("axis", 0),
        node("Reshape", &["rest", "row"], "flat"),
        node("Cast", &["count"], "factor").number("to", F32.into()),
        node("Mul", &["flat", "factor"], "y"),
    ];
    let whole = Graph {
        initializer: vec![
            integers("one", &[1], &[1]),
            integers("end", &[1], &[i64::MAX]),
            integers("axis", &[1], &[0]),
        ],
        ..graph(F32, nodes)
    };
    let (_folder, model) = load(whole);
    let x = Tensor::new([3, 2], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let found = model
        .unwrap()
        .run(SERVING_DEFAULT, vec![("x".into(), x)], &[])
        .unwrap();
    let wanted = Tensor::new([1, 4], vec![12.0f32, 16.0, 20.0, 24.0]).unwrap();
    assert_eq!(found[0].1, wanted);
}
