//! The node tests of ONNX on both engines, and the table of what they computed: `nodes.txt`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carrel_inference::{
    Choice, Data, DataType, Engines, LoadOptions, Model, Named, SERVING_DEFAULT, Tensor,
};
use carrel_skip::package_folder;
use serde::Deserialize;
use tempfile::TempDir;

use crate::site::{library, python};

const ENGINES: [Choice; 2] = [Choice::OnnxRuntime, Choice::Rten];
const NAMES: [&str; 2] = ["onnxruntime", "rten"];

const RANDOM: &str = "the numbers are random, and ONNX does not say which";
const CORNERS: &str =
    "where pictures become smaller by a scale, corners are aligned by the size in whole pixels";

/// What ONNX Runtime answers otherwise, and may.
const LISTED: [(&str, &str); 6] = [
    ("test_training_dropout", RANDOM),
    ("test_training_dropout_default", RANDOM),
    ("test_training_dropout_default_mask", RANDOM),
    ("test_training_dropout_mask", RANDOM),
    (
        "test_resize_downsample_scales_linear_align_corners",
        CORNERS,
    ),
    ("test_resize_downsample_scales_cubic_align_corners", CORNERS),
];

/// A line of what `cases.py` writes.
#[derive(Deserialize)]
struct Case {
    name: String,
    operator: String,
    opset: i64,
    attributes: Vec<String>,
    rtol: f64,
    atol: f64,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

/// A tensor; without data one of a type that is none of ours, or no tensor.
#[derive(Deserialize)]
struct Value {
    name: String,
    dtype: Option<DataType>,
    #[serde(default)]
    shape: Vec<usize>,
    bytes: Option<String>,
    strings: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    Refused,
    Differs,
}

impl Value {
    fn tensor(&self) -> Option<Tensor> {
        let decoded = |text: &String| STANDARD.decode(text).unwrap();
        let tensor = match (self.dtype?, &self.bytes, &self.strings) {
            (dtype, Some(bytes), _) => Tensor::from_bytes(dtype, &*self.shape, &decoded(bytes)),
            (_, _, strings) => {
                let strings = strings.iter().flatten().map(decoded).collect();
                Tensor::new(&*self.shape, Data::String(strings))
            }
        };
        Some(tensor.unwrap())
    }
}

impl Case {
    /// What an engine makes of it.
    fn outcome(&self, folder: &Path, engines: &Engines, choice: Choice) -> (Outcome, String) {
        let file = folder.join(format!("{}.onnx", self.name));
        let options = LoadOptions {
            threads: 1,
            instances: 1,
        };
        let model = match Model::load(&file, engines, choice, &options) {
            Ok(model) => model,
            Err(error) => return (Outcome::Refused, error.to_string()),
        };
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|one| Some((one.name.clone(), one.tensor()?)));
        let Some(inputs) = inputs.collect::<Option<Named>>() else {
            return (
                Outcome::Refused,
                "an input is of a type that is none of ours".into(),
            );
        };
        let outputs = match model.run(SERVING_DEFAULT, inputs, &[]) {
            Ok(outputs) => outputs,
            Err(error) => return (Outcome::Refused, error.to_string()),
        };
        for wanted in &self.outputs {
            let found = outputs.iter().find(|(name, _)| *name == wanted.name);
            let (Some((_, found)), Some(wanted)) = (found, wanted.tensor()) else {
                return (Outcome::Differs, format!("no output {}", wanted.name));
            };
            if let Some(how) = self.difference(found, &wanted) {
                return (Outcome::Differs, how);
            }
        }
        (Outcome::Right, String::new())
    }

    /// How an output differs from the wanted one, by the bounds of the test.
    fn difference(&self, found: &Tensor, wanted: &Tensor) -> Option<String> {
        if (found.dtype(), found.shape()) != (wanted.dtype(), wanted.shape()) {
            return Some(format!(
                "{} {:?}, not {} {:?}",
                found.dtype(),
                found.shape(),
                wanted.dtype(),
                wanted.shape()
            ));
        }
        let (Some(numbers), Some(others)) = (floats(found), floats(wanted)) else {
            return (found != wanted)
                .then(|| format!("{:?}, not {:?}", found.data(), wanted.data()));
        };
        let largest = others
            .iter()
            .map(|one| one.abs())
            .filter(|one| one.is_finite());
        let rounding = largest.fold(0.0, f64::max) * ROUNDINGS * epsilon(found.dtype());
        let near = |(one, other): &(f64, f64)| {
            let bound = (self.atol + self.rtol * other.abs()).max(rounding);
            one == other || one.is_nan() && other.is_nan() || (one - other).abs() <= bound
        };
        let mut pairs = numbers.into_iter().zip(others);
        let (one, other) = pairs.find(|pair| !near(pair))?;
        Some(format!("{one}, not {other}"))
    }
}

/// What sums are rounded by, in the last digits of their largest.
const ROUNDINGS: f64 = 8.0;

const fn epsilon(dtype: DataType) -> f64 {
    match dtype {
        DataType::F16 => 9.8e-4,
        DataType::Bf16 => 7.9e-3,
        DataType::F64 => f64::EPSILON,
        _ => f32::EPSILON as f64,
    }
}

