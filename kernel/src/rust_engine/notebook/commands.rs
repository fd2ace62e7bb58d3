//! Commands: lines that start with `:` before the Rust code of a cell, by the names that users of evcxr know; and those
//! for the shell, which start with `!`.

mod evcxr;

use std::ops::Range;

use carrel_protocol::analysis::{Description, is_word};

pub use self::evcxr::foreign;
use super::Notebook;
use crate::engine::{Completion, MimeBundle};
use crate::rust_engine::dependencies::Request;

#[derive(Debug, PartialEq)]
pub enum Command {
    Dep(Request),
    /// A line for the shell.
    Shell(String),
    Vars,
    Type(String),
    Clear,
    Restart,
    /// None asks for the present level.
    Opt(Option<u8>),
    Timing,
    Help,
    ShowDeps,
    Version,
    LastCompileDir,
    Explain,
    LoadConfig,
    Doc(String),
    /// A variable of the worker's environment, and its value.
    Env(String, String),
    /// One for the compiler and for cargo.
    BuildEnv(String, String),
    /// MiB that the cache of dependencies may take; none asks.
    Cache(Option<u64>),
    ClearCache,
    /// Whether registries are left alone.
    Offline(bool),
    /// A command of evcxr's that has nothing to do here, and why.
    NotNeeded(&'static str),
}

const HELP: &str = "\
:dep CRATE     use a crate, as in a Cargo.toml: `:dep rand`, `:dep rand = \"0.10\"`,
               `:dep serde = { version = \"1\", features = [\"derive\"] }`, `:dep mine = { path = \"../mine\" }`,
               `:dep ../mine`
:offline 1     build of what was downloaded before; `:offline 0` ends that
:cache [MIB]   tell what the crates of :dep take on the disk, or set how much they may
:clear_cache   remove those that no notebook uses
:show_deps     list what was asked for by :dep
:vars          list the variables with their types
:type EXPR     tell the type of an expression without running it (also :t)
:clear         forget all variables, items and dependencies
:restart       start a new worker: variables are gone, items and dependencies stay
:opt [0-3]     set the optimization of cells from here on, or tell it
:timing        switch the times of compilation and run on or off
:doc NAME      show the documentation of a name
:explain       tell more of the last compile error
:env A=B       set an environment variable for cells; :build_env A=B for the compiler and cargo
:load_config   run `init.evcxr` and `prelude.rs` of `~/.config/evcxr` again, as at the start
:version       tell the versions of kernel and compiler
:last_compile_dir  tell the folder where cells are compiled
:help          this list
!LINE          run a line by `sh`, such as `!ls`
";

const NAMES: [&str; 19] = [
    "dep",
    "vars",
    "type",
    "clear",
    "restart",
    "opt",
    "timing",
    "help",
    "show_deps",
    "doc",
    "explain",
    "env",
    "build_env",
    "load_config",
    "version",
    "last_compile_dir",
    "cache",
    "clear_cache",
    "offline",
];

impl Command {
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::Dep(request) => Some(request),
            _ => None,
        }
    }
}

/// A command that cannot be obeyed as it stands.
#[derive(Debug)]
pub struct CommandError {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

/// The commands at the start of a cell and its code, in which their lines are empty: errors in the code are told with
/// the lines that the person sees. What `is_known` knows are names of the notebook, so that `!ready` is Rust.
pub fn split(
    code: &str,
    is_known: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Command>, String), CommandError> {
    let mut commands = Vec::new();
    let mut rest = code.to_owned();
    let lines = lines(code, is_known);
    for line in &lines {
        let text = code[line.clone()].trim();
        if let Some(line) = text.strip_prefix('!') {
            commands.push(Command::Shell(line.trim().to_owned()));
            continue;
        }
        let command = parse(text.trim_start_matches(':')).map_err(|reason| CommandError {
            line: code[..line.start].matches('\n').count() + 1,
            reason,
        });
        commands.push(command?);
    }
    for line in lines.into_iter().rev() {
        rest.replace_range(line, "");
    }
    Ok((commands, rest))
}

/// Commands that go on with the word before a byte; nothing where Rust is to be written.
pub fn complete(code: &str, offset: usize) -> Option<Vec<Completion>> {
    let mut lines = lines(code, &nothing).into_iter();
    let line = lines.find(|line| is_in(offset, line))?;
    let written = code
        .get(line.start..offset)?
        .trim_start()
        .strip_prefix(':')?;
    let names = match written.split_once(char::is_whitespace) {
        Some(("type" | "t", _)) => return None,
        Some(_) => &[],
        None => NAMES.as_slice(),
    };
    let named = names.iter().filter(|name| name.starts_with(written));
    let completion = |name: &&str| Completion {
        text: (*name).to_owned(),
        kind: "command".to_owned(),
        signature: None,
    };
    Some(named.map(completion).collect())
}

/// The code with spaces for what is no Rust, each byte where it was. The expression of a `:type` that the cursor is
/// in is Rust, and what stands behind a `!` there may be.
pub fn blank(code: &str, offset: usize) -> String {
    let mut blank = code.to_owned();
    for line in lines(code, &nothing) {
        let text = code[line.clone()].trim_start();
        if text.starts_with('!') && is_in(offset, &line) {
            continue;
        }
        let r#type = [":type ", ":t "]
            .into_iter()
            .find(|name| text.starts_with(name));
        let end = match r#type {
            Some(name) if is_in(offset, &line) => line.end - text.len() + name.len(),
            _ => line.end,
        };
        blank.replace_range(line.start..end, &" ".repeat(end - line.start));
    }
    blank
}

