//! What runs before the first cell: `init.evcxr` and `prelude.rs` of evcxr's folder of configuration, where they are.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

const FILES: [&str; 2] = ["init.evcxr", "prelude.rs"];

#[derive(Debug)]
pub struct Configuration {
    /// The folder of the files.
    pub folder: Option<PathBuf>,
    /// They are to be run before the next cell.
    pending: bool,
    /// What went wrong in them, to be told with the next cell.
    pub complaints: Vec<String>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            folder: of_user(),
            pending: true,
            complaints: Vec::new(),
        }
    }
}

impl Configuration {
    /// Has them run.
    pub fn ask(&mut self) {
        self.pending = true;
    }

    pub fn is_asked(&self) -> bool {
        self.pending
    }

    /// What asks is one of the files, which run already.
    pub fn settle(&mut self) {
        self.pending = false;
    }

    /// Those that are to be run now, by name.
    pub fn take(&mut self) -> Vec<(String, String)> {
        let pending = std::mem::take(&mut self.pending);
        let folder = self.folder.as_ref().filter(|_| pending).cloned();
        let mut found = Vec::new();
        for file in folder
            .iter()
            .flat_map(|folder| FILES.map(|name| folder.join(name)))
        {
            match fs::read_to_string(&file) {
                Ok(code) => found.push((file.display().to_string(), code)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self
                    .complaints
                    .push(format!("{}: {error}\n", file.display())),
            }
        }
        found
    }
}

/// `$EVCXR_CONFIG_DIR`, else `evcxr` in `$XDG_CONFIG_HOME` or in `~/.config`.
fn of_user() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("EVCXR_CONFIG_DIR") {
        return Some(folder.into());
    }
    let configuration = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let configuration = configuration.filter(|folder| folder.is_absolute());
    let configuration =
        configuration.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
    Some(configuration?.join("evcxr"))
}
