//! One call of the compiler and one of the linker per cell; never cargo, never rustup's proxy.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use carrel_cell::diagnostics::{CellSource, Diagnostic};
use carrel_cell::parse::Parsed;
use carrel_cell::types::CrateNames;
use tokio::process::Command;

use super::rustc::{Rustc, crate_names, joined};
use crate::paths::is_on_path;
use crate::rust_engine::dependencies::Crates;
use crate::rust_engine::prebuilt::installation::{DEPENDENCIES, LIBRARY, Prelude, RUNTIME};

/// Compiler, linker and the folder where cells are compiled.
#[derive(Debug)]
pub struct Toolchain {
    pub prelude: Prelude,
    pub rustc: Rustc,
    linker: Vec<OsString>,
    /// Arguments that make the prepared crates known.
    externs: Vec<OsString>,
    /// The prepared crates that cells can name.
    named: Vec<(&'static str, PathBuf)>,
    /// Names of all crates that those are made with.
    prepared: HashSet<String>,
    /// The crates of `:dep`. One of the name of a prepared crate stands before it.
    pub dependencies: Crates,
    folder: PathBuf,
    /// 0 to 3, as rustc has it.
    pub opt_level: u8,
}

/// A cell to compile: `<name>.rs` in the toolchain's folder.
pub struct Job<'a> {
    pub name: &'a str,
    pub source: &'a str,
    /// Further files of its crate, by name.
    pub modules: &'a [CellSource],
    /// Crates of earlier cells that it may name.
    pub crates: &'a [String],
    /// Native libraries that it names.
    pub links: &'a [String],
    /// It defines items that later cells use.
    pub has_items: bool,
    /// It declares variables, whose types are read from the compiler's MIR.
    pub has_bindings: bool,
}

/// A compiled cell.
#[derive(Debug, Default)]
pub struct Compiled {
    pub library: PathBuf,
    /// Text of the MIR, if asked for.
    pub mir: String,
    pub warnings: Vec<Diagnostic>,
    /// The crates that it could name, as `name=file`.
    pub externs: Vec<String>,
}

#[derive(Debug)]
pub enum CompileError {
    /// The cell is at fault: these are errors and warnings.
    Diagnostics(Vec<Diagnostic>),
    /// The linker does not find a native library.
    NoLibrary(String),
    /// The compiler crashed.
    Crash(String),
    /// The compiler or the linker could not do its work.
    Tool(String),
}

impl Toolchain {
    pub fn new(prelude: Prelude, folder: PathBuf) -> Result<Self, String> {
        let unreadable =
            |error: std::io::Error| format!("cannot read {}: {error}", prelude.folder.display());
        Ok(Self {
            linker: find_linker()?,
            externs: externs(&prelude),
            named: prelude.named_crates().map_err(unreadable)?,
            prepared: crate_names(&prelude.folder.join(DEPENDENCIES)).map_err(unreadable)?,
            dependencies: Crates::default(),
            rustc: Rustc::new(prelude.rustc.clone(), folder.clone()),
            prelude,
            folder,
            opt_level: 0,
        })
    }