/// The lines of the commands at the start of a cell, without their ends. Comments may stand between them.
fn lines(code: &str, is_known: &dyn Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let text = line.trim();
        match text.strip_prefix(':') {
            Some(command) if !command.starts_with(':') => {
                lines.push(start..start + line.trim_end_matches('\n').len());
            }
            None if is_shell(line, is_known) => {
                lines.push(start..start + line.trim_end_matches('\n').len());
            }
            _ if text.is_empty() || text.starts_with("//") => {}
            _ => break,
        }
        start += line.len();
    }
    lines
}

/// Whether a line is for the shell. Not all that starts with `!` is: Rust are `!ready`, where the notebook has that name,
/// `!f()`, `!std::..`, `!matches!(..)`, `!(..)` and `!0`.
pub fn is_shell(line: &str, is_known: &dyn Fn(&str) -> bool) -> bool {
    let Some(rest) = line.strip_prefix('!').map(str::trim) else {
        return false;
    };
    let end = rest.find(|letter| !is_word(letter));
    let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
    let starts_as_rust = |first: char| "(*&".contains(first) || first.is_ascii_digit();
    !rest.is_empty()
        && !rest.starts_with(starts_as_rust)
        && !is_known(word)
        && (word.is_empty() || !["(", "::", "!"].iter().any(|sign| after.starts_with(sign)))
}

/// Where the names of the notebook are not at hand.
pub fn nothing(_: &str) -> bool {
    false
}

fn is_in(offset: usize, line: &Range<usize>) -> bool {
    (line.start..=line.end).contains(&offset)
}

fn parse(text: &str) -> Result<Command, String> {
    let (name, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let argument = argument.trim();
    let command = match name {
        "type" | "t" if argument.is_empty() => {
            return Err(format!(":{name} needs an expression: `:{name} 1 + 1`"));
        }
        "type" | "t" => return Ok(Command::Type(argument.to_owned())),
        "doc" if argument.is_empty() => return Err(":doc needs a name: `:doc Vec`".to_owned()),
        "doc" => return Ok(Command::Doc(argument.to_owned())),
        "env" => return variable(name, argument).map(|(name, to)| Command::Env(name, to)),
        "build_env" => {
            return variable(name, argument).map(|(name, to)| Command::BuildEnv(name, to));
        }
        // `--quiet` is how evcxr starts.
        "load_config" => return Ok(Command::LoadConfig),
        "opt" => return level(argument),
        "cache" => return size(argument),
        "offline" => return Ok(Command::Offline(argument == "1")),
        "dep" => return Request::parse(argument).map(Command::Dep),
        "vars" => Command::Vars,
        "clear" => Command::Clear,
        "restart" => Command::Restart,
        "timing" => Command::Timing,
        "help" => Command::Help,
        "show_deps" => Command::ShowDeps,
        "version" => Command::Version,
        "last_compile_dir" => Command::LastCompileDir,
        "explain" => Command::Explain,
        "clear_cache" => Command::ClearCache,
        _ if let Some(why) = evcxr::not_needed(name) => return Ok(Command::NotNeeded(why)),
        _ => {
            let nearest = NAMES
                .into_iter()
                .min_by_key(|known| strsim::levenshtein(name, known));
            let nearest = nearest.unwrap_or("help");
            return Err(format!(
                "there is no command `:{name}`; the nearest is `:{nearest}`, and `:help` lists all"
            ));
        }
    };
    match argument.is_empty() {
        true => Ok(command),
        false => Err(format!(":{name} takes no argument, but got `{argument}`")),
    }
}

fn level(argument: &str) -> Result<Command, String> {
    match argument {
        "" => Ok(Command::Opt(None)),
        "0" | "1" | "2" | "3" => Ok(Command::Opt(argument.parse().ok())),
        _ => Err(format!(":opt takes 0, 1, 2 or 3, not `{argument}`")),
    }
}

fn size(argument: &str) -> Result<Command, String> {
    match argument.parse() {
        Ok(mib) => Ok(Command::Cache(Some(mib))),
        Err(_) if argument.is_empty() => Ok(Command::Cache(None)),
        Err(_) => Err(format!(":cache takes a number of MiB, not `{argument}`")),
    }
}

fn variable(command: &str, argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !argument.contains('\0') => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(format!(
            ":{command} takes a variable with its value, as `:{command} NAME=VALUE`, not `{argument}`"
        )),
    }
}

