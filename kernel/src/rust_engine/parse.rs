//! Splits a cell into items and statements, and finds what the generated source needs to know of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use proc_macro2::{LexError, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{
    Attribute, Expr, ExprLit, Item, Lit, Local, MacroDelimiter, MetaNameValue, Pat, PatIdent, Stmt,
    Token,
};

mod awaits;
mod calls;
mod impls;
mod macros;
mod names;
mod public;
mod rounds;
mod ticks;
mod values;

pub use impls::Impl;
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
}

/// `#[link(name = "..")]`
#[derive(Debug, Clone)]
pub struct Link {
    pub library: String,
    /// Of the attribute.
    pub range: Range<usize>,
}

/// A part of a cell's code, and what is changed in it.
#[derive(Debug, Clone)]
pub struct Part {
    pub range: Range<usize>,
    pub edits: Edits,
}

#[derive(Debug, Clone)]
pub struct ItemPart {
    /// The edits make it visible for later cells, and let it be interrupted.
    pub part: Part,
    /// The type or module that it defines.
    pub defines: Option<String>,
    /// The type for which it implements `Rich`, if that has no parameters.
    pub rich: Option<Range<usize>>,
    /// All names that it defines, if they can be known.
    pub names: Option<Vec<String>>,
    /// Identifiers in it.
    pub words: HashSet<String>,
    pub kind: ItemKind,
}

/// What must be known of an item to compile it again in another crate.
#[derive(Debug, Clone)]
pub enum ItemKind {
    Impl(Impl),
    Macro(MacroItem),
    /// With its name and the identifiers of its type.
    Static(String, HashSet<String>),
    /// An `extern` block with the libraries that it names.
    Foreign(Vec<Link>),
    Use,
    ExternCrate(ExternCrate),
    Trait,
    /// A call of a macro with braces, as long as nothing tells that it makes statements; the identifiers in them.
    Call(HashSet<String>),
    Other,
}

impl ExternCrate {
    /// The same as an import, unless only `extern crate` does: the compiler tells types by the name that this gives to
    /// the crate, which later cells do not have.
    pub fn as_use(&self) -> Option<String> {
        let special = ["self", "alloc", "proc_macro", "test"];
        let Self {
            krate,
            name,
            macros,
        } = self;
        match special.contains(&&**krate) || *macros {
            true => None,
            // The name is there anyway.
            false if krate == name => Some(String::new()),
            false => Some(format!("use ::{krate} as {name};")),
        }
    }
}

/// A `macro_rules!`.
#[derive(Debug, Clone)]
pub struct MacroItem {
    pub name: String,
    /// Where its name stands.
    pub place: Range<usize>,
    /// A call of it with braces is an expression.
    pub makes_value: bool,
}

