//! The source that a cell is compiled as: its items at top level, its statements in a closure in one function.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::parse::{Parsed, Part, TICK};
use super::source::{Mark, Source};
use super::type_text::TypeText;
use super::types::{CLOSURE, KEPT};

const RUNTIME: &str = "::carrel_runtime";

/// What the notebook adds to a cell.
pub struct Surroundings<'a> {
    /// Unique name of the cell's crate and of its function.
    pub name: &'a str,
    /// Inner attributes of earlier cells.
    pub attributes: &'a str,
    /// Imports of what it sees.
    pub imports: &'a str,
    /// Declarations of modules with earlier cells that are compiled again in this crate.
    pub modules: &'a str,
    /// Types that variables have with those modules.
    pub carries: &'a BTreeMap<String, TypeText>,
    /// Variables that it mentions.
    pub variables: BTreeMap<&'a str, Variable>,
    /// Lines that an earlier attempt showed to be wrong, such as giving back a variable that was moved.
    pub without: &'a HashSet<Mark>,
    /// Its variables that borrow from others and are not kept.
    pub borrowers: &'a HashSet<&'a str>,
    /// What earlier cells export by names of their own.
    pub symbols: &'a HashSet<String>,
    /// Boxes to keep closures in, by number of the variable; known from an earlier attempt.
    pub boxes: &'a HashMap<usize, String>,
    /// Its statements wait for futures.
    pub awaits: bool,
    /// Values may show themselves in evcxr's way.
    pub evcxr: bool,
    /// Its `?` has errors that only have `Debug`.
    pub debug_errors: bool,
    /// Its value shows itself by `Debug` alone.
    pub debug_value: bool,
    /// It may need the tokio runtime, also when it waits for nothing itself.
    pub tokio: bool,
}

/// A variable of an earlier cell.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its type as later cells name it.
    pub r#type: TypeText,
    pub mutable: bool,
}

/// Writes the source.
pub fn generate(code: &str, parsed: &Parsed, around: &Surroundings<'_>) -> Source {
    let mut source = Source::default();
    for attribute in &parsed.attributes {
        source.piece(code, attribute.clone());
        source.line("");
    }
    source.insert(around.attributes);
    source.insert(around.modules);
    source.line(around.imports);
    for item in &parsed.items {
        let part = item.with_own_symbols(around.name, |symbol| around.symbols.contains(symbol));
        piece(&mut source, code, &part);
        source.line("");
        if let Some(range) = &item.rich {
            source.line(&register_rich(&code[range.clone()]));
        }
    }
    if !parsed.has_statements() && around.carries.is_empty() {
        return source;
    }
    source.line(&format!(
        "#[unsafe(no_mangle)] pub fn {}(__scope: &mut {RUNTIME}::Scope) -> {RUNTIME}::Ended {{",
        around.name
    ));
    take(&mut source, around);
    // A closure borrows what the statements only use, so that it is still there after a panic. A function is compiled
    // sooner.
    let function = format!(
        "fn __body(__scope: &mut {RUNTIME}::Scope) -> ::core::result::Result<(), {RUNTIME}::CellError> {{"
    );
    let (begin, end) = match (around.awaits, around.variables.is_empty()) {
        (true, _) => ("let __ended = __scope.run_async(async |__scope| {", "});"),
        (false, false) => ("let __ended = __scope.run(|__scope| {", "});"),
        (false, true) => (&*function, "} let __ended = __scope.run_function(__body);"),
    };
    let (begin_errors, end_errors) = match (around.debug_errors, around.awaits) {
        (false, _) => (String::new(), String::new()),
        (true, awaits) => debug_errors(awaits),
    };
    source.line(begin);
    source.insert(&begin_errors);
    if around.tokio && !around.awaits {
        source.line(&format!("{RUNTIME}::enter()?;"));
    }
    statements(&mut source, code, parsed, around);
    keep(&mut source, parsed, around);
    source.line(&format!("::core::result::Result::Ok(()) {end_errors}{end}"));
    for name in around.variables.keys() {
        let mark = Mark::Restore((*name).to_owned());
        if !around.without.contains(&mark) {
            source.marked_line(mark, &format!("__scope.restore(\"{name}\", {name});"));
        }
    }
    source.line("__ended }");
    source
}

/// Carries variables into the crate, and takes those that the cell mentions.
fn take(source: &mut Source, around: &Surroundings<'_>) {
    for (name, r#type) in around.carries {
        let mark = Mark::Carry(name.clone());
        if !around.without.contains(&mark) {
            let line = format!("unsafe {{ __scope.carry::<{type}>(\"{name}\") }};");
            source.marked_line(mark, &line);
        }
    }
    for (name, variable) in &around.variables {
        let mutable = if variable.mutable { "mut " } else { "" };
        let r#type = &variable.r#type;
        let line = format!("let {mutable}{name}: {type} = __scope.take::<{type}>(\"{name}\");");
        source.marked_line(Mark::Take((*name).to_owned()), &line);
    }
}

