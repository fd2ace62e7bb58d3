//! Data sets: what broken files say, downloads, the order of items, batches made ahead.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use candle_core::{Device, Result, Tensor};
use carrel_skip::{Need, skip};
use carrel_training::data::mirror::{Wanted, fetch};
use carrel_training::data::{
    DataLoader, Dataset, MnistData, Order, Partition, Sampler, TensorDataset, accuracy, idx,
};

/// The data that the tests share; None where there is none, which is said.
pub fn mnist() -> Option<MnistData> {
    let folder = PathBuf::from(std::env::var_os("CARREL_DATA").or_else(|| {
        skip(Need::Mnist, "$CARREL_DATA names no folder");
        None
    })?);
    Some(MnistData::load_from(Some(&folder), &mut |_| {}).unwrap())
}

#[test]
fn mnist_has_its_known_pictures() -> Result<()> {
    let Some(mnist) = mnist() else { return Ok(()) };
    assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    let (x, y) = mnist.train.batch(&[0, 1, 59_999])?;
    assert_eq!(x.dims(), [3, 1, 28, 28]);
    assert_eq!(y.to_vec1::<u32>()?, [5, 0, 8]);
    let all: Vec<usize> = (0..6_000).collect();
    let (x, _) = mnist.train.batch(&all)?;
    // Normalized by the moments of all pictures; a tenth of them is close.
    assert!(x.mean_all()?.to_scalar::<f32>()?.abs() < 0.02);
    assert!((x.sqr()?.mean_all()?.to_scalar::<f32>()? - 1.0).abs() < 0.03);
    assert!(
        mnist
            .train
            .batch(&[60_000])
            .unwrap_err()
            .to_string()
            .contains("60000")
    );
    assert_eq!(format!("{:?}", mnist.test.take(7)), "7 pictures of 28 x 28");
    Ok(())
}

#[test]
fn a_broken_idx_file_says_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8], rank| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        idx::read(&path, rank)
    };
    let whole = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9];
    assert_eq!(read("whole", &whole, 1).unwrap().bytes, [7, 8, 9]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&whole).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(read("packed", &packed, 1).unwrap().sizes, [3]);
    let endless = [0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255];
    for (name, bytes, rank, expected) in [
        (
            "short",
            &whole[..10],
            1,
            "sizes [3] need 3 bytes, but it has 2",
        ),
        (
            "cut",
            &packed[..packed.len() - 12],
            1,
            "shorter than it says",
        ),
        ("head", &whole[..6], 1, "shorter than it says"),
        ("empty", &whole[..0], 1, "no IDX file"),
        (
            "magic",
            b"<html>",
            1,
            "no IDX file: the first bytes are [3c, 68, 74, 6d]",
        ),
        ("rank", &whole[..], 3, "rank 1, expected 3"),
        ("endless", &endless, 2, "shorter than it says"),
        (
            "long",
            &[&whole[..], &[1]].concat(),
            1,
            "longer than it says",
        ),
    ] {
        let said = read(name, bytes, rank).unwrap_err().to_string();
        assert!(
            said.contains(expected) && said.contains(name),
            "{name}: {said}"
        );
    }
    let said = idx::read(&folder.path().join("none"), 1)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("cannot open") && said.contains("none"),
        "{said}"
    );
}

#[test]
fn a_folder_that_lacks_a_file_or_has_unlike_counts_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = MnistData::load_from(Some(folder.path()), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("train-images-idx3-ubyte.gz")
            && said.contains(folder.path().to_str().unwrap()),
        "{said}"
    );
    let pictures = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6];
    fs::write(folder.path().join("train-images-idx3-ubyte"), pictures).unwrap();
    fs::write(
        folder.path().join("train-labels-idx1-ubyte"),
        [0, 0, 8, 1, 0, 0, 0, 1, 5],
    )
    .unwrap();
    let said = MnistData::load_from(Some(folder.path()), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(said.ends_with("2 pictures and 1 labels"), "{said}");
}

const FILE: Wanted = Wanted {
    name: "file",
    bytes: 11,
    sha256: "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
};

