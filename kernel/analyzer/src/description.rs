//! What stands at a place: signature, documentation, and where it comes from.

use carrel_protocol::analysis::{Description, Question, Reply, is_word};
use ra_ap_hir::{DisplayTarget, HasSource, Semantics};
use ra_ap_ide_db::base_db::SourceDatabase;
use ra_ap_ide_db::defs::{Definition, IdentClass};
use ra_ap_ide_db::famous_defs::FamousDefs;
use ra_ap_ide_db::helpers::pick_best_token;
use ra_ap_ide_db::{FileId, FilePosition, RootDatabase};
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode};

use crate::notebook::NAME;
use crate::world::{INSTALL, ROOT, WRITING, World, after};

type Sema<'db> = Semantics<'db, RootDatabase>;

/// Lines of a definition that are shown.
const MOST_LINES: usize = 100;

/// What stands at or before a byte of the cell, whose code starts at `code`.
pub fn describe(
    world: &World,
    code: FilePosition,
    question: &Question,
    detail: bool,
) -> Option<Reply> {
    let sema = Semantics::new(&world.db);
    let found = [
        question.offset,
        word_before(&question.code, question.offset),
    ]
    .into_iter()
    .find_map(|offset| definition_at(&sema, after(code, offset)))
    .and_then(|definition| Some((definition, hover(&sema, definition)?)));
    let Some((definition, mut markdown)) = found else {
        return nothing(world);
    };
    if detail && let Some(source) = source(world, &sema, question, definition) {
        markdown += &source;
    }
    Some(Reply::Description(Description {
        plain: plain(&markdown),
        markdown,
    }))
}

/// A name of the standard library may be what was asked for.
fn nothing(world: &World) -> Option<Reply> {
    if world.has_standard_library {
        return None;
    }
    let text = format!(
        "Nothing is known about this. The sources of the standard library are missing here: {INSTALL}"
    );
    Some(Reply::Description(Description {
        plain: text.replace('`', ""),
        markdown: text,
    }))
}

/// The end of the last word before a byte: of `b` in `sum(a, b, `, of `sum` in `sum(`.
fn word_before(code: &str, offset: usize) -> usize {
    let before = code.get(..offset).unwrap_or(code);
    before.trim_end_matches(|letter| !is_word(letter)).len()
}

fn definition_at<'db>(sema: &Sema<'db>, place: FilePosition) -> Option<Definition<'db>> {
    let file = sema.parse_guess_edition(place.file_id);
    let tokens = file.syntax().token_at_offset(place.offset);
    let token = pick_best_token(tokens, |kind| match kind {
        SyntaxKind::IDENT | SyntaxKind::LIFETIME_IDENT => 2,
        kind if kind.is_trivia() || kind.is_punct() => 0,
        _ => 1,
    })?;
    if let Some((_, _, _, Some(resolution))) =
        sema.check_for_format_args_template(token.clone(), place.offset)
    {
        return Some(Definition::from(resolution));
    }
    let tokens = sema.descend_into_macros(token);
    tokens.iter().find_map(|token| {
        let class = IdentClass::classify_token(sema, token)?;
        class.definitions_no_ops().into_iter().next()
    })
}

/// Path, signature and documentation as Markdown.
fn hover<'db>(sema: &Sema<'db>, definition: Definition<'db>) -> Option<String> {
    let krate = sema.first_crate(WRITING)?;
    let target = DisplayTarget::from_crate(sema.db, krate.into());
    let mut markdown = match path(sema.db, &definition, target) {
        Some(path) => format!("```rust\n{path}\n```\n\n"),
        None => String::new(),
    };
    markdown += &format!("```rust\n{}\n```", definition.label(sema.db, target));
    let famous = FamousDefs(sema, krate);
    if let Some(docs) = definition.docs(sema.db, Some(&famous), target) {
        markdown += &format!("\n\n---\n\n{}", docs.as_str().trim());
    }
    Some(markdown)
}

