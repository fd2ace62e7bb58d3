//! Mappings whose order counts: given as such, or as a list whose items have a `name`, for what makes them may sort the
//! keys of mappings, as Helm does.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub(super) fn read<'de, D, T>(deserializer: D) -> Result<IndexMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Entries(PhantomData))
}

struct Entries<T>(PhantomData<T>);

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    value: T,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = IndexMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, or a list whose items have a `name`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = IndexMap::new();
        while let Some((name, value)) = map.next_entry()? {
            entries.insert(name, value);
        }
        Ok(entries)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = IndexMap::new();
        while let Some(Named { name, value }) = list.next_element()? {
            if entries.contains_key(&name) {
                return Err(A::Error::custom(format!("there are two named {name:?}")));
            }
            entries.insert(name, value);
        }
        Ok(entries)
    }
}
