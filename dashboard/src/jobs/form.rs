//! The form that makes a job: its fields, the object that they say, and which field a mistake is about.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use super::kind::{JobKind, Served as _};
use super::mistake::Mistake;
use carrel_jobs::kind::Kind;

/// What a GPU is called where nothing else is said.
const GPU: &str = "nvidia.com/gpu";

/// What stands in the form.
#[derive(Clone, Debug)]
pub struct Form {
    pub kind: JobKind,
    pub name: String,
    pub namespace: String,
    /// Of a TrainJob: what it runs on.
    pub runtime: String,
    pub replicas: Vec<Replica>,
}

/// The fields of one type of replica, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replica {
    /// As the job's spec has it.
    pub role: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    pub count: String,
    pub image: String,
    pub command: String,
    pub args: String,
    pub gpus: String,
    /// `NAME=value`, one a line.
    pub env: String,
}

impl Replica {
    /// Whether anything asks for such replicas.
    pub fn is_wanted(&self) -> bool {
        let texts = [
            &self.image,
            &self.command,
            &self.args,
            &self.gpus,
            &self.env,
        ];
        let count = self.count.trim();
        count != "0" && (!count.is_empty() || texts.iter().any(|text| !text.trim().is_empty()))
    }

    /// The name of one of its inputs.
    pub fn input(&self, field: &str) -> String {
        format!("{}.{field}", self.role)
    }
}

/// What is wrong, by the name of the input; without a name what is about none.
pub type Errors = BTreeMap<String, String>;

impl Form {
    /// As it is before anybody has written into it.
    pub fn new(kind: JobKind) -> Self {
        let roles = roles(kind).into_iter();
        let replicas = roles.map(|(role, purpose, count)| Replica {
            role,
            purpose,
            count: count.to_owned(),
            ..Replica::default()
        });
        Self {
            kind,
            name: String::new(),
            namespace: String::new(),
            runtime: "torch-distributed".to_owned(),
            replicas: replicas.collect(),
        }
    }

    /// As it was sent.
    pub fn read(kind: JobKind, get: impl Fn(&str) -> String) -> Self {
        let mut form = Self::new(kind);
        form.name = get("name").trim().to_owned();
        form.namespace = get("namespace").trim().to_owned();
        form.runtime = get("runtime").trim().to_owned();
        for replica in &mut form.replicas {
            let field = |field: &str| get(&replica.input(field));
            *replica = Replica {
                count: field("replicas"),
                image: field("image"),
                command: field("command"),
                args: field("args"),
                gpus: field("gpus"),
                env: field("env"),
                ..replica.clone()
            };
        }
        form
    }

    /// # Errors
    /// With the fields that do not read.
    pub fn object(&self) -> Result<DynamicObject, Errors> {
        let mut errors = Errors::new();
        if self.name.is_empty() {
            errors.insert("name".to_owned(), "A job needs a name.".to_owned());
        }
        if self.namespace.is_empty() {
            errors.insert(
                "namespace".to_owned(),
                "A job needs a namespace.".to_owned(),
            );
        }
        let wanted: Vec<_> = self.replicas.iter().filter(|one| one.is_wanted()).collect();
        if wanted.is_empty() {
            errors.insert(
                String::new(),
                "A job needs at least one replica.".to_owned(),
            );
        }
        let read: Vec<_> = wanted
            .into_iter()
            .map(|replica| Read::of(replica, &mut errors))
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let spec = match self.kind {
            JobKind::TrainJob => self.of_trainer(&read),
            kind => of_kubeflow(kind, &read),
        };
        let object = DynamicObject::new(&self.name, &self.kind.resource());
        Ok(object.within(&self.namespace).data(json!({ "spec": spec })))
    }

    fn of_trainer(&self, read: &[Read]) -> Value {
        let mut trainer = Map::new();
        for one in read {
            trainer.insert("numNodes".to_owned(), json!(one.count));
            let mut container = one.container("node");
            if let Some(fields) = container.as_object_mut() {
                fields.remove("name");
                if let Some(resources) = fields.remove("resources") {
                    fields.insert("resourcesPerNode".to_owned(), resources);
                }
                if one.image.is_empty() {
                    fields.remove("image");
                }
                trainer.append(fields);
            }
        }
        json!({ "runtimeRef": { "name": self.runtime }, "trainer": trainer })
    }

