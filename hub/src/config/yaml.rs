//! YAML as a tree that keeps the position of every node and all entries of a mapping, duplicates too.

use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

/// Deeper than any key of the configuration, far from what would exhaust the stack.
const MAX_DEPTH: usize = 16;
/// How many nodes a file may have once its aliases are written out: far above the largest of use, far below what a file
/// of aliases of aliases grows to.
const MAX_NODES: usize = 100_000;

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

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: At,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
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

    /// A scalar as it is written; empty for what is none.
    pub fn text(&self) -> String {
        match &self.kind {
            Kind::Bool(value) => value.to_string(),
            Kind::Number(text) | Kind::Text(text) => text.clone(),
            Kind::Null | Kind::List(_) | Kind::Map(_) => String::new(),
        }
    }

    /// How many nodes it has with all below it, and how many levels.
    fn size(&self) -> (usize, usize) {
        let children: Vec<&Node> = match &self.kind {
            Kind::List(items) => items.iter().collect(),
            Kind::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            Kind::Text(text) => return (weight(text), 0),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => return (1, 0),
        };
        let sizes = children.iter().map(|child| child.size());
        sizes.fold((1, 1), |(nodes, depth), (more, below)| {
            (nodes + more, depth.max(below + 1))
        })
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

/// A long text counts as several nodes: it takes as much.
fn weight(text: &str) -> usize {
    1 + text.len() / 64
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
    /// Values that have a name, by the parser's number for it.
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

struct Open {
    at: At,
    anchor: usize,
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
            Event::Scalar(text, style, anchor, ref tag) => {
                self.count(weight(&text), at)?;
                let kind = Kind::scalar(text.into_owned(), style, tag.as_deref());
                let at = at.into();
                self.close(Node { at, kind }, anchor);
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(at, anchor, Children::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, _) => {
                self.begin(at, anchor, Children::Map(Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at)?,
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

    fn begin(&mut self, at: Marker, anchor: usize, children: Children) -> Result<(), SyntaxError> {
        self.count(1, at)?;
        self.check_depth(1, at)?;
        self.open.push(Open {
            at: at.into(),
            anchor,
            children,
        });
        Ok(())
    }

    /// The value that was given a name before, once more. Mistakes in it are told where it stands first.
    fn alias(&mut self, anchor: usize, at: Marker) -> Result<(), SyntaxError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(SyntaxError::new(at, "a value cannot be an alias of itself"));
        };
        let ((nodes, depth), node) = (node.size(), node.clone());
        self.count(nodes, at)?;
        self.check_depth(depth, at)?;
        self.close(node, 0);
        Ok(())
    }

    fn count(&mut self, nodes: usize, at: Marker) -> Result<(), SyntaxError> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("more than {MAX_NODES} values, aliases written out");
        Err(SyntaxError::new(at, message))
    }

    fn check_depth(&self, more: usize, at: Marker) -> Result<(), SyntaxError> {
        if self.open.len() + more <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        Err(SyntaxError::new(at, message))
    }

    fn end(&mut self) {
        if let Some(open) = self.open.pop() {
            let kind = match open.children {
                Children::List(items) => Kind::List(items),
                Children::Map(entries, _) => Kind::Map(merged(entries)),
            };
            self.close(Node { at: open.at, kind }, open.anchor);
        }
    }

    /// Puts a complete node where it belongs; `anchor` is 0 where it has no name.
    fn close(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
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

/// A mapping with what it takes over by `<<: *name`, or from a list of such; its own keys win (YAML's merge key, as
/// PyYAML reads it).
fn merged(entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    let is_merge = |key: &Node| matches!(&key.kind, Kind::Text(key) if key == "<<");
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, value)| {
        let items = match &value.kind {
            Kind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        is_merge(key) && items.iter().all(|item| matches!(item.kind, Kind::Map(_)))
    });
    let items = merges.into_iter().flat_map(|(_, value)| match value.kind {
        Kind::List(items) => items,
        _ => vec![value],
    });
    for item in items {
        let Kind::Map(taken) = item.kind else {
            continue;
        };
        for (key, value) in taken {
            let known = own.iter().any(|(own, _)| match (&own.kind, &key.kind) {
                (Kind::Text(own), Kind::Text(key)) => own == key,
                _ => false,
            });
            if !known {
                own.push((key, value));
            }
        }
    }
    own
}
