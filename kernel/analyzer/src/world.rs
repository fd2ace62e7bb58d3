//! rust-analyzer's database: sources of the libraries, read once, and the notebook as it is now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use carrel_protocol::analysis::{CrateGraph, CrateSource, Notebook, standard_library};
use ra_ap_hir::{CfgOptions, ChangeWithProcMacros};
use ra_ap_ide_db::base_db::{
    AbsPathBuf, CrateBuilderId, CrateDisplayName, CrateGraphBuilder, CrateName, CrateOrigin,
    CrateWorkspaceData, DependencyBuilder, Env, FileSet, LangCrateOrigin, SourceRoot, Version,
    VfsPath,
};
use ra_ap_ide_db::span::Edition;
use ra_ap_ide_db::{FileId, FilePosition, RootDatabase};
use ra_ap_syntax::TextSize;

use crate::library;
use crate::notebook::{self, NAME};

/// Files of the notebook's crate.
pub const ROOT: FileId = FileId::from_raw(0);
pub const WRITING: FileId = FileId::from_raw(1);

#[derive(Debug)]
pub struct World {
    pub db: RootDatabase,
    /// The crate graphs that it was loaded from.
    pub crates: Vec<PathBuf>,
    pub has_standard_library: bool,
    root: String,
    files: HashMap<PathBuf, FileId>,
}

impl World {
    /// Reads all sources.
    pub fn load(sysroot: &Path, crates: &[PathBuf]) -> Self {
        let mut loading = Loading::new(library::platform(sysroot));
        let standard = standard_library(sysroot);
        if standard.is_none() {
            eprintln!(
                "carrel-analyzer: completion knows no standard library, its sources are missing: {INSTALL}"
            );
        }
        if let Some(folder) = &standard {
            loading.standard_library(folder);
        }
        // A later graph has the crates that a person asked for in place of prepared ones.
        let mut visible = BTreeMap::new();
        for graph in library::crate_graphs(crates) {
            visible.extend(loading.crate_graph(&graph));
        }
        loading.notebook(visible);
        let mut db = RootDatabase::new(None);
        let (change, files) = loading.finish();
        db.apply_change(change);
        Self {
            db,
            crates: crates.to_owned(),
            has_standard_library: standard.is_some(),
            root: String::new(),
            files,
        }
    }

    /// Where a library's file is on disk.
    pub fn path(&self, file: FileId) -> Option<&Path> {
        let mut files = self.files.iter();
        files
            .find(|(_, other)| **other == file)
            .map(|(path, _)| path.as_path())
    }

    /// Lets the database see a notebook and the code of a new cell; gives the place of the code's first byte.
    pub fn show(&mut self, notebook: &Notebook, code: &str) -> FilePosition {
        let root = notebook::root(notebook);
        let (writing, start) = notebook::writing(notebook, code);
        let mut change = ChangeWithProcMacros::default();
        if root != self.root {
            change.change_file(ROOT, Some(root.clone()));
            self.root = root;
        }
        change.change_file(WRITING, Some(writing));
        self.db.apply_change(change);
        FilePosition {
            file_id: WRITING,
            offset: TextSize::try_from(start).unwrap_or_default(),
        }
    }
}

/// The place so many bytes after another.
pub fn after(place: FilePosition, bytes: usize) -> FilePosition {
    FilePosition {
        offset: place.offset + TextSize::try_from(bytes).unwrap_or_default(),
        ..place
    }
}

/// How a person gets the sources of the standard library.
pub const INSTALL: &str =
    "install them by `rustup component add rust-src`, or on Debian by `apt install rust-web-src`";

/// What is collected before the database is set.
struct Loading {
    change: ChangeWithProcMacros,
    roots: Vec<SourceRoot>,
    graph: CrateGraphBuilder,
    platform: CfgOptions,
    /// By path: crates may share their folder.
    loaded: HashMap<PathBuf, FileId>,
    /// By root module: crates that the crate offers or is written with.
    needs: HashMap<FileId, HashSet<String>>,
    next_file: u32,
    standard: Vec<(&'static str, CrateBuilderId)>,
}

impl Loading {
    fn new(platform: CfgOptions) -> Self {
        let mut files = FileSet::default();
        let name = |file: &str| VfsPath::new_virtual_path(format!("/{NAME}/{file}.rs"));
        files.insert(ROOT, name("lib"));
        files.insert(WRITING, name("writing"));
        let mut change = ChangeWithProcMacros::default();
        change.change_file(ROOT, Some(String::new()));
        change.change_file(WRITING, Some(String::new()));
        Self {
            change,
            roots: vec![SourceRoot::new_local(files)],
            graph: CrateGraphBuilder::default(),
            platform,
            loaded: HashMap::new(),
            needs: HashMap::new(),
            next_file: 2,
            standard: Vec::new(),
        }
    }

    fn standard_library(&mut self, folder: &Path) {
        for (name, origin) in [
            ("core", LangCrateOrigin::Core),
            ("alloc", LangCrateOrigin::Alloc),
            ("std", LangCrateOrigin::Std),
        ] {
            let Some(file) = self.read(&folder.join(name).join("src/lib.rs"), |_| {}) else {
                continue;
            };
            let platform = self.platform.clone();
            let added = self.add(
                file,
                name,
                Edition::Edition2024,
                platform,
                CrateOrigin::Lang(origin),
                false,
            );
            self.depend_on_standard(added);
            self.standard.push((name, added));
        }
    }

