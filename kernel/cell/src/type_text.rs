//! The type of a variable as text.

use std::fmt::{self, Display};

/// `!` is named so.
pub const NEVER: &str = "carrel_runtime :: Never";

/// Modules of cells that were compiled again in another cell's crate are named so.
pub const MODULE: &str = "in_cell_";

/// A type as later cells name it: its tokens with a space between, but for brackets around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeText(String);

impl TypeText {
    /// From tokens as `quote` writes them.
    pub fn of_tokens(tokens: String) -> Self {
        Self(tokens)
    }

    /// Whether a type names `name` of a cell's crate, as it does after `name` was defined again.
    pub fn mentions(&self, name: &str) -> bool {
        let mut path = self.0.split(' ').peekable();
        while let Some(word) = path.next() {
            let in_crate = word.trim_start_matches(['(', '[']).starts_with("cell_");
            if in_crate && path.next_if_eq(&"::").is_some() {
                if path.next_if(|next| next.starts_with(MODULE)).is_some() {
                    path.next();
                }
                if path.peek().map(|next| next.trim_end_matches([')', ']'])) == Some(name) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether a type is written with the path of a crate.
    pub fn is_of_crate(&self, name: &str) -> bool {
        self.crates().any(|other| other == name)
    }

    /// The crates with which the paths in a type start.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        let mut before = "";
        let mut words = self.0.split(' ').peekable();
        std::iter::from_fn(move || {
            let word = words.next()?;
            let starts = before != "::" && words.peek() == Some(&"::");
            before = word;
            Some(starts.then(|| word.trim_start_matches(['(', '['])))
        })
        .flatten()
    }

    /// As it is named when cells for which `merged` holds were compiled again in the crate `name`; none if nothing changes.
    pub fn renamed(&self, merged: impl Fn(&str) -> bool, name: &str) -> Option<Self> {
        let words: Vec<&str> = self.0.split(' ').collect();
        let mut renamed = Vec::new();
        for (index, word) in words.iter().enumerate() {
            // Such as `(cell_3` in a tuple.
            let crate_name = word.trim_start_matches(['(', '[']);
            let bracket = &word[..word.len() - crate_name.len()];
            let module = words
                .get(index + 2)
                .and_then(|word| word.strip_prefix("in_"));
            renamed.push(match module.filter(|module| module.starts_with("cell_")) {
                Some(module) if merged(module) => format!("{bracket}{name}"),
                // The root of a crate is the module of the cell that it was made for.
                None if merged(crate_name) => format!("{bracket}{name} :: in_{crate_name}"),
                _ => (*word).to_owned(),
            });
        }
        let renamed = renamed.join(" ");
        (renamed != self.0).then_some(Self(renamed))
    }

    /// A type without the spaces between tokens and without the crates of cells.
    pub fn plain(&self) -> String {
        let mut plain = String::new();
        let tokens = self.0.replace(NEVER, "!");
        let mut words = tokens.split(' ').peekable();
        while let Some(word) = words.next() {
            let name = word.trim_start_matches(['(', '[']);
            if name.starts_with("cell_") && words.peek() == Some(&"::") {
                plain.push_str(&word[..word.len() - name.len()]);
                words.next();
                if words.next_if(|next| next.starts_with(MODULE)).is_some() {
                    words.next();
                }
                continue;
            }
            plain.push_str(word);
            let next = words.peek().copied().unwrap_or_default();
            let two_words =
                word.ends_with(char::is_alphanumeric) && next.starts_with(char::is_alphanumeric);
            let after_binder = word == ">" && next.starts_with(char::is_alphabetic);
            if two_words
                || after_binder
                || matches!(word, "," | ";" | "+" | "->")
                || matches!(next, "+" | "->")
            {
                plain.push(' ');
            }
        }
        plain
    }

    /// A type in which each cell is a module of its own: `cell_3::P` for `cell_5::in_cell_3::P`.
    pub fn with_own_cells(&self) -> Self {
        let module = format!(" :: {MODULE}");
        let mut tokens = self.0.clone();
        while let Some(end) = tokens.find(&module) {
            let start = tokens[..end].rfind("cell_").unwrap_or(end);
            tokens.replace_range(start..end + module.len(), "cell_");
        }
        Self(tokens)
    }
}

/// As the source of a cell has it.
impl Display for TypeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::TypeText;

    fn of(tokens: &str) -> TypeText {
        TypeText::of_tokens(tokens.to_owned())
    }

    #[test]
    fn a_type_names_what_it_is_made_of() {
        assert!(of("std :: vec :: Vec < cell_3 :: P >").mentions("P"));
        assert!(!of("std :: vec :: Vec < cell_3 :: P >").mentions("Vec"));
        assert!(of("(u8 , cell_9 :: in_cell_3 :: P)").mentions("P"));
    }

    #[test]
    fn a_type_of_a_crate_starts_with_its_name() {
        let rng = of("std :: vec :: Vec < rand :: rngs :: StdRng >");
        assert!(rng.is_of_crate("rand"));
        assert!(of("(rand :: R , u8)").is_of_crate("rand"));
        assert!(!rng.is_of_crate("vec"));
    }

    #[test]
    fn types_read_as_a_person_writes_them() {
        let of = |tokens: &str| of(tokens).plain();
        let tokens = "std :: vec :: Vec < (cell_9 :: in_cell_3 :: P , & 'static str) >";
        assert_eq!(of(tokens), "std::vec::Vec<(P, &'static str)>");
        let tokens = "dyn for < 'a > Fn (& 'a str) -> u8";
        assert_eq!(of(tokens), "dyn for<'a> Fn(&'a str) -> u8");
    }

    #[test]
    fn types_of_cells_that_were_compiled_again_are_theirs() {
        let merged = of("std :: vec :: Vec < (cell_5 :: in_cell_3 :: P , cell_2 :: Q) >");
        let own = of("std :: vec :: Vec < (cell_3 :: P , cell_2 :: Q) >");
        assert_eq!(merged.with_own_cells(), own);
    }

    #[test]
    fn types_of_merged_cells_get_the_name_of_the_new_crate() {
        let renamed = |tokens: &str| of(tokens).renamed(|cell| cell == "cell_3", "cell_7");
        let new = of("(cell_7 :: in_cell_3 :: P , cell_2 :: Q)");
        assert_eq!(renamed("(cell_3 :: P , cell_2 :: Q)"), Some(new.clone()));
        assert_eq!(
            renamed("(cell_5 :: in_cell_3 :: P , cell_2 :: Q)"),
            Some(new)
        );
        assert_eq!(renamed("cell_2 :: Q"), None);
    }
}
