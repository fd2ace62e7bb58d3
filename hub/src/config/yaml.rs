//! YAML as a tree that keeps the position of every node and all entries of a mapping, duplicates too.

use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

/// Deeper than any key of the configuration, far from what would exhaust the stack.
const MAX_DEPTH: usize = 16;

/// Reads one document; an empty one is a node without a value.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            SyntaxError::new(*error.marker(), format!("not valid YAML: {}", error.info()))
        })?;
        tree.add(event, span.start)?;
    }
    Ok(tree.root.unwrap_or(Node {
        at: At { line: 1, column: 1 },
        kind: Kind::Null,
    }))
}

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub line: usize,
    pub column: usize,
}

impl From<Marker> for At {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

#[derive(Debug)]
pub(super) struct SyntaxError {
    pub at: At,
    pub message: String,
}

impl SyntaxError {
    fn new(at: impl Into<At>, message: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            message: message.into(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub at: At,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// As written: whoever reads it knows the range.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Kind {
    /// A scalar by YAML's core schema (YAML 1.2.2 section 10.3): quoted is text, plain may be more.
    fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Self {
        if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
            return Self::Text(text);
        }
        match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            number
                if number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
                    && number.parse::<f64>().is_ok() =>
            {
                Self::Number(text)
            }
            _ => Self::Text(text),
        }
    }
}

/// What stands there, for "expected ..., found ...".
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Number(number) => write!(f, "the number {}", short(number)),
            // A URL with a user's part may hold a password.
            Kind::Text(text) if !(text.contains("://") && text.contains('@')) => {
                write!(f, "the text {:?}", short(text))
            }
            Kind::Null | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => f.write_str(self.kind()),
        }
    }
}

impl Node {
    /// The value under a key, or the item at an index.
    pub fn child(&self, step: &str) -> Option<&Node> {
        match &self.kind {
            Kind::List(items) => items.get(step.parse::<usize>().ok()?),
            Kind::Map(entries) => entries.iter().find_map(|(key, value)| match &key.kind {
                Kind::Text(key) if key == step => Some(value),
                _ => None,
            }),
            _ => None,
        }
    }

    /// Like `Display`, without the value: for what may be a secret.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(ref items) if items.is_empty() => "an empty list",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Builds the tree from the parser's events, with its own stack.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
}

struct Open {
    at: At,
    children: Children,
}

enum Children {
    List(Vec<Node>),
    /// The entries so far, and the key that waits for its value.
    Map(Vec<(Node, Node)>, Option<Node>),
}

impl Tree {
    fn add(&mut self, event: Event<'_>, at: Marker) -> Result<(), SyntaxError> {
        let tag = match &event {
            Event::Scalar(_, _, _, tag)
            | Event::SequenceStart(_, tag)
            | Event::MappingStart(_, tag) => tag.as_deref(),
            _ => None,
        };
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            return Err(SyntaxError::new(
                at,
                format!("the tag {tag} means nothing here; leave it out"),
            ));
        }
        match event {
            Event::Scalar(text, style, _, ref tag) => {
                let kind = Kind::scalar(text.into_owned(), style, tag.as_deref());
                self.close(Node {
                    at: at.into(),
                    kind,
                });
            }
            Event::SequenceStart(..) => self.begin(at, Children::List(Vec::new()))?,
            Event::MappingStart(..) => self.begin(at, Children::Map(Vec::new(), None))?,
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(_) => {
                return Err(SyntaxError::new(
                    at,
                    "aliases (*name) are not supported; write the value out",
                ));
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                return Err(SyntaxError::new(
                    at,
                    "a second document begins here; the file must hold one",
                ));
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Marker, children: Children) -> Result<(), SyntaxError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SyntaxError::new(
                at,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(Open {
            at: at.into(),
            children,
        });
        Ok(())
    }

    fn end(&mut self) {
        if let Some(Open { at, children }) = self.open.pop() {
            let kind = match children {
                Children::List(items) => Kind::List(items),
                Children::Map(entries, _) => Kind::Map(entries),
            };
            self.close(Node { at, kind });
        }
    }

    /// Puts a complete node where it belongs.
    fn close(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.children) {
            None => self.root = Some(node),
            Some(Children::List(items)) => items.push(node),
            Some(Children::Map(entries, key)) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }
}
