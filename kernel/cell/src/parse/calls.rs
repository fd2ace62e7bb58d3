//! Calls of macros with braces, which may make items: `bitflags! { .. }`. Where `pub` is to be put in what they are given
//! and, for a `macro_rules!`, in what it makes, so that later cells see those items.

use std::collections::HashSet;
use std::ops::Range;

use proc_macro2::{Delimiter, Group, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{ItemMacro, MacroDelimiter, StmtMacro};

use super::public::{PUB, PUB_FOR_NARROWER};
use super::values::bodies;
use super::{Edits, ItemKind, ItemPart, Parsed, Part, collect_words};

/// What an item begins with that can be made public.
const BEGIN: [&str; 7] = ["enum", "fn", "mod", "static", "struct", "trait", "type"];
/// What may stand before that.
const QUALIFY: [&str; 4] = ["async", "const", "extern", "unsafe"];

/// Macros that are seen without `use`.
pub const OF_STD: [&str; 37] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "compile_error",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "env",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "include",
    "include_bytes",
    "include_str",
    "is_x86_feature_detected",
    "line",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "print",
    "println",
    "stringify",
    "thread_local",
    "todo",
    "try",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// A call as it is taken for a statement, which it is if what it makes are no items.
#[derive(Debug)]
pub struct Call {
    part: Part,
    /// How many statements come before it.
    before: usize,
}

/// Whether a call may make items.
pub fn may_make_items(call: &StmtMacro) -> bool {
    matches!(call.mac.delimiter, MacroDelimiter::Brace(_)) && call.semi_token.is_none()
}

/// Whether a call may be one of a cell's macro.
pub fn is_of_cells(call: &StmtMacro) -> bool {
    let name = call.mac.path.get_ident().map(ToString::to_string);
    name.is_some_and(|name| !OF_STD.contains(&&*name))
}

/// A call as an item.
pub fn item(call: &StmtMacro) -> ItemPart {
    let tokens: Vec<TokenTree> = call.mac.tokens.clone().into_iter().collect();
    let mut edits = Edits::new();
    publish(&tokens, &mut edits);
    let mut given = HashSet::new();
    collect_words(call.mac.tokens.clone(), &mut given);
    let mut words = given.clone();
    collect_words(call.mac.path.to_token_stream(), &mut words);
    ItemPart {
        part: Part::new(call.span().byte_range(), edits),
        defines: defined_type(&tokens),
        rich: None,
        names: None,
        words,
        nested: Vec::new(),
        symbols: Vec::new(),
        kind: ItemKind::Call(given),
    }
}

/// Where a `macro_rules!` makes items. Functions that take `self` are for the inside of an `impl`, perhaps of a trait.
pub fn published_rules(rules: &ItemMacro) -> Edits {
    let mut edits = Edits::new();
    for body in bodies(&rules.mac.tokens) {
        let body: Vec<TokenTree> = body.into_iter().collect();
        if !makes_methods(&body) {
            publish(&body, &mut edits);
        }
    }
    edits
}

fn makes_methods(body: &[TokenTree]) -> bool {
    let is_self = |token: TokenTree| token.to_string() == "self";
    body.iter().any(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
            group.stream().into_iter().take(4).any(is_self)
        }
        _ => false,
    })
}

impl Parsed {
    pub fn add_call(&mut self, call: &StmtMacro, part: Part) {
        let item = item(call);
        for binding in &mut self.bindings {
            binding.used |= item.words.contains(&binding.name);
        }
        self.items.push(item);
        self.calls.push(Call {
            part,
            before: self.statements.len(),
        });
    }

    /// Takes calls that stand as statements at these places for items: they make an `impl` of an earlier cell's type.
    pub fn calls_are_items(&mut self, places: &[Range<usize>]) {
        let is_there = |item: &ItemPart| {
            let range = &item.part.range;
            places
                .iter()
                .any(|place| range.start <= place.start && place.end <= range.end)
        };
        for item in self.statement_calls.extract_if(.., |item| is_there(item)) {
            let range = &item.part.range;
            let mut statements = self.statements.iter();
            let Some(at) = statements.position(|part| part.range == *range) else {
                continue;
            };
            let part = self.statements.remove(at);
            for call in self.calls.iter_mut().filter(|call| call.before > at) {
                call.before -= 1;
            }
            let later = self.calls.partition_point(|call| call.before <= at);
            self.calls.insert(later, Call { part, before: at });
            self.items.push(item);
        }
    }

    /// Takes calls for statements; false if there are none.
    pub fn calls_are_statements(&mut self) -> bool {
        let is_call = |item: &mut ItemPart| matches!(item.kind, ItemKind::Call(_));
        let calls: Vec<ItemPart> = self.items.extract_if(.., is_call).collect();
        let any = !calls.is_empty();
        self.words
            .extend(calls.into_iter().flat_map(|item| item.words));
        // From the last on, so that the places of the others stay right.
        for call in std::mem::take(&mut self.calls).into_iter().rev() {
            self.statements.insert(call.before, call.part);
        }
        any
    }

    /// Leaves all items away.
    pub fn without_items(&mut self) {
        self.items.clear();
        self.calls.clear();
    }
}

