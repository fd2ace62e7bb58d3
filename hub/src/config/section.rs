//! From one table per section: its struct, its defaults, its reader and its reference.

use super::hints;
use super::report::{Report, join};
use super::value::Value;
use super::yaml::{Kind, Node};

/// One key of a section, as the reference and the hints show it.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub doc: String,
    /// What the file may give.
    pub expected: String,
    /// The default as YAML; empty for none.
    pub default: String,
}

/// A section with all keys that it knows.
#[derive(Debug)]
pub struct SectionKeys {
    pub name: &'static str,
    pub doc: String,
    pub keys: Vec<Key>,
}

pub(super) trait Section {
    /// Reads the value of `key` into the section; `false` where the section has no such key.
    fn read_key(&mut self, key: &str, value: &Node, path: &str, report: &mut Report) -> bool;
}

/// Reads all keys of a section; `unknown` says what a name that no key has may mean.
pub(super) fn read(
    section: &mut impl Section,
    name: &str,
    node: &Node,
    report: &mut Report,
    unknown: impl Fn(&str) -> String,
) {
    let none = |_: &str, _: &Node, _: &str, _: &mut Report| false;
    read_or(section, name, node, report, none, unknown);
}

/// The same, where `inherited` takes the keys that the section does not have itself.
pub(super) fn read_or(
    section: &mut impl Section,
    name: &str,
    node: &Node,
    report: &mut Report,
    mut inherited: impl FnMut(&str, &Node, &str, &mut Report) -> bool,
    unknown: impl Fn(&str) -> String,
) {
    match node.kind {
        // A section whose keys are all commented out.
        Kind::Null => {}
        Kind::Map(_) => {
            for (key, at, value) in report.entries(node, name) {
                let path = join(name, key);
                let known = section.read_key(key, value, &path, report)
                    || inherited(key, value, &path, report);
                if known {
                    continue;
                }
                match hints::without_effect(name, key) {
                    Some(why) => report.warn(Some(at), &path, format!("without effect: {why}")),
                    None => report.wrong(at, &path, unknown(key)),
                }
            }
        }
        _ => report.expected("keys, each with its value", node, name),
    }
}

/// Reads one value into its place; a mistake leaves the default there.
pub(super) fn read_value<T: Value>(place: &mut T, value: &Node, path: &str, report: &mut Report) {
    if let Some(value) = T::read(value, path, report) {
        *place = value;
    }
}

/// The lines of a doc comment as one paragraph.
pub(super) fn paragraph(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $( $(#[doc = $key_doc:literal])+ $key:ident: $type:ty = $default:expr; )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $key_doc])+ pub $key: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $crate::config::section::Section for $name {
            fn read_key(&mut self, key: &str, value: &Node, path: &str, report: &mut Report) -> bool {
                match key {
                    $( stringify!($key) => section::read_value(&mut self.$key, value, path, report), )+
                    _ => return false,
                }
                true
            }
        }

        impl $name {
            pub(super) fn keys() -> SectionKeys {
                let default = Self::default();
                SectionKeys {
                    name: stringify!($name),
                    doc: section::paragraph(&[$($doc),+]),
                    keys: vec![$( Key {
                        name: stringify!($key),
                        doc: section::paragraph(&[$($key_doc),+]),
                        expected: <$type as value::Value>::expected(),
                        default: value::Value::show(&default.$key),
                    } ),+],
                }
            }
        }
    };
}

macro_rules! config {
    ( $(#[doc = $doc:literal])+ { $( $field:ident: $section:ident, )+ } ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Config {
            $( pub $field: $section, )+
            /// What the file has that is passed over, one line each.
            pub warnings: Vec<String>,
        }

        impl Config {
            /// Every section and key that the file may hold.
            pub fn keys() -> Vec<SectionKeys> {
                vec![$( $section::keys() ),+]
            }

            /// Reads a section by its name; `false` where there is none of that name.
            fn read_section(&mut self, name: &str, node: &Node, report: &mut Report) -> bool {
                match name {
                    $( stringify!($section) => {
                        let mut own = std::mem::take(&mut self.$field);
                        let inherited = |key: &str, value: &Node, path: &str, report: &mut Report| {
                            self.read_inherited(name, key, value, path, report)
                        };
                        section::read_or(&mut own, name, node, report, inherited, |key| hints::unknown_key(name, key));
                        self.$field = own;
                    } )+
                    _ => return false,
                }
                true
            }
        }
    };
}

pub(super) use {config, section};
