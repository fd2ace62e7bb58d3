//! Names of items in messages as the person wrote them: `P` for `cell_3::P`.

use std::collections::HashMap;
use std::ops::Range;

use super::Diagnostic;

/// Takes the cells out of a message, but for names that it uses for items of several cells.
pub fn shorten(diagnostic: &mut Diagnostic) {
    let mut cells: HashMap<String, Option<String>> = HashMap::new();
    each_text(diagnostic, &mut |text| {
        for (cell, name) in paths(text) {
            let (cell, name) = (&text[cell], &text[name]);
            // Beside the path, the name alone means another item.
            let is_other = mentions_alone(text, name);
            let known = cells
                .entry(name.to_owned())
                .or_insert_with(|| Some(cell.to_owned()));
            if is_other || known.as_deref() != Some(cell) {
                *known = None;
            }
        }
    });
    each_text(diagnostic, &mut |text| {
        let paths: Vec<_> = paths(text).collect();
        for (cell, name) in paths.into_iter().rev() {
            if cells.get(&text[name]).is_some_and(Option::is_some) {
                text.replace_range(cell, "");
            }
        }
    });
}

fn each_text(diagnostic: &mut Diagnostic, change: &mut impl FnMut(&mut String)) {
    change(&mut diagnostic.message);
    for span in &mut diagnostic.spans {
        span.label.as_mut().map(&mut *change);
    }
    for child in &mut diagnostic.children {
        each_text(child, change);
    }
}

/// Places of `cell_3::` or `cell_5::in_cell_3::`, and of the name after it.
fn paths(text: &str) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text[from..].find("cell_")?;
            from = start + 1;
            if ends_with_word(&text[..start]) {
                continue;
            }
            let end = cell(text, start).map(|end| match text[end..].starts_with("in_") {
                true => cell(text, end + "in_".len()).unwrap_or(end),
                false => end,
            });
            let Some(end) = end else { continue };
            let length = text[end..].find(|letter| !is_word(letter));
            let name = end..length.map_or(text.len(), |length| end + length);
            if !name.is_empty() {
                from = name.end;
                return Some((start..end, name));
            }
        }
    })
}

/// Where `cell_3::` ends.
fn cell(text: &str, start: usize) -> Option<usize> {
    let number = text[start..].strip_prefix("cell_")?;
    let rest = number.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let path = rest
        .strip_prefix("::")
        .filter(|_| rest.len() < number.len())?;
    Some(text.len() - path.len())
}

/// Whether `name` stands in backticks by itself, or with parameters.
fn mentions_alone(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = &text[..at];
        let is_end = !text[at + name.len()..].starts_with(is_word);
        is_end && !ends_with_word(before) && !before.ends_with("::")
    })
}

fn ends_with_word(text: &str) -> bool {
    text.ends_with(is_word)
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(message: &str, note: &str) -> [String; 2] {
        let text = |message: &str| Diagnostic {
            message: message.to_owned(),
            code: None,
            level: "error".to_owned(),
            spans: Vec::new(),
            children: Vec::new(),
        };
        let mut diagnostic = text(message);
        diagnostic.children.push(text(note));
        shorten(&mut diagnostic);
        [diagnostic.message, diagnostic.children.remove(0).message]
    }

    #[test]
    fn cells_are_left_out_where_one_item_is_meant() {
        assert_eq!(
            shortened(
                "`cell_1::Plain` is no `Debug`",
                "derive it for `Plain`, not cell_x::Plain"
            ),
            [
                "`Plain` is no `Debug`",
                "derive it for `Plain`, not cell_x::Plain"
            ]
        );
        assert_eq!(
            shortened("Vec<cell_5::in_cell_12::P>, supercell_1::P", "cell_2::f()"),
            ["Vec<P>, supercell_1::P", "f()"]
        );
    }

    #[test]
    fn items_of_one_name_keep_their_cells() {
        for text in [
            "expected `cell_1::P`, found `P`",
            "expected `cell_1::P`, found `cell_3::P<u8>`",
        ] {
            assert_eq!(shortened(text, "")[0], text);
        }
        let texts = ["`cell_1::P` is one", "`cell_2::P` another"];
        assert_eq!(shortened(texts[0], texts[1]), texts);
    }
}