/// Puts `pub` before the items among tokens, as far as they have no visibility; also in `$( .. )*` and `impl Type { .. }`.
fn publish(tokens: &[TokenTree], edits: &mut Edits) {
    let mut previous: Option<&TokenTree> = None;
    for (at, token) in tokens.iter().enumerate() {
        let begins = previous.is_none_or(|previous| ends_item(previous, at, tokens));
        if begins && begins_item(&tokens[at..]) {
            let start = token.span().byte_range().start;
            edits.push((start..start, PUB.into()));
        }
        if let (true, Some(narrow)) = (begins, for_notebook(&tokens[at..])) {
            edits.push((narrow, PUB_FOR_NARROWER.into()));
        }
        let inner = match (token, previous) {
            (TokenTree::Group(group), Some(dollar)) if is(dollar, '$') => Some(group),
            (TokenTree::Ident(word), _) if begins && word == "impl" => members(&tokens[at..]),
            _ => None,
        };
        if let Some(inner) = inner {
            let inner: Vec<TokenTree> = inner.stream().into_iter().collect();
            publish(&inner, edits);
        }
        previous = Some(token);
    }
}

/// `pub(crate)`, which in a notebook means all its cells.
fn for_notebook(tokens: &[TokenTree]) -> Option<Range<usize>> {
    match tokens {
        [TokenTree::Ident(word), TokenTree::Group(group), ..]
            if word == "pub"
                && group.delimiter() == Delimiter::Parenthesis
                && group.stream().to_string() == "crate" =>
        {
            Some(word.span().byte_range().start..group.span().byte_range().end)
        }
        _ => None,
    }
}

/// Whether an item may begin after a token: after another item, an attribute or a repetition.
fn ends_item(previous: &TokenTree, at: usize, tokens: &[TokenTree]) -> bool {
    match previous {
        TokenTree::Group(group) => group.delimiter() != Delimiter::Parenthesis,
        TokenTree::Punct(punct) => match punct.as_char() {
            ';' => true,
            '*' | '+' | '?' => at >= 2 && matches!(tokens[at - 2], TokenTree::Group(_)),
            _ => false,
        },
        _ => false,
    }
}

fn begins_item(tokens: &[TokenTree]) -> bool {
    let mut words = tokens
        .iter()
        .filter(|token| !matches!(token, TokenTree::Literal(_)));
    let first = words.next().map(ToString::to_string).unwrap_or_default();
    if first == "const" && matches!(tokens.get(1), Some(TokenTree::Ident(_))) {
        return true;
    }
    let qualified = QUALIFY.contains(&&*first);
    let begin = match qualified {
        true => words
            .map(ToString::to_string)
            .find(|word| !QUALIFY.contains(&&**word)),
        false => Some(first),
    };
    begin.is_some_and(|word| BEGIN.contains(&&*word))
}

/// The braces of an `impl` that is not for a trait.
fn members(tokens: &[TokenTree]) -> Option<&Group> {
    let mut tokens = tokens.iter();
    tokens.find_map(|token| match token {
        TokenTree::Ident(word) if word == "for" => Some(None),
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
        _ => None,
    })?
}

fn defined_type(tokens: &[TokenTree]) -> Option<String> {
    let mut pairs = tokens.windows(2);
    let pair = pairs.find(|pair| ["struct", "enum"].contains(&&*pair[0].to_string()))?;
    matches!(pair[1], TokenTree::Ident(_)).then(|| pair[1].to_string())
}

fn is(token: &TokenTree, letter: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == letter)
}

#[cfg(test)]
mod tests {
    use proc_macro2::{TokenStream, TokenTree};

    use super::publish;

    fn published(code: &str) -> String {
        let tokens: Vec<TokenTree> = code.parse::<TokenStream>().unwrap().into_iter().collect();
        let mut edits = Vec::new();
        publish(&tokens, &mut edits);
        let mut text = code.to_owned();
        for (place, insert) in edits.iter().rev() {
            text.replace_range(place.clone(), insert);
        }
        text
    }

    #[test]
    fn items_among_tokens_become_public() {
        for (code, expected) in [
            (
                "#[derive(Debug)] struct Flags: u32 { const A = 1; }",
                "#[derive(Debug)] pub struct Flags: u32 { const A = 1; }",
            ),
            (
                "static ref A: u8 = 1; pub static ref B: u8 = 2;",
                "pub static ref A: u8 = 1; pub static ref B: u8 = 2;",
            ),
            (
                "$(#[$meta])* struct $a; $vis enum $b {} $(fn $c() {})*",
                "$(#[$meta])* pub struct $a; $vis enum $b {} $(pub fn $c() {})*",
            ),
            (
                "unsafe fn a() {} const fn b() {} const C: u8 = 1;",
                "pub unsafe fn a() {} pub const fn b() {} pub const C: u8 = 1;",
            ),
            (
                "impl $a { fn b(&self) {} $(fn $c() {})* } impl $t for $a { fn d() {} }",
                "impl $a { pub fn b(&self) {} $(pub fn $c() {})* } impl $t for $a { fn d() {} }",
            ),
            (
                "pub(crate) struct $a; pub(super) fn b() {} $(pub(crate) const $c: u8 = 1;)*",
                "pub struct $a; pub(super) fn b() {} $(pub const $c: u8 = 1;)*",
            ),
            ("unsafe impl Send for $a {}", "unsafe impl Send for $a {}"),
            ("const { 1 + 1 }", "const { 1 + 1 }"),
            ("x = unsafe { 1 }; x as fn()", "x = unsafe { 1 }; x as fn()"),
        ] {
            assert_eq!(published(code), expected);
        }
    }
}
