//! A model: a network with its manifest, and the signatures by which it is asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::engine::{Choice, LoadOptions, Network};
use crate::engines::Engines;
use crate::error::{Error, listed};
use crate::manifest::{Manifest, within};
#[cfg(feature = "pictures")]
use crate::pictures::{Classifier, Limits};
use crate::signature::{Named, Signature};
use crate::stop::Stop;

/// The signature of the network itself.
pub const SERVING_DEFAULT: &str = "serving_default";
/// The signature that takes pictures as files and gives classes with scores.
pub const PREDICT_IMAGES: &str = "predict_images";
/// The manifest's file.
pub const MANIFEST: &str = "manifest.json";
const NETWORK: &str = "model.onnx";

pub struct Model {
    manifest: Manifest,
    engine: &'static str,
    network: Box<dyn Network>,
    signatures: BTreeMap<String, Signature>,
    #[cfg(feature = "pictures")]
    classifier: Option<Classifier>,
}

impl Model {
    /// Loads a folder with a network and its manifest, or an ONNX file without one. `choice` goes before the manifest's
    /// where it is not `auto`.
    ///
    /// # Errors
    /// Where a file is missing, broken, of another digest, or nothing that the engine computes.
    pub fn load(
        path: &Path,
        engines: &Engines,
        choice: Choice,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let (folder, file, manifest) = find(path)?;
        if let Some(wanted) = &manifest.sha256 {
            check_digest(&file, wanted)?;
        }
        let choice = match choice {
            Choice::Auto => manifest.engine,
            choice => choice,
        };
        let engine = engines.get(choice)?;
        let network = engine.load(&file, options)?;
        let mut signatures = BTreeMap::new();
        signatures.insert(SERVING_DEFAULT.to_owned(), network.signature().clone());
        #[cfg(feature = "pictures")]
        let classifier = {
            let classifier = Classifier::new(&manifest, &folder, network.signature());
            let classifier =
                classifier.map_err(|reason| Error::load(folder.join(MANIFEST), reason))?;
            let signature = classifier.as_ref().map(Classifier::signature);
            signatures.extend(signature.map(|one| (PREDICT_IMAGES.to_owned(), one)));
            classifier
        };
        let model = Self {
            manifest,
            engine: engine.name(),
            network,
            signatures,
            #[cfg(feature = "pictures")]
            classifier,
        };
        let default = model.default_signature();
        model
            .signature(default)
            .map_err(|error| Error::load(folder.join(MANIFEST), error))?;
        Ok(model)
    }

    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The name of the engine that computes it.
    #[must_use]
    pub const fn engine(&self) -> &'static str {
        self.engine
    }

    #[must_use]
    pub const fn signatures(&self) -> &BTreeMap<String, Signature> {
        &self.signatures
    }

    /// The name of the signature that is meant where none is named.
    #[must_use]
    pub fn default_signature(&self) -> &str {
        let named = self.manifest.default_signature.as_deref();
        named.unwrap_or(SERVING_DEFAULT)
    }

    /// # Errors
    /// Where there is none of this name.
    pub fn signature(&self, name: &str) -> Result<&Signature, Error> {
        self.signatures
            .get(name)
            .ok_or_else(|| Error::UnknownSignature {
                name: name.to_owned(),
                known: listed(self.signatures.keys().map(String::as_str)),
            })
    }

    /// Whether rows of several requests may be computed together: the network's maker gave the first dimension of all
    /// inputs and outputs one name.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        self.network.has_rows()
    }

    /// The outputs with these names in their order, or all where none is named.
    ///
    /// # Errors
    /// Where an input is not as the signature says, a picture is broken or too large, or the engine fails.
    pub fn run(&self, signature: &str, inputs: Named, outputs: &[String]) -> Result<Named, Error> {
        self.run_until(signature, inputs, outputs, &Stop::default())
    }

    /// The same, unless it is stopped.
    ///
    /// # Errors
    /// As those of [`Self::run`], and where it was stopped.
    pub fn run_until(
        &self,
        signature: &str,
        inputs: Named,
        outputs: &[String],
        stop: &Stop,
    ) -> Result<Named, Error> {
        let wanted = self.signature(signature)?;
        wanted.check(&inputs)?;
        wanted.check_outputs(outputs)?;
        #[cfg(feature = "pictures")]
        if let (PREDICT_IMAGES, Some(classifier)) = (signature, &self.classifier) {
            return classifier.run(&*self.network, inputs, outputs, stop);
        }
        self.network.run(inputs, outputs, stop)
    }

    /// Bounds of the pictures that it takes.
    #[cfg(feature = "pictures")]
    pub fn limit_pictures(&mut self, limits: Limits) {
        if let Some(classifier) = &mut self.classifier {
            classifier.limits = limits;
        }
    }
}

/// The folder of a model, the file of its network, and its manifest.
fn find(path: &Path) -> Result<(PathBuf, PathBuf, Manifest), Error> {
    if path.is_file() {
        let folder = path.parent().unwrap_or(Path::new("."));
        return Ok((folder.to_owned(), path.to_owned(), Manifest::default()));
    }
    let manifest = Manifest::read(&path.join(MANIFEST))?;
    let network = manifest.network.as_deref().unwrap_or(Path::new(NETWORK));
    let file = within(path, network)?;
    Ok((path.to_owned(), file, manifest))
}

fn check_digest(file: &Path, wanted: &str) -> Result<(), Error> {
    let unreadable = |error: io::Error| Error::load(file, error);
    let mut opened = File::open(file).map_err(unreadable)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match opened.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    let found = hex::encode(digest.finalize());
    match found.eq_ignore_ascii_case(wanted) {
        true => Ok(()),
        false => {
            let reason = format!("its SHA-256 is {found}, and the manifest says {wanted}");
            Err(Error::load(file, reason))
        }
    }
}