    /// Puts each mistake beside the field that it is about.
    pub fn place(&self, mistakes: &[Mistake]) -> Errors {
        let mut errors = Errors::new();
        for mistake in mistakes {
            let input = self.input_of(mistake);
            let message = match (&input, mistake.path.as_str()) {
                (Some(_), _) | (None, "") => mistake.message.clone(),
                (None, path) => format!("{path}: {}", mistake.message),
            };
            let said = errors.entry(input.unwrap_or_default()).or_default();
            if !said.contains(&message) {
                if !said.is_empty() {
                    said.push_str("; ");
                }
                said.push_str(&message);
            }
        }
        errors
    }

    fn input_of(&self, mistake: &Mistake) -> Option<String> {
        for (path, input) in [
            ("metadata.name", "name"),
            ("metadata.namespace", "namespace"),
            ("spec.runtimeRef", "runtime"),
        ] {
            if mistake.is_about(path) {
                return Some(input.to_owned());
            }
        }
        self.replicas.iter().find_map(|replica| {
            let (top, container) = match self.kind {
                kind @ (JobKind::TfJob | JobKind::PyTorchJob) => {
                    let top = format!("spec.{}.{}", kind.replicas_field(), replica.role);
                    let container = format!("{top}.template.spec.containers[0]");
                    (top, container)
                }
                JobKind::TrainJob => ("spec.trainer".to_owned(), "spec.trainer".to_owned()),
            };
            let at = |parent: &str, field: &str| mistake.is_about(&format!("{parent}.{field}"));
            let field = match () {
                () if at(&top, "replicas") || at(&top, "numNodes") => "replicas",
                () if at(&container, "command") => "command",
                () if at(&container, "args") => "args",
                () if at(&container, "env") => "env",
                () if at(&container, "resources") || at(&container, "resourcesPerNode") => "gpus",
                () if at(&container, "image") || at(&top, "template") => "image",
                () if mistake.is_about(&top) => "replicas",
                () => return None,
            };
            Some(replica.input(field))
        })
    }
}

/// The roles of a kind, what they are for, and how many there are at first.
fn roles(kind: JobKind) -> Vec<(&'static str, &'static str, &'static str)> {
    match kind {
        JobKind::TfJob => vec![
            ("Worker", "computes", "1"),
            ("PS", "holds the parameters", ""),
            ("Chief", "leads, and decides when the job is done", ""),
            ("Evaluator", "measures along the way", ""),
        ],
        JobKind::PyTorchJob => vec![
            ("Master", "is rank 0; there is exactly one", "1"),
            ("Worker", "is one of the further ranks", ""),
        ],
        JobKind::TrainJob => vec![(
            "node",
            "trains; its image is the runtime's, unless given",
            "1",
        )],
    }
}

fn of_kubeflow(kind: Kind, read: &[Read]) -> Value {
    let each = read.iter().map(|one| {
        let spec = json!({
            "replicas": one.count,
            "restartPolicy": "OnFailure",
            "template": { "spec": { "containers": [one.container(kind.container())] } },
        });
        (one.role.to_owned(), spec)
    });
    let specs: Map<String, Value> = each.collect();
    json!({ kind.replicas_field(): specs })
}

/// The fields of a replica, read.
struct Read {
    role: &'static str,
    count: i64,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
    gpus: Option<i64>,
    env: Vec<(String, String)>,
}