/// `extern crate krate as name;`, without `as` of the same name.
#[derive(Debug, Clone)]
pub struct ExternCrate {
    pub krate: String,
    pub name: String,
    /// `#[macro_use]`: its macros are there without a path.
    pub macros: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub name: String,
    pub mutable: bool,
    /// It is initialized with a closure.
    pub closure: bool,
    /// The cell mentions it after its declaration.
    pub used: bool,
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
    for (index, statement) in statements.into_iter().enumerate() {
        let has_value = has_value(&statement, &value_macros);
        let is_value = has_value && index == last;
        match &statement {
            Stmt::Item(item) => {
                parsed.add_item(item, code, optimized);
                if let Some(item) = parsed.items.last() {
                    item.kind.note_macro(&mut value_macros);
                }
            }
            Stmt::Macro(call) if !has_value && calls::may_make_items(call) => {
                parsed.add_call(call, Part::of(&statement, code, optimized));
            }
            _ => parsed.add(&statement, code, optimized, is_value),
        }
    }
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

impl ItemKind {
    /// Adds a macro that has a value; one that has none takes the place of an earlier one that has.
    pub fn note_macro(&self, value_macros: &mut HashSet<String>) {
        if let Self::Macro(item) = self {
            match item.makes_value {
                true => _ = value_macros.insert(item.name.clone()),
                false => _ = value_macros.remove(&item.name),
            }
        }
    }
}

impl ItemPart {
    pub fn extern_crate(&self) -> Option<&ExternCrate> {
        match &self.kind {
            ItemKind::ExternCrate(found) => Some(found),
            _ => None,
        }
    }
}

impl Part {
    fn new(range: Range<usize>, mut edits: Edits) -> Self {
        edits.sort_by_key(|(place, _)| place.start);
        Self { range, edits }
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

    fn add_item(&mut self, item: &Item, code: &str, optimized: bool) {
        let mut words = HashSet::new();
        collect_words(item.to_token_stream(), &mut words);
        let mut edits = public::edits(item);
        edits.extend(ticks::in_item(item, code, optimized));
        self.items.push(ItemPart {
            part: Part::new(item.span().byte_range(), edits),
            defines: names::defined_type(item),
            rich: names::rich_type(item),
            names: names::names(item),
            words,
            kind: item_kind(item),
        });
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
        let mut names = Names::default();
        names.visit_pat(pattern);
        for mut binding in names.0 {
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

fn item_kind(item: &Item) -> ItemKind {
    match item {
        Item::Impl(item) => ItemKind::Impl(impls::of(item)),
        Item::Macro(syn::ItemMacro {
            ident: Some(name),
            mac,
            ..
        }) => ItemKind::Macro(MacroItem {
            name: name.to_string(),
            place: name.span().byte_range(),
            makes_value: values::makes_value(&mac.tokens),
        }),
        Item::Static(item) => {
            let mut words = HashSet::new();
            collect_words(item.ty.to_token_stream(), &mut words);
            ItemKind::Static(item.ident.to_string(), words)
        }
        Item::ForeignMod(item) => ItemKind::Foreign(item.attrs.iter().filter_map(link).collect()),
        Item::Use(_) => ItemKind::Use,
        Item::ExternCrate(item) => ItemKind::ExternCrate(extern_crate(item)),
        Item::Trait(_) | Item::TraitAlias(_) => ItemKind::Trait,
        _ => ItemKind::Other,
    }
}

pub fn extern_crate(item: &syn::ItemExternCrate) -> ExternCrate {
    let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
    let mut attributes = item.attrs.iter();
    ExternCrate {
        krate: item.ident.to_string(),
        name: name.to_string(),
        macros: attributes.any(|attribute| attribute.path().is_ident("macro_use")),
    }
}

fn link(attribute: &Attribute) -> Option<Link> {
    let arguments = Punctuated::<MetaNameValue, Token![,]>::parse_terminated;
    let arguments = attribute
        .path()
        .is_ident("link")
        .then(|| attribute.parse_args_with(arguments));
    arguments?
        .ok()?
        .into_iter()
        .find_map(|argument| match &argument.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(library),
                ..
            }) if argument.path.is_ident("name") => Some(Link {
                library: library.value(),
                range: attribute.span().byte_range(),
            }),
            _ => None,
        })
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

/// The names that a pattern binds.
#[derive(Default)]
struct Names(Vec<Binding>);

impl Visit<'_> for Names {
    fn visit_pat_ident(&mut self, pattern: &PatIdent) {
        let name = pattern.ident.to_string();
        // `None` and `MAX` look like bindings to a parser; variables are lower case.
        let constant = name.starts_with(char::is_uppercase) && pattern.mutability.is_none();
        if !constant {
            self.0.push(Binding {
                name,
                mutable: pattern.mutability.is_some(),
                closure: false,
                used: false,
            });
        }
        syn::visit::visit_pat_ident(self, pattern);
    }

    // Patterns hold expressions (`0..=N`), and those bind nothing.
    fn visit_expr(&mut self, _: &Expr) {}
}

fn collect_words(tokens: TokenStream, words: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_words(group.stream(), words),
            TokenTree::Ident(ident) => {
                words.insert(ident.to_string());
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
        words.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
    }
}
