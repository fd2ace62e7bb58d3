//! A table of texts, as text and as HTML.

use crate::show::escape;

/// Columns and rows of `N` texts.
pub(crate) struct Rows<'a, const N: usize> {
    pub columns: [&'a str; N],
    pub rows: &'a [[String; N]],
}

impl<const N: usize> Rows<'_, N> {
    pub fn html(&self) -> String {
        let cells = |tag: &str, texts: [&str; N]| {
            let cells = texts.map(|text| format!("<{tag}>{}</{tag}>", escape(text)));
            format!("<tr>{}</tr>", cells.concat())
        };
        let head = cells("th", self.columns);
        let rows = self.rows.iter().map(|row| cells("td", texts(row)));
        format!("<table>{head}{}</table>", rows.collect::<String>())
    }

    /// A line for each row, in columns as wide as their longest text.
    pub fn text(&self) -> String {
        let all = || std::iter::once(self.columns).chain(self.rows.iter().map(texts));
        let mut widths = [0; N];
        for row in all() {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = text.chars().count().max(*width);
            }
        }
        let line = |row: [&str; N]| {
            let cells = row.iter().zip(widths);
            let cells: Vec<_> = cells
                .map(|(text, width)| format!("{text:width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        all().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn texts<const N: usize>(row: &[String; N]) -> [&str; N] {
    row.each_ref().map(String::as_str)
}
