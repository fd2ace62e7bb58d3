//! `Spawner.options_form`: the fields of the spawn form, as data. (JupyterHub takes HTML here.)

use super::hints;
use super::report::{Report, join};
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Value};
use super::yaml::{Kind, Node};

/// Names that a form of the Hub has already.
const RESERVED: [&str; 3] = ["_xsrf", "next", "display_name"];

section! {
    /// One field of the spawn form; what the user gives is in `user_options` under its name.
    OptionsField {
        /// Name in `user_options`; lower-case letters, digits, `-` and `_`.
        name: String = String::new();
        /// What the form calls the field; the name where there is none.
        label: String = String::new();
        /// A sentence below the field.
        help: String = String::new();
        /// The value that the form begins with; the first choice where there are choices.
        default: String = String::new();
        /// The values to choose from; without them, the field takes any text.
        choices: Vec<String> = Vec::new();
    }
}

impl OptionsField {
    /// What the form calls the field.
    pub fn title(&self) -> &str {
        if self.label.is_empty() {
            &self.name
        } else {
            &self.label
        }
    }
}

/// The form: every name once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptionsForm(pub Vec<OptionsField>);

impl std::ops::Deref for OptionsForm {
    type Target = [OptionsField];
    fn deref(&self) -> &[OptionsField] {
        &self.0
    }
}

impl OptionsForm {
    /// The keys of one field, for the reference.
    pub fn keys() -> SectionKeys {
        OptionsField::keys()
    }
}

impl Value for OptionsForm {
    fn expected() -> String {
        "a list of fields".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            let message = format!(
                "expected {} (HTML as in JupyterHub is not taken), found {}",
                Self::expected(),
                node.kind()
            );
            report.wrong(node.at, path, message);
            return None;
        };
        let mut fields: Vec<OptionsField> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let field = read_field(item, &path, report);
            if !field.name.is_empty() && fields.iter().any(|other| other.name == field.name) {
                report.wrong(
                    item.at,
                    &join(&path, "name"),
                    format!("another field is named {:?} too", field.name),
                );
            }
            fields.push(field);
        }
        Some(Self(fields))
    }

    fn show(&self) -> String {
        "[]".to_owned()
    }
}

fn read_field(node: &Node, path: &str, report: &mut Report) -> OptionsField {
    let mut field = OptionsField::default();
    let names: Vec<_> = OptionsField::keys()
        .keys
        .iter()
        .map(|key| key.name)
        .collect();
    if matches!(node.kind, Kind::Null) {
        report.expected("keys, each with its value", node, path);
        return field;
    }
    section::read(&mut field, path, node, report, |key| {
        hints::not_among(key, "a field", &names)
    });
    if matches!(node.kind, Kind::Map(_)) {
        check_field(&mut field, node, path, report);
    }
    field
}

fn check_field(field: &mut OptionsField, node: &Node, path: &str, report: &mut Report) {
    let at = |key: &str, report: &Report| report.given(&join(path, key));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    match at("name", report) {
        None => report.wrong(node.at, path, "a field needs a `name`"),
        Some(at) if RESERVED.contains(&field.name.as_str()) => {
            report.wrong(
                at,
                &join(path, "name"),
                format!("the Hub itself has a field {:?}", field.name),
            );
        }
        Some(at) if field.name.is_empty() || !field.name.chars().all(plain) => {
            report.wrong(
                at,
                &join(path, "name"),
                "expected lower-case letters, digits, `-` and `_`",
            );
        }
        Some(_) => {}
    }
    if let Some(at) = at("choices", report).filter(|_| field.choices.is_empty()) {
        report.wrong(
            at,
            &join(path, "choices"),
            "expected at least one choice; without the key, the field takes any text",
        );
    }
    let Some(first) = field.choices.first() else {
        return;
    };
    match at("default", report) {
        None => field.default = first.clone(),
        Some(at) if !field.choices.contains(&field.default) => {
            report.wrong(
                at,
                &join(path, "default"),
                format!("{:?} is not one of the choices", field.default),
            );
        }
        Some(_) => {}
    }
}
