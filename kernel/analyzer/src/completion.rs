//! What could stand at a place, best first.

use std::cmp::Reverse;
use std::collections::HashSet;

use carrel_protocol::analysis::{Completion, Question, Reply, is_word, word_start};
use ra_ap_hir::PrefixKind;
use ra_ap_ide_completion::{
    CompletionConfig, CompletionFieldsToResolve, CompletionItem, CompletionItemKind, completions,
};
use ra_ap_ide_db::imports::insert_use::{ImportGranularity, InsertUseConfig};
use ra_ap_ide_db::ra_fixture::RaFixtureConfig;
use ra_ap_ide_db::{FilePosition, SymbolKind};

use crate::notebook::FUNCTION;
use crate::world::{World, after};

/// More than a person looks through.
const MOST: usize = 300;

/// Completions at a byte of the cell, whose code starts at `code`.
pub fn complete(world: &World, code: FilePosition, question: &Question) -> Option<Reply> {
    let items = completions(&world.db, &config(), after(code, question.offset), None);
    let start = word_start(&question.code, question.offset);
    let typed = question.code.get(start..question.offset);
    Some(Reply::Completions(choose(
        items?,
        typed.unwrap_or_default(),
    )))
}

/// Those that go on with what was typed, in order.
fn choose(items: Vec<CompletionItem>, typed: &str) -> Vec<Completion> {
    let folded = typed.to_lowercase();
    let mut ranked: Vec<_> = items
        .into_iter()
        .filter_map(|item| Some((text(&item)?, item)))
        .filter(|(text, _)| text.to_lowercase().starts_with(&folded) && !is_ours(text))
        .collect();
    ranked.sort_by_cached_key(|(text, item)| {
        let other_case = !text.starts_with(typed);
        // Names that begin so are not for people.
        let hidden = text.starts_with('_');
        (
            other_case,
            hidden,
            Reverse(item.relevance.score()),
            text.clone(),
        )
    });
    let mut seen = HashSet::new();
    ranked.retain(|(text, _)| seen.insert(text.clone()));
    ranked.truncate(MOST);
    ranked
        .into_iter()
        .map(|(text, item)| Completion {
            text,
            kind: kind(item.kind).to_owned(),
            signature: item.detail,
        })
        .collect()
}

/// What takes the place of the word, if that is all there is to change.
fn text(item: &CompletionItem) -> Option<String> {
    let mut edits = item.text_edit.iter();
    let edit = edits.next()?;
    if edits.next().is_some() || !item.import_to_add.is_empty() {
        return None;
    }
    // `if ` and `loop { }` are the words.
    let end = edit
        .insert
        .find(|letter| !is_word(letter) && !matches!(letter, '!' | '\'' | '#' | ':'));
    let text = edit.insert[..end.unwrap_or(edit.insert.len())].trim_end_matches(':');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Names that only the notebook's crate has.
fn is_ours(text: &str) -> bool {
    text == FUNCTION
        || text == "writing"
        || text
            .strip_prefix("cell_")
            .is_some_and(|rest| rest.parse::<u32>().is_ok())
}

fn kind(kind: CompletionItemKind) -> &'static str {
    use CompletionItemKind as Kind;
    match kind {
        Kind::SymbolKind(kind) => symbol(kind),
        Kind::Binding => "variable",
        Kind::BuiltinType | Kind::InferredType => "type",
        Kind::Keyword => "keyword",
        Kind::Snippet | Kind::UnresolvedReference | Kind::Expression => "text",
    }
}

fn symbol(kind: SymbolKind) -> &'static str {
    match kind {
        SymbolKind::Function => "function",
        SymbolKind::Method => "method",
        SymbolKind::Field => "field",
        SymbolKind::Local | SymbolKind::ValueParam | SymbolKind::SelfParam => "variable",
        SymbolKind::Struct | SymbolKind::Union => "struct",
        SymbolKind::Enum => "enum",
        SymbolKind::Variant => "variant",
        SymbolKind::Trait => "trait",
        SymbolKind::Module | SymbolKind::CrateRoot | SymbolKind::ToolModule => "module",
        SymbolKind::Macro | SymbolKind::ProcMacro => "macro",
        SymbolKind::Const | SymbolKind::ConstParam | SymbolKind::Static => "constant",
        SymbolKind::TypeAlias | SymbolKind::TypeParam | SymbolKind::SelfType => "type",
        SymbolKind::LifetimeParam => "lifetime",
        SymbolKind::Label => "label",
        SymbolKind::Impl => "impl",
        SymbolKind::Attribute
        | SymbolKind::BuiltinAttr
        | SymbolKind::Derive
        | SymbolKind::DeriveHelper => "attribute",
        SymbolKind::InlineAsmRegOrRegClass => "register",
    }
}

/// Words and nothing around them: no imports, no snippets, no rewriting of what was typed.
fn config() -> CompletionConfig<'static> {
    CompletionConfig {
        enable_postfix_completions: false,
        enable_imports_on_the_fly: false,
        enable_self_on_the_fly: false,
        enable_auto_iter: false,
        enable_auto_await: false,
        enable_private_editable: false,
        enable_term_search: false,
        term_search_fuel: 0,
        full_function_signatures: false,
        callable: None,
        add_colons_to_module: false,
        add_semicolon_to_unit: false,
        snippet_cap: None,
        insert_use: InsertUseConfig {
            granularity: ImportGranularity::Crate,
            enforce_granularity: false,
            prefix_kind: PrefixKind::Plain,
            group: false,
            skip_glob_imports: false,
        },
        prefer_no_std: false,
        prefer_prelude: true,
        prefer_absolute: false,
        snippets: Vec::new(),
        limit: None,
        fields_to_resolve: CompletionFieldsToResolve {
            resolve_documentation: true,
            ..CompletionFieldsToResolve::empty()
        },
        exclude_flyimport: Vec::new(),
        exclude_traits: &[],
        ra_fixture: RaFixtureConfig::default(),
    }
}