impl Read {
    fn of(replica: &Replica, errors: &mut Errors) -> Self {
        let mut wrong = |field: &str, message: String| {
            errors.insert(replica.input(field), message);
        };
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let count = match replica.count.trim() {
            "" => Some(1),
            text => number(text),
        };
        if count.is_none() {
            wrong(
                "replicas",
                format!("{:?} is no whole number.", replica.count),
            );
        }
        let gpus = match replica.gpus.trim() {
            "" | "0" => Ok(None),
            text => number(text).map(Some).ok_or(()),
        };
        if gpus.is_err() {
            wrong("gpus", format!("{:?} is no whole number.", replica.gpus));
        }
        let mut words = |field: &str, text: &str| match shell_words::split(text) {
            Ok(words) => words,
            Err(_) => {
                wrong(field, "A quotation mark has no partner.".to_owned());
                Vec::new()
            }
        };
        let command = words("command", &replica.command);
        let args = words("args", &replica.args);
        let mut env = Vec::new();
        for line in replica.env.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => {
                    env.push((
                        name.trim().to_owned(),
                        value.trim_end_matches('\r').to_owned(),
                    ));
                }
                _ => wrong("env", format!("{:?} is not NAME=value.", line.trim())),
            }
        }
        Self {
            role: replica.role,
            count: count.unwrap_or_default(),
            image: replica.image.trim().to_owned(),
            command,
            args,
            gpus: gpus.unwrap_or_default(),
            env,
        }
    }

    fn container(&self, name: &str) -> Value {
        let mut container = json!({ "name": name, "image": self.image });
        if !self.command.is_empty() {
            container["command"] = json!(self.command);
        }
        if !self.args.is_empty() {
            container["args"] = json!(self.args);
        }
        if let Some(gpus) = self.gpus {
            container["resources"] = json!({ "limits": { GPU: gpus } });
        }
        let variable = |(name, value): &(String, String)| json!({ "name": name, "value": value });
        if !self.env.is_empty() {
            container["env"] = self.env.iter().map(variable).collect();
        }
        container
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(fields: &[(&str, &str)]) -> Form {
        let find = |name: &str| {
            let found = fields.iter().find(|(key, _)| *key == name);
            found
                .map(|(_, value)| (*value).to_owned())
                .unwrap_or_default()
        };
        Form::read(JobKind::TfJob, find)
    }

    #[test]
    fn a_form_says_an_object() {
        let form = filled(&[
            ("name", " mnist "),
            ("namespace", "lab"),
            ("Worker.replicas", "2"),
            ("Worker.image", "image:1"),
            ("Worker.command", "python -c 'print(1)'"),
            ("Worker.gpus", "1"),
            ("Worker.env", "A=1\r\n\nB=x=y"),
            ("PS.replicas", "0"),
        ]);
        let object = form.object().unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("mnist"));
        let specs = &object.data["spec"]["tfReplicaSpecs"];
        assert_eq!(specs.as_object().unwrap().len(), 1);
        let container = &specs["Worker"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["python", "-c", "print(1)"]));
        assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], 1);
        assert_eq!(container["env"][1], json!({ "name": "B", "value": "x=y" }));
        assert!(container.get("args").is_none());
    }

    #[test]
    fn fields_that_do_not_read_are_named() {
        let form = filled(&[
            ("Worker.replicas", "two"),
            ("Worker.args", "'"),
            ("Worker.env", "novalue"),
            ("Worker.gpus", "x"),
        ]);
        let errors = form.object().unwrap_err();
        let names: Vec<_> = errors.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "Worker.args",
                "Worker.env",
                "Worker.gpus",
                "Worker.replicas",
                "name",
                "namespace"
            ]
        );
        assert!(
            filled(&[("name", "a"), ("namespace", "b")])
                .object()
                .unwrap_err()
                .contains_key("")
        );
    }

    #[test]
    fn mistakes_stand_beside_their_fields() {
        let form = Form::new(JobKind::TfJob);
        let errors = form.place(&[
            Mistake::at("spec.tfReplicaSpecs.Worker.replicas", "too many"),
            Mistake::at("spec.tfReplicaSpecs.PS.template", "no image"),
            Mistake::at(
                "spec.tfReplicaSpecs.Worker.template.spec.containers[0].args[1]",
                "odd",
            ),
            Mistake::at("metadata.name", "no name"),
            Mistake::at("spec.other", "unknown"),
        ]);
        let found: Vec<_> = errors
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("", "spec.other: unknown"),
                ("PS.image", "no image"),
                ("Worker.args", "odd"),
                ("Worker.replicas", "too many"),
                ("name", "no name"),
            ]
        );
    }

    #[test]
    fn a_trainjob_has_a_shape_of_its_own() {
        let find = |name: &str| match name {
            "name" | "namespace" => "x".to_owned(),
            "runtime" => "torch-distributed".to_owned(),
            "node.replicas" => "3".to_owned(),
            "node.gpus" => "2".to_owned(),
            _ => String::new(),
        };
        let form = Form::read(JobKind::TrainJob, find);
        assert_eq!(
            form.object().unwrap().data["spec"],
            json!({ "runtimeRef": { "name": "torch-distributed" }, "trainer": {
                "numNodes": 3, "resourcesPerNode": { "limits": { "nvidia.com/gpu": 2 } },
            } })
        );
    }
}
