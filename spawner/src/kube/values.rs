//! Types of options' values: what the configuration may write, and what it means to Kubernetes.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::EnvVarSource;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::{self, DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What may be given for an option: completes "expected ...".
pub(super) trait Expected {
    fn expected() -> String;

    /// Whether an unknown key at this place is passed over, with a warning.
    fn passes_over(_: &[String]) -> bool {
        false
    }
}

macro_rules! expected {
    ($( $type:ty: $words:literal; )+) => {
        $( impl $crate::kube::values::Expected for $type {
            fn expected() -> String {
                $words.to_owned()
            }
        } )+
    };
}
pub(super) use expected;

expected! {
    String: "text";
    bool: "true or false";
    u16: "a whole number from 0 to 65535";
    u32: "a whole number";
    i64: "a whole number";
    IpAddr: "an IP address";
    Quantity: "an amount, such as 10Gi";
    Cpu: "a number of cores, such as 0.5 or 500m";
    Memory: "a number of bytes, such as 512M or 2Gi";
    Seconds: "a number of seconds";
    Words: "a program, or a list: the program and its arguments";
    EnvValue: "text, or a mapping with `value` or `valueFrom`";
    PullPolicy: "`Always`, `IfNotPresent` or `Never`";
}

impl<T: Expected> Expected for Option<T> {
    fn expected() -> String {
        T::expected()
    }
}

impl<T: Expected> Expected for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn passes_over(path: &[String]) -> bool {
        path.split_first()
            .is_some_and(|(_, within)| T::passes_over(within))
    }
}

impl<T: Expected> Expected for BTreeMap<String, T> {
    fn expected() -> String {
        format!("a mapping, each value {}", T::expected())
    }
}

/// Cores, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu(pub u64);

impl Cpu {
    /// `0.5`, `2` or `500m`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = match text.strip_suffix('m') {
            Some(thousandths) => (thousandths, 1.0),
            None => (text, 1000.0),
        };
        let number: f64 = number.trim().parse().ok()?;
        (number > 0.0 && number <= 1e6).then(|| Self((number * unit).round() as u64))
    }

    pub fn quantity(self) -> Quantity {
        Quantity(self.to_string())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1000 {
            0 => write!(f, "{}", self.0 / 1000),
            _ => write!(f, "{}m", self.0),
        }
    }
}

/// Bytes. JupyterHub's units K, M, G and T are powers of 1024, as Kubernetes' Ki, Mi, Gi and Ti.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(pub u64);

impl Memory {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];

    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('i');
        let end = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let power = Self::UNITS
            .iter()
            .position(|unit| *unit == &text[end.len()..])?;
        let number: f64 = end.trim().parse().ok()?;
        let bytes = number * 1024_f64.powi(i32::try_from(power).ok()?);
        (1.0..1e18).contains(&bytes).then_some(Self(bytes as u64))
    }

    pub fn quantity(self) -> Quantity {
        Quantity(self.to_string())
    }
}

/// In the largest unit that keeps it whole.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = (self.0, 0);
        while left.0 % 1024 == 0 && left.1 + 1 < Self::UNITS.len() && left.0 > 0 {
            left = (left.0 / 1024, left.1 + 1);
        }
        let unit = Self::UNITS[left.1];
        let binary = if unit.is_empty() { "" } else { "i" };
        write!(f, "{}{unit}{binary}", left.0)
    }
}

/// A type that stands as one text or number.
macro_rules! text_or_number {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                let parsed = match &value {
                    Value::String(text) => Self::parse(text),
                    Value::Number(number) => Self::parse(&number.to_string()),
                    _ => None,
                };
                parsed.ok_or_else(|| {
                    de::Error::custom(format!("expected {}, found {value}", Self::expected()))
                })
            }
        }
    };
}

text_or_number!(Cpu);
text_or_number!(Memory);

/// A time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seconds(pub f64);

impl Seconds {
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if (0.0..=86_400.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(de::Error::custom("expected 0 to 86400 seconds"))
        }
    }
}

/// A command; a program alone may stand as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = match Value::deserialize(deserializer)? {
            Value::String(program) => vec![program],
            list => serde_json::from_value(list).map_err(de::Error::custom)?,
        };
        if words.first().is_none_or(String::is_empty) {
            return Err(de::Error::custom(format!("expected {}", Self::expected())));
        }
        Ok(Self(words))
    }
}

/// When a node pulls an image anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// The value of an environment variable. It may be a secret, so `Debug` hides it.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EnvValue {
    Text(String),
    Source {
        #[serde(rename = "valueFrom")]
        value_from: Box<EnvVarSource>,
    },
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Long {
            /// KubeSpawner lets it stand beside the variable's key.
            #[serde(default, rename = "name")]
            _name: Option<String>,
            value: Option<String>,
            value_from: Option<Box<EnvVarSource>>,
        }
        let value = Value::deserialize(deserializer)?;
        if let Value::String(text) = value {
            return Ok(Self::Text(text));
        }
        // What stands there may be a secret: it is not repeated.
        let long = value.is_object().then(|| serde_json::from_value(value));
        match long {
            Some(Ok(Long {
                value: Some(text),
                value_from: None,
                ..
            })) => Ok(Self::Text(text)),
            Some(Ok(Long {
                value: None,
                value_from: Some(value_from),
                ..
            })) => Ok(Self::Source { value_from }),
            _ => Err(de::Error::custom(format!("expected {}", Self::expected()))),
        }
    }
}

/// A list, or a mapping whose values are the items, in the order of its keys: overrides can add to a mapping.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ListOrMap<T> {
    List(Vec<T>),
    Map(BTreeMap<String, T>),
}

impl<T> Default for ListOrMap<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<T: Clone> ListOrMap<T> {
    pub fn items(&self) -> Vec<T> {
        match self {
            Self::List(items) => items.clone(),
            Self::Map(items) => items.values().cloned().collect(),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ListOrMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = if value.is_object() {
            serde_json::from_value(value).map(Self::Map)
        } else {
            serde_json::from_value(value).map(Self::List)
        };
        read.map_err(de::Error::custom)
    }
}

impl<T: Expected> Expected for ListOrMap<T> {
    fn expected() -> String {
        format!("a list or a mapping, each item {}", T::expected())
    }
}

/// A part of a Kubernetes object, kept as it was written: it is merged into the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial<T>(pub Value, PhantomData<T>);

impl<T> Default for Partial<T> {
    fn default() -> Self {
        Self(Value::Object(Default::default()), PhantomData)
    }
}

/// As `T` has it, so that unknown keys show; [`Partial::0`] is what counts.
impl<T: Serialize + DeserializeOwned> Serialize for Partial<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole: T = serde_json::from_value(self.0.clone()).map_err(serde::ser::Error::custom)?;
        let mut whole = serde_json::to_value(whole).map_err(serde::ser::Error::custom)?;
        keep_given(&mut whole, &self.0);
        whole.serialize(serializer)
    }
}

/// Removes what only `T` brought in.
fn keep_given(whole: &mut Value, given: &Value) {
    if let (Value::Object(whole), Value::Object(given)) = (whole, given) {
        whole.retain(|key, _| given.contains_key(key));
        for (key, value) in whole {
            keep_given(value, &given[key.as_str()]);
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Partial<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if !value.is_object() {
            return Err(de::Error::custom("expected a mapping"));
        }
        serde_json::from_value::<T>(value.clone()).map_err(de::Error::custom)?;
        Ok(Self(value, PhantomData))
    }
}