/// Serves `hello world`, or what `contents` says, cut after `most` bytes of the first answer; tells the ranges asked for.
fn mirror(contents: &'static [u8], most: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/folder/", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines: Vec<String> = lines
                .map_while(std::result::Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let range = lines.iter().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("range: bytes=")
                    .map(str::to_owned)
            });
            seen.lock().unwrap().push(format!(
                "{} {}",
                lines[0],
                range.clone().unwrap_or_default()
            ));
            let from = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
            let status = if from > 0 {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            let body = &contents[from..];
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            )
            .unwrap();
            let sent = if number == 0 {
                most.min(body.len())
            } else {
                body.len()
            };
            stream.write_all(&body[..sent]).unwrap();
        }
    });
    (address, asked)
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (address, asked) = mirror(b"hello world", 4);
    let said = fetch(&address, &FILE, folder.path(), |_, _| {})
        .unwrap_err()
        .to_string();
    assert!(said.contains("broke off after 4 of 11 bytes"), "{said}");
    assert!(!folder.path().join("file").exists());
    let mut progress = Vec::new();
    let path = fetch(&address, &FILE, folder.path(), |found, wanted| {
        progress.push((found, wanted))
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hello world");
    assert_eq!(
        (progress[0], progress.last().copied()),
        ((4, 11), Some((11, 11)))
    );
    // It is there now: nobody is asked.
    fetch(&address, &FILE, folder.path(), |_, _| {}).unwrap();
    assert_eq!(
        *asked.lock().unwrap(),
        ["GET /folder/file HTTP/1.1 ", "GET /folder/file HTTP/1.1 4-"]
    );
}

#[test]
fn another_file_than_the_published_one_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    for contents in [b"hello worle".as_slice(), b"hello world and more"] {
        let (address, _) = mirror(contents, usize::MAX);
        let said = fetch(&address, &FILE, folder.path(), |_, _| {})
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("is not the file that was published") && said.contains(FILE.sha256),
            "{said}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let said = fetch(&format!("http://{closed}"), &FILE, folder.path(), |_, _| {})
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with(&format!("cannot download http://{closed}/file")),
        "{said}"
    );
}

#[test]
fn all_ranks_together_take_each_item_once() {
    for partition in [Partition::Dealt, Partition::Stretches] {
        for order in [Order::InTurn, Order::Shuffled { seed: 1234 }] {
            let of = |rank, epoch| {
                Sampler {
                    order,
                    partition,
                    rank,
                    world: 4,
                }
                .indices(103, epoch)
            };
            let mut all: Vec<usize> = (0..4).flat_map(|rank| of(rank, 0)).collect();
            assert!((0..4).all(|rank| of(rank, 0).len() == 25));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 100);
            assert_eq!(of(1, 3), of(1, 3));
            let changes = of(2, 0) != of(2, 1);
            assert_eq!(changes, order != Order::InTurn, "{partition:?} {order:?}");
        }
    }
    // Dealt out, the ranks' batches of a step make up that of one process.
    let order = Order::Shuffled { seed: 5 };
    let alone = Sampler::alone(order).indices(64, 2);
    let mut together: Vec<usize> = (0..4)
        .flat_map(|rank| {
            Sampler {
                order,
                partition: Partition::Dealt,
                rank,
                world: 4,
            }
            .indices(64, 2)[..4]
                .to_vec()
        })
        .collect();
    let mut first = alone[..16].to_vec();
    together.sort_unstable();
    first.sort_unstable();
    assert_eq!(together, first);
}

/// Counts its batches.
struct Counted(TensorDataset, AtomicUsize);

impl Dataset for Counted {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        assert!(!indices.contains(&13), "unlucky");
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.batch(indices)
    }
}

fn counted(items: usize) -> Counted {
    let numbers = Tensor::arange(0u32, items as u32, &Device::Cpu).unwrap();
    Counted(
        TensorDataset::new(numbers.clone(), numbers).unwrap(),
        AtomicUsize::new(0),
    )
}

#[test]
fn batches_made_ahead_are_those_made_here() -> Result<()> {
    let all = |loader: &DataLoader, first| -> Vec<Vec<u32>> {
        loader
            .epoch(1, first)
            .map(|batch| batch.unwrap().0.to_vec1().unwrap())
            .collect()
    };
    let loader = DataLoader::new(counted(11), 4).shuffle(3);
    assert_eq!(loader.len(), 3);
    let here = all(&loader.clone().prefetch(0), 0);
    assert_eq!(here.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3]);
    for ahead in [1, 2, 9] {
        assert_eq!(all(&loader.clone().prefetch(ahead), 0), here);
        assert_eq!(all(&loader.clone().prefetch(ahead), 1), here[1..]);
    }
    Ok(())
}

#[test]
fn a_panic_of_the_data_set_is_an_error_and_no_short_epoch() {
    let loader = DataLoader::new(counted(16), 4);
    let batches: Vec<_> = loader.epoch(0, 0).collect();
    assert_eq!(batches.len(), 4);
    let said = batches[3].as_ref().unwrap_err().to_string();
    assert!(
        said.contains("the thread that makes batches panicked"),
        "{said}"
    );
}

#[test]
fn accuracy_counts_the_right_ones() -> Result<()> {
    let scores = Tensor::new(&[[1f32, 2.], [3., 1.], [0., 1.], [5., 0.]], &Device::Cpu)?;
    let targets = Tensor::new(&[1u32, 0, 0, 0], &Device::Cpu)?;
    assert_eq!(accuracy(&scores, &targets)?, 0.75);
    let said = TensorDataset::new(scores, targets.narrow(0, 0, 3)?)
        .unwrap_err()
        .to_string();
    assert!(said.contains("[4, 2]") && said.contains("[3]"), "{said}");
    Ok(())
}