/// The elements of a tensor of floats.
fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    Some(match tensor.data() {
        Data::F16(all) => all.iter().map(|one| one.to_f64()).collect(),
        Data::Bf16(all) => all.iter().map(|one| one.to_f64()).collect(),
        Data::F32(all) => all.iter().map(|one| f64::from(*one)).collect(),
        Data::F64(all) => all.clone(),
        _ => return None,
    })
}

/// What an engine makes of a group of tests.
type Counts = BTreeMap<Outcome, usize>;

/// What is written down: the lines, and the tests that differ.
#[derive(Default)]
struct Table {
    lines: BTreeMap<(String, i64, String), [Counts; 2]>,
    all: [Counts; 2],
    /// Right answers that are not given, since others of the operator are wrong.
    missed: [usize; 2],
    differing: Vec<String>,
}

impl Table {
    fn add(&mut self, case: &Case, folder: &Path, engines: &Engines) {
        let attributes = match case.attributes.join(" ") {
            none if none.is_empty() => "-".to_owned(),
            attributes => attributes,
        };
        let key = (case.operator.clone(), case.opset, attributes);
        let all = engines.clone().unchecked();
        for (index, choice) in ENGINES.into_iter().enumerate() {
            let (outcome, how) = case.outcome(folder, &all, choice);
            let line = self.lines.entry(key.clone()).or_default();
            *line[index].entry(outcome).or_default() += 1;
            *self.all[index].entry(outcome).or_default() += 1;
            let (served, said) = match outcome {
                Outcome::Refused => (Outcome::Refused, String::new()),
                _ => case.outcome(folder, engines, choice),
            };
            self.missed[index] +=
                usize::from((outcome, served) == (Outcome::Right, Outcome::Refused));
            if outcome == Outcome::Differs {
                let why = match served {
                    Outcome::Refused => said,
                    _ => reason(choice, &case.name)
                        .map_or_else(|| panic!("{}: {how}", case.name), str::to_owned),
                };
                // `the node .. is .., which .. does so; .. does not`
                let why = why.split_once(", which ").map_or(&*why, |(_, why)| why);
                let why = why.split_once(';').map_or(why, |(why, _)| why);
                let engine = NAMES[index];
                self.differing
                    .push(format!("# {engine} | {} | {why}", case.name));
            }
        }
    }

    fn text(&self, header: &str) -> String {
        let mut out = header.to_owned();
        for (index, name) in NAMES.into_iter().enumerate() {
            let (found, missed) = (counts(&self.all[index]), self.missed[index]);
            let _ = writeln!(
                out,
                "# {name}: {found}; {missed} of the right are refused with others of their operator"
            );
        }
        out.push_str(
            "# operator | since opset, 0: several nodes | attributes | onnxruntime | rten\n",
        );
        for ((operator, opset, attributes), found) in &self.lines {
            let [one, other] = found.each_ref().map(counts);
            let _ = writeln!(out, "{operator} | {opset} | {attributes} | {one} | {other}");
        }
        out.push_str("# Tests that differ, and why that misleads nobody: they are refused, or it is in their nature.\n");
        self.differing
            .iter()
            .for_each(|line| out.extend([line, "\n"]));
        out
    }
}

fn counts(counts: &Counts) -> String {
    let parts = counts
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome:?}").to_lowercase());
    parts.collect::<Vec<_>>().join(", ")
}

/// Why the answer to a test may differ without an error.
fn reason(choice: Choice, test: &str) -> Option<&'static str> {
    let (_, why) = LISTED.into_iter().find(|(name, _)| *name == test)?;
    (choice == Choice::OnnxRuntime).then_some(why)
}

#[test]
fn the_table_is_that_of_these_engines() {
    let (Some(library), Some(python)) = (library(), python()) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let script = package_folder().join("tests/nodes/cases.py");
    let made = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let onnx = String::from_utf8(made.stdout).unwrap();
    let name = library.file_name().unwrap().to_str().unwrap();
    let version = name.trim_start_matches("libonnxruntime.so.").to_owned();
    let engines = Engines::new(Some(library));
    let mut table = Table::default();
    let lines = BufReader::new(std::fs::File::open(folder.path().join("cases.jsonl")).unwrap());
    for line in lines.lines() {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        table.add(&case, folder.path(), &engines);
    }
    let rten = engines.get(Choice::Rten).unwrap().version();
    let header = format!(
        "# What onnxruntime {version} and rten {rten} make of the node tests of onnx {} and of some of our own (tests/nodes).\n\
        # Right is within the bounds of the test, or within rounding of the largest number. UPDATE=1 writes it anew.\n",
        onnx.trim()
    );
    let (file, text) = (package_folder().join("nodes.txt"), table.text(&header));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap();
    let (mut now, mut before) = (text.lines(), known.lines());
    let changed = now
        .by_ref()
        .find(|line| !before.any(|known| known == *line));
    assert!(
        text == known,
        "nodes.txt is of other engines; UPDATE=1 writes it anew: {changed:?}"
    );
}
