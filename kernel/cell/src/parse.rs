//! Splits a cell into items and statements, and finds what the generated source needs to know of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use proc_macro2::{LexError, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Local, MacroDelimiter, Pat, Stmt};

mod awaits;
mod bindings;
mod calls;
mod impls;
mod item;
mod macros;
mod names;
mod public;
mod repeated;
mod rounds;
mod symbols;
mod ticks;
mod uses;
mod values;

pub use bindings::Binding;
pub use calls::OF_STD;
pub use impls::{Fixed, Impl};
pub use item::{ExternCrate, ItemKind, ItemPart, Link, MacroItem, extern_crate};
pub use names::Glob;
pub use public::is_visibility;
pub use ticks::TICK;

/// Bytes of the cell and what stands there instead, in order.
pub type Edits = Vec<(Range<usize>, Cow<'static, str>)>;

/// The parts of a cell.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Attributes of the whole, `#![..]` and `//!`, at its start.
    pub attributes: Vec<Range<usize>>,
    /// Those of them that later cells have too.
    pub lasting_attributes: Vec<String>,
    pub items: Vec<ItemPart>,
    pub statements: Vec<Part>,
    /// A last expression without `;`, whose value is shown. It is not among the statements.
    pub value: Option<Part>,
    /// Variables that statements at top level declare, each name once.
    pub bindings: Vec<Binding>,
    /// Identifiers in statements, also those within format strings.
    pub words: HashSet<String>,
    /// There is an `.await` among the statements.
    pub awaits: bool,
    /// Statements call methods.
    pub calls_methods: bool,
    /// The items that are calls of macros, as statements.
    calls: Vec<calls::Call>,
    /// Statements that are calls of macros and may make items after all, as those.
    statement_calls: Vec<ItemPart>,
}

/// A part of a cell's code, and what is changed in it.
#[derive(Debug, Clone)]
pub struct Part {
    pub range: Range<usize>,
    pub edits: Edits,
}

/// What this parser says of a cell that is no Rust. The compiler says it better and is asked.
#[derive(Debug)]
pub struct SyntaxError {
    pub message: String,
    /// Brackets and quotes are in order.
    pub balanced: bool,
}

/// Nesting beyond this is no program, and parsers recurse on it.
const MOST_NESTED: usize = 1000;

/// Parses a cell that is to be `optimized` or not. `value_macros` are macros of earlier cells that have a value.
pub fn parse(
    code: &str,
    optimized: bool,
    mut value_macros: HashSet<String>,
) -> Result<Parsed, SyntaxError> {
    if nesting(code) > MOST_NESTED {
        return Err(SyntaxError {
            message: format!("the code is nested more than {MOST_NESTED} levels deep"),
            balanced: true,
        });
    }
    let tokens: TokenStream = code.parse().map_err(|error: LexError| SyntaxError {
        message: format!("{error} in line {}", error.span().start().line),
        balanced: false,
    })?;
    let (attributes, statements) = statements(tokens).map_err(|error| SyntaxError {
        message: format!("{error} in line {}", error.span().start().line),
        balanced: true,
    })?;
    let mut parsed = Parsed::default();
    parsed.add_attributes(&attributes, code);
    let last = statements.len().saturating_sub(1);
    let repeated = repeated::names(&statements);
    let uses = uses::starts(&statements);
    for (index, statement) in statements.into_iter().enumerate() {
        let has_value = has_value(&statement, &value_macros);
        let is_value = has_value && index == last;
        match &statement {
            Stmt::Item(item) => {
                parsed.items.push(ItemPart::of(item, code, optimized));
                if let Some(item) = parsed.items.last() {
                    item.kind.note_macro(&mut value_macros);
                }
                parsed.add_repeated(&repeated);
            }
            Stmt::Macro(call) if !has_value && calls::may_make_items(call) => {
                parsed.add_call(call, Part::of(&statement, code, optimized));
            }
            Stmt::Macro(call) if !has_value && calls::is_of_cells(call) => {
                parsed.statement_calls.push(calls::item(call));
                parsed.add(&statement, code, optimized, is_value);
            }
            _ => parsed.add(&statement, code, optimized, is_value),
        }
    }
    parsed.export_last(&repeated);
    parsed.root_uses(&uses);
    Ok(parsed)
}

/// The attributes at the start of a cell, `#![..]` and `//!`, and what comes then.
///
/// # Errors
/// Where it is no Rust.
pub fn statements(tokens: TokenStream) -> syn::Result<(Vec<Attribute>, Vec<Stmt>)> {
    let both = |input: ParseStream<'_>| {
        let attributes = Attribute::parse_inner(input)?;
        Ok((attributes, syn::Block::parse_within(input)?))
    };
    both.parse2(tokens)
}

impl Part {
    fn new(range: Range<usize>, mut edits: Edits) -> Self {
        edits.sort_by_key(|(place, _)| place.start);
        Self { range, edits }
    }