/// Where a definition of a library belongs: `alloc::vec::Vec`. The notebook's own modules are nothing to people.
fn path(db: &RootDatabase, definition: &Definition<'_>, target: DisplayTarget) -> Option<String> {
    let krate = definition.krate(db)?.display_name(db)?.to_string();
    if krate == NAME {
        return None;
    }
    let modules = definition.canonical_module_path(db)?;
    let owner = match definition.enclosing_definition(db) {
        Some(Definition::SelfType(owner)) => owner.self_ty(db).as_adt().map(|adt| adt.name(db)),
        Some(Definition::Module(_)) | None => None,
        Some(owner) => owner.name(db),
    };
    let names = modules.filter_map(|module| module.name(db)).chain(owner);
    let names = names.map(|name| name.display(db, target.edition).to_string());
    Some(
        [krate]
            .into_iter()
            .chain(names)
            .collect::<Vec<_>>()
            .join("::"),
    )
}

/// Markdown reads well as it is, but for the fences around code.
fn plain(markdown: &str) -> String {
    let lines = markdown.lines().filter(|line| !line.starts_with("```"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Where something is defined, and how, as Markdown.
fn source<'db>(
    world: &World,
    sema: &Sema<'db>,
    question: &Question,
    definition: Definition<'db>,
) -> Option<String> {
    let node = node(sema, definition)?;
    let range = sema.original_range(&node).into_file_id(sema.db);
    let text = sema.db.file_text(range.file_id).text(sema.db);
    let (start, end) = (
        usize::from(range.range.start()),
        usize::from(range.range.end()),
    );
    let place = place(world, question, range.file_id, text.get(..start)?)?;
    let code = shown(text.get(start..end)?);
    Some(format!(
        "\n\n---\n\nDefined in {place}:\n\n```rust\n{code}\n```"
    ))
}

/// A definition without its documentation, which was told, and without the indentation of its lines.
fn shown(source: &str) -> String {
    let is_doc = |line: &&str| line.trim_start().starts_with("///");
    let lines: Vec<&str> = source.lines().skip_while(is_doc).take(MOST_LINES).collect();
    let indentation = lines
        .last()
        .map_or(0, |line| line.len() - line.trim_start().len());
    let unindented = lines
        .iter()
        .map(|line| match line.split_at_checked(indentation) {
            Some((spaces, rest)) if spaces.trim().is_empty() => rest,
            _ => line.trim_start(),
        });
    unindented.collect::<Vec<_>>().join("\n")
}

/// A place as a person names it; `before` is the file's text up to it.
fn place(world: &World, question: &Question, file: FileId, before: &str) -> Option<String> {
    match file {
        WRITING => Some("this cell".to_owned()),
        ROOT => {
            let cells = question.notebook.items.iter();
            let begin = |name: &str| before.rfind(&format!("\npub mod {name} {{\n"));
            let cell = cells.max_by_key(|cell| begin(&cell.name))?;
            Some(cell.title.clone())
        }
        file => {
            let line = before.matches('\n').count() + 1;
            Some(format!("{}:{line}", world.path(file)?.display()))
        }
    }
}

fn node<'db>(sema: &Sema<'db>, definition: Definition<'db>) -> Option<SyntaxNode> {
    fn of<D: HasSource>(sema: &Sema<'_>, definition: D) -> Option<SyntaxNode> {
        Some(sema.source(definition)?.value.syntax().clone())
    }
    match definition {
        Definition::Function(it) => of(sema, it),
        Definition::Adt(it) => of(sema, it),
        Definition::EnumVariant(it) => of(sema, it),
        Definition::Field(it) => of(sema, it),
        Definition::Const(it) => of(sema, it),
        Definition::Static(it) => of(sema, it),
        Definition::Trait(it) => of(sema, it),
        Definition::TypeAlias(it) => of(sema, it),
        Definition::Macro(it) => of(sema, it),
        _ => None,
    }
}
