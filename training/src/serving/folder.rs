//! The folder of one server: versions of its model as TensorFlow Serving lays them out, its token, and its log. Only the user
//! reads it.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use candle_core::{DType, Shape};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Model;

/// The end of a log that is shown.
const LOG: u64 = 4096;

pub(super) struct Folder {
    path: PathBuf,
    token: String,
}

impl Folder {
    /// A new one, among what is temporary.
    pub fn new(name: &str) -> io::Result<Self> {
        let prefix = format!("carrel-serving-{name}-");
        let made = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        fs::write(made.path().join("tokens"), &token)?;
        fs::write(
            made.path().join("header"),
            format!("Authorization: Bearer {token}\n"),
        )?;
        fs::create_dir(made.path().join("versions"))?;
        Ok(Self {
            // Nothing is dropped where a process is killed: the server removes it too, at its end.
            path: made.keep(),
            token,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// A file with the token, a line.
    pub fn tokens(&self) -> PathBuf {
        self.path.join("tokens")
    }

    /// A file with the token as a header of HTTP, for `curl -H @FILE`: the token itself is in no notebook.
    pub fn header(&self) -> PathBuf {
        self.path.join("header")
    }

    /// A file with the body of a request.
    pub fn example(&self) -> PathBuf {
        self.path.join("example.json")
    }

    /// The folder with a folder for each version.
    pub fn versions(&self) -> PathBuf {
        self.path.join("versions")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Adds a version, which appears with all its files.
    pub fn put(&self, name: &str, version: u64, model: &Model) -> io::Result<()> {
        let unfinished = self.versions().join("unfinished");
        fs::create_dir_all(&unfinished)?;
        fs::write(unfinished.join("model.onnx"), &model.bytes)?;
        let manifest = json!({
            "name": name,
            "version": version.to_string(),
            "description": "Served from a notebook",
            "sha256": hex::encode(Sha256::digest(&model.bytes)),
        });
        fs::write(unfinished.join("manifest.json"), manifest.to_string())?;
        fs::rename(unfinished, self.versions().join(version.to_string()))?;
        fs::write(self.example(), example(&model.item, model.dtype))
    }

    /// Removes a version, if it is there.
    pub fn forget(&self, version: u64) {
        // What stays behind goes with the folder.
        let _ = fs::remove_dir_all(self.versions().join(version.to_string()));
    }

    /// Removes all versions but these.
    pub fn keep(&self, versions: &[u64]) {
        let found = fs::read_dir(self.versions()).into_iter().flatten();
        let names = found.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let numbers = names.filter_map(|name| name.parse().ok());
        numbers
            .filter(|number| !versions.contains(number))
            .for_each(|number| self.forget(number));
    }

    /// The end of the log.
    pub fn log_text(&self) -> String {
        let read = || {
            let mut file = fs::File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    pub fn remove(&self) {
        // The server may have been faster.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// One input of zeros, as TensorFlow Serving's protocol has it in rows.
fn example(item: &Shape, dtype: DType) -> String {
    let zero = if dtype.is_float() { "0.0" } else { "0" };
    let nested = item.dims().iter().rev().fold(zero.to_owned(), |inner, n| {
        format!("[{}]", vec![inner; *n].join(","))
    });
    format!("{{\"instances\": [{nested}]}}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{DType, Folder, Shape, example};

    #[test]
    fn nobody_else_reads_the_token() {
        let folder = Folder::new("digits").unwrap();
        let mode = folder.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn an_example_has_the_shape_of_one_input() {
        let of = |dims: &[usize], dtype| example(&Shape::from(dims), dtype);
        assert_eq!(of(&[2, 1], DType::F32), r#"{"instances": [[[0.0],[0.0]]]}"#);
        assert_eq!(of(&[3], DType::I64), r#"{"instances": [[0,0,0]]}"#);
        assert_eq!(of(&[], DType::F64), r#"{"instances": [0.0]}"#);
    }
}
