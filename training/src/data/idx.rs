//! The IDX format of MNIST: a magic number with type and rank, the sizes, then bytes; also compressed by gzip.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

/// An array of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    pub sizes: Vec<usize>,
    pub bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    #[error("cannot open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{}: cannot read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: it is no IDX file: the first bytes are {found:02x?}, expected 00 00 08 and the rank", path.display())]
    Magic { path: PathBuf, found: [u8; 4] },
    #[error("{}: it is shorter than it says: sizes {sizes:?} need {wanted} bytes, but it has {found}; copy or download it again", path.display())]
    Truncated {
        path: PathBuf,
        sizes: Vec<usize>,
        wanted: u64,
        found: u64,
    },
    #[error("{}: it is longer than it says: there are bytes behind the {wanted} of sizes {sizes:?}", path.display())]
    Trailing {
        path: PathBuf,
        sizes: Vec<usize>,
        wanted: u64,
    },
    #[error("{}: it holds an array of rank {found}, expected {expected}", path.display())]
    Rank {
        path: PathBuf,
        expected: usize,
        found: usize,
    },
}

/// The magic number of unsigned bytes, without the rank.
const BYTES: [u8; 3] = [0, 0, 8];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads an array of `rank` dimensions, decompressed if need be.
///
/// # Errors
/// When the file cannot be read or is not whole, with its path.
pub fn read(path: &Path, rank: usize) -> Result<Idx, IdxError> {
    let failed = |source| IdxError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|source| IdxError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut file = BufReader::new(file);
    if io::BufRead::fill_buf(&mut file)
        .map_err(failed)?
        .starts_with(&GZIP)
    {
        parse(&mut GzDecoder::new(file), path, rank)
    } else {
        parse(&mut file, path, rank)
    }
}

fn parse(file: &mut impl Read, path: &Path, rank: usize) -> Result<Idx, IdxError> {
    let failed = |source| IdxError::Read {
        path: path.to_owned(),
        source,
    };
    let head = take(file, 4).map_err(failed)?;
    let magic: [u8; 4] = std::array::from_fn(|at| head.get(at).copied().unwrap_or(0));
    if head.len() < 4 || magic[..3] != BYTES {
        return Err(IdxError::Magic {
            path: path.to_owned(),
            found: magic,
        });
    }
    let found = usize::from(magic[3]);
    if found != rank {
        return Err(IdxError::Rank {
            path: path.to_owned(),
            expected: rank,
            found,
        });
    }
    let sizes = take(file, 4 * rank as u64).map_err(failed)?;
    let sizes: Vec<usize> = sizes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|size| u32::from_be_bytes(*size) as usize)
        .collect();
    // A product beyond u64 is one that no file can have.
    let product = sizes.iter().try_fold(1u64, |a, b| a.checked_mul(*b as u64));
    let wanted = product.unwrap_or(u64::MAX);
    let bytes = if sizes.len() == rank {
        take(file, wanted).map_err(failed)?
    } else {
        Vec::new()
    };
    if sizes.len() < rank || (bytes.len() as u64) < wanted {
        return Err(IdxError::Truncated {
            path: path.to_owned(),
            found: bytes.len() as u64,
            sizes,
            wanted,
        });
    }
    if !take(file, 1).map_err(failed)?.is_empty() {
        return Err(IdxError::Trailing {
            path: path.to_owned(),
            sizes,
            wanted,
        });
    }
    Ok(Idx { sizes, bytes })
}

/// Up to `count` bytes: fewer where the file, or its compressed stream, ends before.
fn take(file: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.take(count).read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(bytes),
    }
}