    /// Puts `text` in place of a part, and of the edits in there; nothing where that has another text already.
    pub fn edit(&mut self, place: Range<usize>, text: Cow<'static, str>) {
        let covers = |(edit, _): &(Range<usize>, _)| {
            !edit.is_empty() && edit.start <= place.start && place.end <= edit.end
        };
        if self.edits.iter().any(covers) {
            return;
        }
        self.edits
            .retain(|(edit, _)| edit.start < place.start || place.end <= edit.start);
        self.edits.push((place, text));
        self.edits.sort_by_key(|(edit, _)| edit.start);
    }

    fn of(statement: &Stmt, code: &str, optimized: bool) -> Self {
        let edits = ticks::in_statement(statement, code, optimized);
        Self::new(statement.span().byte_range(), edits)
    }
}

impl Parsed {
    pub fn has_statements(&self) -> bool {
        !self.statements.is_empty() || self.value.is_some()
    }

    /// Native libraries that it names.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        let items = self.items.iter();
        items.flat_map(|item| match &item.kind {
            ItemKind::Foreign(links) => links.as_slice(),
            _ => &[],
        })
    }

    fn add_attributes(&mut self, attributes: &[Attribute], code: &str) {
        let lasting = [
            "allow",
            "warn",
            "deny",
            "forbid",
            "feature",
            "recursion_limit",
            "type_length_limit",
        ];
        for attribute in attributes {
            let range = attribute.span().byte_range();
            if lasting.iter().any(|name| attribute.path().is_ident(name)) {
                self.lasting_attributes.push(code[range.clone()].to_owned());
            }
            self.attributes.push(range);
        }
    }

    /// The crates that it names by `extern crate`.
    pub fn extern_crates(&self) -> impl Iterator<Item = &ExternCrate> {
        self.items.iter().filter_map(ItemPart::extern_crate)
    }

    fn add(&mut self, statement: &Stmt, code: &str, optimized: bool, is_value: bool) {
        let mut words = HashSet::new();
        collect_words(statement.to_token_stream(), &mut words);
        self.calls_methods |= calls_methods(statement.to_token_stream());
        for binding in &mut self.bindings {
            binding.used |= words.contains(&binding.name);
        }
        self.words.extend(words);
        self.awaits |= awaits::awaits(statement);
        if let Stmt::Local(local) = statement {
            self.bind(&local.pat, is_closure(local));
        }
        let part = Part::of(statement, code, optimized);
        if is_value {
            self.value = Some(part);
        } else {
            self.statements.push(part);
        }
    }

    fn bind(&mut self, pattern: &Pat, closure: bool) {
        for mut binding in bindings::of(pattern) {
            binding.closure = closure;
            self.bindings.retain(|other| other.name != binding.name);
            self.bindings.push(binding);
        }
    }
}

/// How deep brackets and prefix operators nest at most; text in strings counts too.
fn nesting(code: &str) -> usize {
    let (mut deepest, mut depth, mut prefixes) = (0, 0usize, 0);
    for byte in code.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        prefixes = match byte {
            b'!' | b'-' | b'*' | b'&' => prefixes + 1,
            b' ' | b'\n' => prefixes,
            _ => 0,
        };
        deepest = deepest.max(depth + prefixes);
    }
    deepest
}

/// `let f = |x: i32| x + 1;`
fn is_closure(local: &Local) -> bool {
    let mut value = local.init.as_ref().map(|init| &*init.expr);
    while let Some(Expr::Paren(paren)) = value {
        value = Some(&paren.expr);
    }
    matches!((&local.pat, value), (Pat::Ident(_), Some(Expr::Closure(_))))
}

fn has_value(statement: &Stmt, value_macros: &HashSet<String>) -> bool {
    match statement {
        Stmt::Expr(_, semicolon) => semicolon.is_none(),
        // With braces, `thread_local! { .. }` and the like expand to statements.
        Stmt::Macro(call) => {
            let statements = matches!(call.mac.delimiter, MacroDelimiter::Brace(_));
            let has_value = || !statements || values::is_of_value(&call.mac.path, value_macros);
            call.semi_token.is_none() && has_value()
        }
        _ => false,
    }
}

fn collect_words(tokens: TokenStream, words: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_words(group.stream(), words),
            TokenTree::Ident(ident) => {
                words.insert(names::name_of(&ident));
            }
            TokenTree::Literal(literal) => collect_captures(&literal.to_string(), words),
            TokenTree::Punct(_) => {}
        }
    }
}

/// Whether there is a dot before a name, also in the arguments of macros. The end of a range counts too.
fn calls_methods(tokens: TokenStream) -> bool {
    let mut after_dot = false;
    tokens.into_iter().any(|token| {
        let found = match &token {
            TokenTree::Group(group) => calls_methods(group.stream()),
            TokenTree::Ident(_) => after_dot,
            _ => false,
        };
        after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        found
    })
}

/// Names captured by a format string: `"{name:?}"`, `"{:width$}"`. One too many does no harm.
fn collect_captures(literal: &str, words: &mut HashSet<String>) {
    if literal.contains('{') {
        let names = literal.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        for name in names.filter(|name| !name.is_empty()) {
            words.insert(name.to_owned());
            // Captured as `{type}`.
            words.insert(format!("r#{name}"));
        }
    }
}
