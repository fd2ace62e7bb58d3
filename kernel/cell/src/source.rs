//! Generated source: pieces of a cell between lines of our own, with the way back from any byte to the cell.

use std::ops::Range;

/// The source of one compiled cell.
#[derive(Debug, Default, Clone)]
pub struct Source {
    text: String,
    pieces: Vec<Piece>,
    marks: Vec<(Range<usize>, Mark)>,
}

/// What one of our own lines does, so that an error in it can be told in the person's terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Gives a variable the name that its type has in a new crate.
    Carry(String),
    /// Takes a variable of an earlier cell.
    Take(String),
    /// Keeps a variable of this cell.
    Keep(String),
    /// Ends a variable that borrows, before what it borrows from is kept.
    End(String),
    /// Gives a variable of an earlier cell back.
    Restore(String),
}

impl Mark {
    pub fn name(&self) -> &str {
        let (Self::Carry(name)
        | Self::Take(name)
        | Self::Keep(name)
        | Self::End(name)
        | Self::Restore(name)) = self;
        name
    }
}

#[derive(Debug, Clone)]
struct Piece {
    generated: Range<usize>,
    cell: usize,
}

impl Source {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a line of our own.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds a line of our own whose errors are told by `mark`.
    pub fn marked_line(&mut self, mark: Mark, text: &str) {
        let start = self.text.len();
        self.line(text);
        self.marks.push((start..self.text.len(), mark));
    }

    /// Adds text of our own within a line of the cell.
    pub fn insert(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a part of the cell.
    pub fn piece(&mut self, code: &str, range: Range<usize>) {
        let start = self.text.len();
        self.text.push_str(&code[range.clone()]);
        self.pieces.push(Piece {
            generated: start..self.text.len(),
            cell: range.start,
        });
    }

    /// Lets the place between two characters, here, stand for a byte of the cell.
    pub fn point(&mut self, cell: usize) {
        let here = self.text.len();
        self.pieces.push(Piece {
            generated: here..here,
            cell,
        });
    }

    /// The byte of the cell that stands at a byte of the generated source; none in our own lines.
    pub fn in_cell(&self, generated: usize) -> Option<usize> {
        let piece = self
            .pieces
            .iter()
            // The end of a piece counts to it: errors point behind the last character.
            .find(|piece| (piece.generated.start..=piece.generated.end).contains(&generated))?;
        Some(piece.cell + generated - piece.generated.start)
    }

    /// The byte of the cell at a line and column of the generated source, as panics tell them. What we put into a line
    /// of the cell counts as what stands before it.
    pub fn place(&self, line: u32, column: u32) -> Option<usize> {
        let byte = self.byte_at(line, column)?;
        let before = || {
            let mut pieces = self.pieces.iter();
            let piece = pieces.rfind(|piece| piece.generated.end <= byte)?;
            let between = self.text.get(piece.generated.end..byte)?;
            (!between.contains('\n')).then_some(piece.cell + piece.generated.len())
        };
        self.in_cell(byte).or_else(before)
    }

    /// The range of the cell that `generated` covers.
    pub fn range_in_cell(&self, generated: &Range<usize>) -> Option<Range<usize>> {
        let start = self.in_cell(generated.start)?;
        let end = self.in_cell(generated.end)?;
        (start <= end).then_some(start..end)
    }

    pub fn mark(&self, generated: usize) -> Option<&Mark> {
        self.marks
            .iter()
            .find(|(range, _)| range.contains(&generated))
            .map(|(_, mark)| mark)
    }

    /// The byte at a line and column, both from 1, columns in characters, as panics tell them.
    fn byte_at(&self, line: u32, column: u32) -> Option<usize> {
        byte_at(&self.text, line as usize, column as usize)
    }
}

/// The byte at a line and column, both from 1, columns in characters.
pub fn byte_at(text: &str, line: usize, column: usize) -> Option<usize> {
    let line = text.split_inclusive('\n').nth(line.checked_sub(1)?)?;
    let start = line.as_ptr() as usize - text.as_ptr() as usize;
    let column = column.saturating_sub(1);
    let offset = line.char_indices().nth(column).map_or(0, |(at, _)| at);
    Some(start + offset)
}

/// Line and column of a byte, both from 1, columns in characters.
pub fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
