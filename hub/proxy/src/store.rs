//! The routes of a proxy apart, kept in a file: the next one begins with them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::model;
use crate::routes::{Data, Routes};

/// Clones share one file.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    file: PathBuf,
    routes: Routes,
    /// What the arguments say is no matter of the file.
    default: Option<Data>,
    /// How often a save was asked for.
    asked: AtomicU64,
    saved: Mutex<Saved>,
}

#[derive(Default)]
struct Saved {
    /// All that was asked for until then is in the file.
    asked: u64,
    text: Vec<u8>,
}

impl Store {
    /// Adds the routes of the file to `routes`. A file that cannot be read as routes is put aside: who owns the routes adds
    /// them again.
    pub(crate) fn open(file: PathBuf, routes: Routes, default: Option<Data>) -> io::Result<Self> {
        match std::fs::read(&file) {
            Ok(text) => {
                if let Err(error) = load(&text, &routes) {
                    let aside = file.with_extension("broken");
                    tracing::error!(%error, file = %file.display(), "The file of routes is put aside");
                    std::fs::rename(&file, aside)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self(Arc::new(Inner {
            file,
            routes,
            default,
            asked: AtomicU64::new(0),
            saved: Mutex::default(),
        })))
    }

    /// Returns when the routes, as they are now, are in the file; changes of the same moment share one write.
    pub(crate) async fn save(&self) {
        let inner = self.0.clone();
        let wanted = inner.asked.fetch_add(1, Ordering::SeqCst) + 1;
        // A task of its own: a client that goes away does not break off the write.
        let saved = tokio::spawn(async move {
            let mut saved = inner.saved.lock().await;
            if saved.asked >= wanted {
                return Ok(());
            }
            let asked = inner.asked.load(Ordering::SeqCst);
            let text = inner.text();
            if text != saved.text {
                let (file, copy) = (inner.file.clone(), text.clone());
                tokio::task::spawn_blocking(move || write(&file, &copy))
                    .await
                    .map_err(io::Error::other)??;
            }
            *saved = Saved { asked, text };
            Ok::<_, io::Error>(())
        });
        if let Err(error) = saved.await.map_err(io::Error::other).flatten() {
            tracing::error!(%error, file = %self.0.file.display(), "Could not save the routes");
        }
    }
}

impl Inner {
    fn text(&self) -> Vec<u8> {
        let routes = self.routes.list().into_iter();
        let routes = routes.filter(|route| Some(&route.data) != self.default.as_ref());
        let routes: Map<String, Value> = routes
            .map(|route| (route.prefix.clone(), model::show(&route)))
            .collect();
        let mut text = Value::Object(routes).to_string().into_bytes();
        text.push(b'\n');
        text
    }
}

fn load(text: &[u8], routes: &Routes) -> Result<(), Box<dyn std::error::Error>> {
    let saved: Map<String, Value> = serde_json::from_slice(text)?;
    for (prefix, route) in saved {
        let Value::Object(route) = route else {
            return Err("a route is no object".into());
        };
        routes.put(&prefix, model::read(route)?)?;
    }
    Ok(())
}

/// Either the old file stays or the new one is whole.
fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = file.with_extension("new");
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    out.write_all(text)?;
    out.sync_all()?;
    std::fs::rename(new, file)
}