/// Ends the variables that borrow, and keeps the others.
fn keep(source: &mut Source, parsed: &Parsed, around: &Surroundings<'_>) {
    // A guard with a destructor would borrow to the end.
    for binding in parsed.bindings.iter().rev() {
        let mark = Mark::End(binding.name.clone());
        if around.borrowers.contains(&*binding.name) && !around.without.contains(&mark) {
            source.marked_line(mark, &format!("{{ let __ended = {}; }}", binding.name));
        }
    }
    for (number, binding) in parsed.bindings.iter().enumerate() {
        let name = &binding.name;
        let mark = Mark::Keep(name.clone());
        if around.without.contains(&mark) {
            continue;
        }
        let line = match around.boxes.get(&number) {
            Some(boxed) => format!(
                "let {KEPT}{number} = __scope.keep::<{boxed}>(\"{name}\", ::std::boxed::Box::new({name}));"
            ),
            // It tells how to keep it.
            None if binding.closure => format!(
                "let {KEPT}{number} = {RUNTIME}::signature(&{name}); let {CLOSURE}{number} = &raw const {name};"
            ),
            None => format!("let {KEPT}{number} = __scope.keep(\"{name}\", {name});"),
        };
        source.marked_line(mark, &line);
    }
}

/// A function of their own around the statements, whose `?` takes what only has `Debug`.
fn debug_errors(awaits: bool) -> (String, String) {
    let result = format!("::core::result::Result<(), {RUNTIME}::DebugError>");
    let told = format!(".map_err({RUNTIME}::DebugError::into_cell_error)");
    match awaits {
        true => (
            format!("let __result: {result} = async {{\n"),
            format!("}}.await; __result{told} "),
        ),
        false => (
            format!("(|__scope: &mut {RUNTIME}::Scope| -> {result} {{\n"),
            format!("}})(__scope){told} "),
        ),
    }
}

/// Tells the runtime, as the library is loaded, that a type is `Rich`; unless the trait is another one of that name.
fn register_rich(r#type: &str) -> String {
    format!(
        "const _: () = {{ extern \"C\" fn register() {{ use {RUNTIME}::{{RegisterRich as _, RegisterNothing as _}}; \
         (&{RUNTIME}::Register::<{type}>(::core::marker::PhantomData)).__carrel_register() }} \
         #[used] #[unsafe(link_section = \".init_array\")] static REGISTER: extern \"C\" fn() = register; }};"
    )
}

/// The source for a cell whose parts are not known, to have the compiler tell what is wrong with it.
pub fn unparsed(code: &str, balanced: bool) -> Source {
    let mut source = Source::default();
    // Around brackets that are not in order, ours would be taken for theirs.
    if balanced {
        source.line("fn cell() {");
    }
    source.piece(code, 0..code.len());
    if balanced {
        source.line("");
        source.line("}");
    }
    source
}

/// A part of a cell with its edits.
pub fn piece(source: &mut Source, code: &str, part: &Part) {
    let mut start = part.range.start;
    for (place, text) in &part.edits {
        source.piece(code, start..place.start);
        source.insert(text);
        start = place.end;
    }
    source.piece(code, start..part.range.end);
}

fn statements(source: &mut Source, code: &str, parsed: &Parsed, around: &Surroundings<'_>) {
    for statement in &parsed.statements {
        piece(source, code, statement);
        // On a line of its own: a statement may end with a comment.
        source.line("");
        source.point(statement.range.end);
        source.line(TICK);
    }
    if let Some(value) = &parsed.value {
        // A `match` keeps temporaries of the expression alive while it is shown, and `ref` moves nothing.
        // To the compiler the parentheses are part of it.
        source.insert("match ");
        source.point(value.range.start);
        source.line("(");
        piece(source, code, value);
        source.insert("\n)");
        source.point(value.range.end);
        source.line(" { ref __value => {");
        if around.evcxr && !around.debug_value {
            source.line(&format!(
                "use {RUNTIME}::Evcxr as _; if {RUNTIME}::is_not_shown(&__value.evcxr_display())"
            ));
        }
        // What shows it looks for an interrupt too.
        source.point(value.range.end);
        source.line(&match around.debug_value {
            true => format!("{RUNTIME}::show_debug(__value, __scope); }} }}"),
            false => format!(
            "{{ use {RUNTIME}::{{AsCommon as _, AsRich as _, AsList as _, AsDebug as _, AsNothing as _}}; \
             (&&&&&{RUNTIME}::Show(__value)).__carrel_show(__scope); }} }} }}"
            ),
        });
        // The value may have slept, and no more than that.
        source.point(value.range.end);
        source.line(TICK);
    }
}
