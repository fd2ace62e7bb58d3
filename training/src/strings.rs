//! A tensor of strings, which candle does not have.

use std::fmt;

/// A tensor whose elements are strings, in row-major order.
#[derive(Clone, PartialEq, Eq)]
pub struct StringTensor {
    shape: Vec<usize>,
    values: Vec<String>,
}

/// Makes a tensor from a string, from a vector of strings, or from arrays of strings in arrays.
///
/// ```
/// # use carrel_training::prelude::constant;
/// assert_eq!(constant("Hello Tensor!").to_string(), "Hello Tensor!");
/// assert_eq!(constant([["a", "b"], ["c", "d"]]).shape(), [2, 2]);
/// ```
pub fn constant(values: impl Strings) -> StringTensor {
    let shape = values.shape();
    let mut flat = Vec::with_capacity(shape.iter().product());
    values.append_to(&mut flat);
    StringTensor {
        shape,
        values: flat,
    }
}

impl StringTensor {
    /// Length of each dimension; empty for a single string.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

/// What [`constant`] takes.
pub trait Strings {
    fn shape(&self) -> Vec<usize>;
    fn append_to(self, values: &mut Vec<String>);
}

impl Strings for &str {
    fn shape(&self) -> Vec<usize> {
        Vec::new()
    }

    fn append_to(self, values: &mut Vec<String>) {
        values.push(self.to_owned());
    }
}

impl Strings for String {
    fn shape(&self) -> Vec<usize> {
        Vec::new()
    }

    fn append_to(self, values: &mut Vec<String>) {
        values.push(self);
    }
}

impl<T: Strings, const N: usize> Strings for [T; N] {
    fn shape(&self) -> Vec<usize> {
        let inner = self.first().map_or_else(Vec::new, Strings::shape);
        [vec![N], inner].concat()
    }

    fn append_to(self, values: &mut Vec<String>) {
        for item in self {
            item.append_to(values);
        }
    }
}

/// One dimension only: vectors in vectors could differ in length.
impl<T: Into<String>> Strings for Vec<T> {
    fn shape(&self) -> Vec<usize> {
        vec![self.len()]
    }

    fn append_to(self, values: &mut Vec<String>) {
        values.extend(self.into_iter().map(Into::into));
    }
}

/// A single string is shown as it is, more of them as quoted nested lists.
impl fmt::Display for StringTensor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.shape.as_slice(), self.values.as_slice()) {
            ([], [value]) => formatter.pad(value),
            (shape, values) => nested(formatter, shape, values),
        }
    }
}

impl fmt::Debug for StringTensor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StringTensor")?;
        formatter.debug_list().entries(&self.shape).finish()?;
        formatter.write_str(" ")?;
        nested(formatter, &self.shape, &self.values)
    }
}

fn nested(formatter: &mut fmt::Formatter<'_>, shape: &[usize], values: &[String]) -> fmt::Result {
    let [length, inner @ ..] = shape else {
        return values
            .iter()
            .try_for_each(|value| write!(formatter, "{value:?}"));
    };
    formatter.write_str("[")?;
    let size = inner.iter().product::<usize>();
    for index in 0..*length {
        if index > 0 {
            formatter.write_str(", ")?;
        }
        nested(formatter, inner, &values[index * size..(index + 1) * size])?;
    }
    formatter.write_str("]")
}

#[cfg(test)]
mod tests {
    use super::constant;

    #[test]
    fn a_single_string_has_no_dimensions_and_prints_as_it_is() {
        let hello = constant("Hello Tensor!");
        assert_eq!(hello.shape(), [0usize; 0]);
        assert_eq!(hello.to_string(), "Hello Tensor!");
        assert_eq!(format!("{hello:?}"), "StringTensor[] \"Hello Tensor!\"");
    }

    #[test]
    fn arrays_nest_in_row_major_order() {
        let table = constant([["a", "b", "c"], ["d", "e", "f"]]);
        assert_eq!(table.shape(), [2, 3]);
        assert_eq!(table.values().concat(), "abcdef");
        assert_eq!(table.to_string(), r#"[["a", "b", "c"], ["d", "e", "f"]]"#);
    }

    #[test]
    fn vectors_may_be_empty() {
        assert_eq!(constant(vec!["a".to_owned()]).to_string(), r#"["a"]"#);
        assert_eq!(constant(Vec::<&str>::new()).to_string(), "[]");
        assert_eq!(constant([[""; 0]; 2]).shape(), [2, 0]);
    }
}