    /// Names of the crates of a cell that has no module of the name.
    pub fn crates(&self, cell: &Parsed) -> CrateNames<'_> {
        let prepared = self.named.iter().map(|(name, _)| *name);
        let dependencies = self.dependencies.named.keys().map(String::as_str);
        let named: HashSet<&str> = prepared.chain(dependencies).collect();
        let all = self.prepared.iter().chain(&self.dependencies.hidden);
        let is_own = |name: &str| {
            let mut items = cell.items.iter();
            items.any(|item| item.defines.as_deref() == Some(name))
        };
        let hidden = all
            .map(String::as_str)
            .filter(|name| !named.contains(name) && !is_own(name))
            .collect();
        CrateNames { named, hidden }
    }

    /// Whether cells can name a crate, with `extern crate` or without.
    pub fn has_crate(&self, name: &str) -> bool {
        let without = [
            "std",
            "core",
            "alloc",
            "proc_macro",
            "test",
            "self",
            "carrel_prelude",
            "carrel_runtime",
        ];
        without.contains(&name)
            || name.starts_with("cell_")
            || self.named.iter().any(|(prepared, _)| *prepared == name)
            || self.dependencies.named.contains_key(name)
    }

    /// Where cells are compiled.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn linker(&self) -> Option<&OsString> {
        self.linker.first()
    }

    /// Compiles and links. Dropping the future kills the tools.
    pub async fn compile(&self, job: &Job<'_>) -> Result<Compiled, CompileError> {
        let warnings = self.rustc(job).await?;
        let library = match job.links {
            [] => self.link(job.name).await?,
            links => self.link_fully(job.name, links).await?,
        };
        let mir = match job.has_bindings {
            true => {
                let path = self.folder.join(format!("{}.mir", job.name));
                tokio::fs::read_to_string(&path)
                    .await
                    .map_err(tool_error("read", &path))?
            }
            false => String::new(),
        };
        Ok(Compiled {
            library,
            mir,
            warnings,
            externs: externs_in(&self.arguments(job)),
        })
    }

    async fn rustc(&self, job: &Job<'_>) -> Result<Vec<Diagnostic>, CompileError> {
        let file = format!("{}.rs", job.name);
        let modules = job.modules.iter();
        let modules = modules.map(|module| (&module.file, module.source.text()));
        for (file, text) in modules.chain([(&file, job.source)]) {
            let path = self.folder.join(file);
            tokio::fs::write(&path, text)
                .await
                .map_err(tool_error("write", &path))?;
        }
        let mut arguments = self.arguments(job);
        arguments.push(file.into());
        let output = self.rustc.run(&arguments).await;
        let output = output.map_err(tool_error("run", &self.rustc.program))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let (diagnostics, rest) = Diagnostic::parse_all(&stderr);
        if output.status.success() {
            return Ok(diagnostics);
        }
        let no_errors = !diagnostics.iter().any(Diagnostic::is_error);
        let status = output.status;
        if let (true, Some(signal)) = (no_errors, status.signal()) {
            return Err(CompileError::Crash(format!(
                "the compiler was ended by signal {signal}, as by code that is nested too deeply for it"
            )));
        }
        if no_errors {
            return Err(CompileError::Tool(format!(
                "the compiler failed ({status}): {rest}"
            )));
        }
        Err(CompileError::Diagnostics(diagnostics))
    }

    fn arguments(&self, job: &Job<'_>) -> Vec<OsString> {
        let emit = match (job.has_items, job.has_bindings) {
            (false, false) => "obj",
            (false, true) => "obj,mir",
            (true, false) => "obj,metadata",
            (true, true) => "obj,metadata,mir",
        };
        let mut arguments: Vec<OsString> = [
            "--crate-name",
            job.name,
            "--crate-type=lib",
            "--edition=2024",
            "--error-format=json",
            "-Ccodegen-units=1",
            "-Cdebuginfo=0",
            // A notebook's names come and go; what is unused in one cell is used in the next.
            "-Aunused",
            "-Wunused_must_use",
            // They tell what to rank, whatever the cell allows.
            "--force-warn=ambiguous_glob_imports",
            "--force-warn=ambiguous_glob_reexports",
            "--emit",
            emit,
            "-L",
        ]
        .map(OsString::from)
        .to_vec();
        arguments.push("dependency=.".into());
        arguments.push(format!("-Copt-level={}", self.opt_level).into());
        arguments.extend_from_slice(&self.externs);
        let dependencies = &self.dependencies;
        let prepared = self.named.iter().map(|(name, file)| (*name, file));
        let prepared = prepared.filter(|(name, _)| !dependencies.named.contains_key(*name));
        let named = dependencies
            .named
            .iter()
            .map(|(name, file)| (name.as_str(), file));
        for (name, file) in prepared.chain(named) {
            arguments.push("--extern".into());
            arguments.push(joined(&format!("{name}="), file));
        }
        for folder in &dependencies.folders {
            arguments.push("-L".into());
            arguments.push(joined("dependency=", folder));
        }
        for name in job.crates {
            arguments.push("--extern".into());
            arguments.push(format!("{name}=lib{name}.rmeta").into());
        }
        arguments
    }

    /// Symbols of the runtime and of earlier cells stay undefined here; they are found when the cell is loaded.
    async fn link(&self, name: &str) -> Result<PathBuf, CompileError> {
        let [program, arguments @ ..] = self.linker.as_slice() else {
            return Err(CompileError::Tool("no linker".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        self.run_linker(command, name, &format!("{name}.so"), &[])
            .await
    }

    /// Links with the C compiler's own libraries and others, when the quick way did not find a symbol.
    pub async fn link_fully(&self, name: &str, links: &[String]) -> Result<PathBuf, CompileError> {
        let mut command = Command::new("cc");
        command.arg("-Wl,--eh-frame-hdr");
        let libraries: Vec<String> = links.iter().map(|link| format!("-l{link}")).collect();
        // Another name, for the first was perhaps loaded.
        self.run_linker(command, name, &format!("{name}.full.so"), &libraries)
            .await
    }

    async fn run_linker(
        &self,
        mut command: Command,
        name: &str,
        library: &str,
        libraries: &[String],
    ) -> Result<PathBuf, CompileError> {
        let library = self.folder.join(library);
        let object = self.folder.join(format!("{name}.o"));
        command
            .args(["-shared", "-o"])
            .arg(&library)
            .arg(object)
            .args(libraries);
        let program = PathBuf::from(command.as_std().get_program());
        let output = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let output = output.map_err(tool_error("run", &program))?;
        if output.status.success() {
            return Ok(library);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut words = stderr.split_whitespace();
        if let Some(missing) = words.find_map(|word| word.strip_prefix("-l")) {
            let missing = missing.trim_end_matches(':').to_owned();
            return Err(CompileError::NoLibrary(missing));
        }
        Err(CompileError::Tool(format!(
            "the linker failed ({}): {stderr}",
            output.status
        )))
    }
}

fn externs(prelude: &Prelude) -> Vec<OsString> {
    let folder = &prelude.folder;
    vec![
        "-L".into(),
        joined("dependency=", folder),
        "-L".into(),
        joined("dependency=", &folder.join(DEPENDENCIES)),
        "--extern".into(),
        joined("carrel_prelude=", &folder.join(LIBRARY)),
        "--extern".into(),
        joined("carrel_runtime=", &folder.join(RUNTIME)),
    ]
}

/// What follows each `--extern`.
fn externs_in(arguments: &[OsString]) -> Vec<String> {
    let pairs = arguments.windows(2);
    let externs = pairs.filter(|pair| pair[0] == "--extern");
    externs
        .map(|pair| pair[1].to_string_lossy().into_owned())
        .collect()
}

/// What linkers call the machine.
const EMULATION: &str = match cfg!(target_arch = "aarch64") {
    true => "aarch64linux",
    false => "elf_x86_64",
};

/// The quickest linker there is. Without `--eh-frame-hdr` a panic could not unwind.
/// The quickest that is on PATH, with its arguments.
pub fn find_linker() -> Result<Vec<OsString>, String> {
    let choices: [&[&str]; 4] = [
        &["ld.bfd", "--eh-frame-hdr"],
        &["ld", "--eh-frame-hdr"],
        &["mold", "-m", EMULATION, "--eh-frame-hdr"],
        &["cc"],
    ];
    choices
        .into_iter()
        .find(|choice| is_on_path(choice[0]))
        .map(|choice| choice.iter().map(OsString::from).collect())
        .ok_or_else(|| {
            "no linker is on PATH: `apt install binutils` or `dnf install binutils`".to_owned()
        })
}

fn tool_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CompileError {
    let path = path.to_owned();
    move |error| CompileError::Tool(format!("cannot {what} {}: {error}", path.display()))
}
