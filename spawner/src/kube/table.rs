//! From one table of options: their struct, defaults, reader and reference.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::mistake::{self, Mistake};
use super::values::Expected;

/// One option, as the reference shows it.
#[derive(Debug)]
pub struct OptionKey {
    pub name: &'static str,
    pub doc: String,
    /// What may be given: completes "expected ...".
    pub expected: String,
    pub default: Value,
}

/// Reads one value into its place; mistakes leave the place as it is, warnings do not.
pub(super) fn read<T: Serialize + DeserializeOwned + Expected>(
    place: &mut T,
    json: &str,
) -> Vec<Mistake> {
    match mistake::read(json) {
        Ok((value, mut unknown)) => {
            for mistake in &mut unknown {
                if T::passes_over(&mistake.path) {
                    *mistake = Mistake {
                        path: mistake.path.clone(),
                        ..Mistake::warning("unknown key, which is passed over")
                    };
                }
            }
            if unknown.iter().all(|mistake| mistake.warning) {
                *place = value;
            }
            unknown
        }
        Err(mistakes) => mistakes,
    }
}

pub(super) fn paragraph(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

macro_rules! options {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $( $(#[doc = $key_doc:literal])+ $key:ident: $type:ty = $default:expr; )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $( $(#[doc = $key_doc])+ pub $key: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $name {
            /// Sets one option to the value that `json` holds, and says what is wrong with it; `None` where there is
            /// no such option. (A text, because mappings keep their order in it.)
            pub fn set(&mut self, key: &str, json: &str) -> Option<Vec<Mistake>> {
                Some(match key {
                    $( stringify!($key) => table::read(&mut self.$key, json), )+
                    _ => return None,
                })
            }

            /// The option's value, as [`Self::set`] takes it.
            fn get(&self, key: &str) -> Option<serde_json::Value> {
                match key {
                    $( stringify!($key) => serde_json::to_value(&self.$key).ok(), )+
                    _ => None,
                }
            }

            /// Names of all options.
            pub const NAMES: &[&str] = &[$( stringify!($key) ),+];

            /// What all options are about.
            pub fn doc() -> String {
                table::paragraph(&[$($doc),+])
            }

            /// Every option there is.
            pub fn keys() -> Vec<OptionKey> {
                let default = Self::default();
                vec![$( OptionKey {
                    name: stringify!($key),
                    doc: table::paragraph(&[$($key_doc),+]),
                    expected: <$type as Expected>::expected(),
                    default: serde_json::to_value(&default.$key).unwrap_or_default(),
                } ),+]
            }
        }
    };
}

pub(super) use options;