    /// Adds the crates that cells can name, and those that they offer or are written with; gives the former.
    fn crate_graph(&mut self, graph: &CrateGraph) -> Vec<(String, CrateBuilderId)> {
        let mut added = vec![None; graph.crates.len()];
        let visible = graph.crates.iter().enumerate();
        let visible = visible.filter(|(_, source)| !source.names.is_empty());
        let mut wanted: Vec<usize> = visible.map(|(index, _)| index).collect();
        while let Some(index) = wanted.pop() {
            let (Some(source), Some(None)) = (graph.crates.get(index), added.get(index)) else {
                continue;
            };
            let mut names = HashSet::new();
            let read = self.read(&source.root_module, |text| library::needs(text, &mut names));
            let Some(file) = read else {
                continue;
            };
            added[index] = Some(self.library(file, source));
            // Empty where it was read before, for a crate of another graph.
            let names = self.needs.entry(file).or_insert(names);
            let needed = source.deps.iter().filter(|dep| names.contains(&dep.name));
            wanted.extend(needed.map(|dep| dep.index));
        }
        for (source, from) in graph.crates.iter().zip(&added) {
            let Some(from) = *from else { continue };
            for dependency in &source.deps {
                if let Some(Some(to)) = added.get(dependency.index) {
                    self.depend(from, &dependency.name, *to);
                }
            }
            self.depend_on_standard(from);
        }
        let named = graph.crates.iter().zip(added);
        let named = named.filter_map(|(source, added)| Some((&source.names, added?)));
        named
            .flat_map(|(names, added)| names.iter().map(move |name| (name.clone(), added)))
            .collect()
    }

    fn library(&mut self, file: FileId, source: &CrateSource) -> CrateBuilderId {
        let mut cfg = self.platform.clone();
        source
            .cfg
            .iter()
            .for_each(|line| library::set(&mut cfg, line));
        let edition = source.edition.parse().unwrap_or(Edition::CURRENT);
        let name = CrateName::normalize_dashes(&source.display_name);
        let origin = CrateOrigin::Library {
            repo: None,
            name: name.symbol().clone(),
        };
        self.add(
            file,
            &source.display_name,
            edition,
            cfg,
            origin,
            source.is_proc_macro,
        )
    }

    fn notebook(&mut self, visible: BTreeMap<String, CrateBuilderId>) {
        let platform = self.platform.clone();
        let origin = CrateOrigin::Local {
            repo: None,
            name: None,
        };
        let added = self.add(ROOT, NAME, Edition::Edition2024, platform, origin, false);
        for (name, to) in visible {
            self.depend(added, &name, to);
        }
        self.depend_on_standard(added);
    }

    fn finish(mut self) -> (ChangeWithProcMacros, HashMap<PathBuf, FileId>) {
        self.change.set_roots(self.roots);
        self.change.set_crate_graph(self.graph);
        (self.change, self.loaded)
    }

    /// Reads the files of a crate, unless that was done; gives the file of its root module.
    fn read(&mut self, root_module: &Path, mut each: impl FnMut(&str)) -> Option<FileId> {
        if let Some(file) = self.loaded.get(root_module) {
            return Some(*file);
        }
        if !root_module.is_file() {
            return None;
        }
        let mut files = FileSet::default();
        for path in library::files(root_module) {
            // What is no text is no Rust either.
            if let (Ok(text), Some(name)) = (fs::read_to_string(&path), path.to_str()) {
                let file = FileId::from_raw(self.next_file);
                self.next_file += 1;
                files.insert(file, VfsPath::new_real_path(name.to_owned()));
                each(&text);
                self.change.change_file(file, Some(text));
                self.loaded.insert(path, file);
            }
        }
        self.roots.push(SourceRoot::new_library(files));
        self.loaded.get(root_module).copied()
    }

    fn add(
        &mut self,
        file: FileId,
        name: &str,
        edition: Edition,
        cfg: CfgOptions,
        origin: CrateOrigin,
        is_proc_macro: bool,
    ) -> CrateBuilderId {
        let data = CrateWorkspaceData {
            target: Err("no layout of types is needed".into()),
            // A stable one, so that what only nightly compilers know is left out.
            toolchain: Some(Version::new(1, 95, 0)),
        };
        self.graph.add_crate_root(
            file,
            edition,
            Some(CrateDisplayName::from_canonical_name(name)),
            None,
            cfg,
            None,
            Env::default(),
            origin,
            Vec::new(),
            is_proc_macro,
            AbsPathBuf::assert("/".into()).into(),
            data.into(),
        )
    }

    fn depend(&mut self, from: CrateBuilderId, name: &str, to: CrateBuilderId) {
        let dependency = DependencyBuilder::new(CrateName::normalize_dashes(name), to);
        // A circle is one through development dependencies, which nobody needs here.
        let _ = self.graph.add_dep(from, dependency);
    }

    fn depend_on_standard(&mut self, from: CrateBuilderId) {
        for (name, to) in self.standard.clone() {
            let name_it = CrateName::normalize_dashes(name);
            let is_prelude = name != "alloc";
            let dependency = DependencyBuilder::with_prelude(name_it, to, is_prelude, true);
            let _ = self.graph.add_dep(from, dependency);
        }
    }
}