pub fn help() -> MimeBundle {
    MimeBundle::plain(HELP.to_owned())
}

/// The variables as a table.
pub fn vars(notebook: &Notebook) -> MimeBundle {
    if notebook.variables.is_empty() {
        return MimeBundle::plain("no variables".to_owned());
    }
    let rows = || {
        let variables = notebook.variables.iter();
        variables.map(|(name, variable)| (name, variable.r#type.plain()))
    };
    let width = rows().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or_default();
    let lines: Vec<_> = rows()
        .map(|(name, r#type)| format!("{name:width$}  {type}"))
        .collect();
    let cells: String = rows()
        .map(|(name, r#type)| {
            let r#type = r#type.replace('&', "&amp;").replace('<', "&lt;");
            format!("<tr><td>{name}</td><td>{type}</td></tr>")
        })
        .collect();
    let mut bundle = MimeBundle::plain(lines.join("\n"));
    let html = format!("<table><tr><th>Variable</th><th>Type</th></tr>{cells}</table>");
    bundle.data.insert("text/html".to_owned(), html.into());
    bundle
}

/// What the analyzer tells of a name.
pub fn described(description: Description) -> MimeBundle {
    let mut bundle = MimeBundle::plain(description.plain);
    let markdown = description.markdown.into();
    bundle.data.insert("text/markdown".to_owned(), markdown);
    bundle
}

#[cfg(test)]
mod tests {
    use super::{Command, CommandError, blank, complete};

    fn split(code: &str) -> Result<(Vec<Command>, String), CommandError> {
        super::split(code, &|name| name == "ready")
    }

    #[test]
    fn a_line_for_the_shell_is_told_from_rust() {
        let (commands, code) = split("!ls -la\n:vars\n! echo '!'\n1").unwrap();
        let shell = |line: &str| Command::Shell(line.to_owned());
        let expected = [shell("ls -la"), Command::Vars, shell("echo '!'")];
        assert_eq!((&*commands, &*code), (&expected[..], "\n\n\n1"));
        for line in ["!./run", "!false", "!x=1", "![ -e x ]", "!$SHELL"] {
            let (commands, _) = split(line).unwrap();
            assert_eq!(commands.len(), 1, "{line}");
        }
        for code in [
            "!ready",
            "!ready && !set()",
            "!(1 > 2)",
            "!0u8",
            "!f()",
            "!std::env::args().any(|_| true)",
            "!matches!(1, 2)",
            " !ls",
            "1\n!ls",
            "!",
        ] {
            let (commands, rest) = split(code).unwrap();
            assert!(commands.is_empty() && rest == code, "{code}");
        }
        assert_eq!(blank("!ls\na.b", 7), "   \na.b");
        assert_eq!(blank("!ready.a\nb", 8), "!ready.a\nb");
    }

    #[test]
    fn commands_leave_the_lines_of_the_code_in_place() {
        let (commands, code) = split("\n:vars\n:t 1 + 1\nlet x = 1;\n:no").unwrap();
        assert_eq!(commands, [Command::Vars, Command::Type("1 + 1".to_owned())]);
        assert_eq!(code, "\n\n\nlet x = 1;\n:no");
        let (commands, code) = split("\n::std::mem::drop(1)").unwrap();
        assert!(commands.is_empty());
        assert_eq!(code, "\n::std::mem::drop(1)");
    }

    #[test]
    fn commands_complete_by_name_and_are_blank_for_rust() {
        let names = |code: &str, offset| {
            let found = complete(code, offset)?;
            Some(found.into_iter().map(|name| name.text).collect::<Vec<_>>())
        };
        assert_eq!(names(":va", 3).unwrap(), ["vars"]);
        assert_eq!(names("\n  :t", 5).unwrap(), ["type", "timing"]);
        assert_eq!(names(":dep se", 7).unwrap(), [""; 0]);
        assert_eq!(names(":t 1.a", 6), None);
        assert_eq!(names(":vars\nlet x", 8), None);
        assert_eq!(names("::std", 5), None);
        assert_eq!(blank(":dep é\n:t a.b\nc", 12), "       \n   a.b\nc");
        assert_eq!(blank(":dep é\n:t a.b\nc", 16), "       \n      \nc");
    }

    #[test]
    fn a_comment_may_precede_commands_and_stays() {
        let (commands, code) = split("// first\n:vars\n/// one\nfn one() {}").unwrap();
        assert_eq!(commands, [Command::Vars]);
        assert_eq!(code, "// first\n\n/// one\nfn one() {}");
        assert_eq!(split("\n// first\n:nosuch").unwrap_err().line, 3);
    }
}
