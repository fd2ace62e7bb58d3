//! The seed's whole job on the data of MNIST: its losses fall into the band of runs elsewhere, also over a killed rank.

use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::time::Duration;

use carrel_skip::{Need, skip};
use nix::sys::signal::Signal;

use crate::harness::{
    PROGRAM, ended_within, epochs, free_port, mnist, rank_of, signal, text, wait_for,
};

const LIMIT: Duration = Duration::from_secs(240);

/// Four ranks with the recipe's defaults. The optimized program where there is one: an epoch takes it seconds.
fn start(data: &Path, folder: &Path) -> Vec<Child> {
    let program = std::env::var_os("CARREL_TEST_BIN")
        .map(|programs| PathBuf::from(programs).join("carrel-train"))
        .filter(|program| program.is_file())
        .unwrap_or_else(|| PROGRAM.into());
    let port = free_port();
    let arguments = mnist(data, "10", folder, &[]);
    (0..4)
        .map(|number| rank_of(&program, number, 4, port, &arguments, &[]))
        .collect()
}

fn ended(child: Child) -> Output {
    ended_within(LIMIT, child)
}

fn assert_done(outputs: &[Output]) {
    for output in outputs {
        let (status, said) = (output.status, text(&output.stderr));
        assert!(status.success(), "{status}: {said}");
    }
}

/// Bands around the seed's own log and PyTorch's runs of the same recipe.
fn assert_in_band(lines: &[String]) {
    let losses: Vec<f64> = lines
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    for (epoch, band) in [
        (0, 1.15..1.45),
        (1, 0.50..0.62),
        (2, 0.39..0.46),
        (9, 0.205..0.245),
    ] {
        assert!(band.contains(&losses[epoch]), "epoch {epoch}: {losses:?}");
    }
    let falls = losses.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(falls >= 8, "{losses:?}");
}

#[test]
fn the_seeds_job_falls_into_its_band_and_a_killed_rank_changes_nothing() {
    let Some(data) = std::env::var_os("CARREL_DATA") else {
        skip(Need::Mnist, "$CARREL_DATA names no folder");
        return;
    };
    let data = PathBuf::from(data).join("mnist");
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = start(&data, &folder.path().join("undisturbed"));
    let undisturbed: Vec<_> = undisturbed.into_iter().map(ended).collect();
    assert_done(&undisturbed);
    let said = text(&undisturbed[0].stdout);
    println!("{said}");
    let expected = epochs(0, &said);
    assert_in_band(&expected);
    let accuracy = said
        .lines()
        .find_map(|line| line.strip_prefix("Test accuracy: "));
    let accuracy: f64 = accuracy.unwrap().parse().unwrap();
    assert!(accuracy >= 0.97, "{accuracy}");

    let disturbed = folder.path().join("disturbed");
    let ranks = start(&data, &disturbed);
    let third = disturbed.join(format!("step-{:010}", 3 * 15_000_usize.div_ceil(32)));
    wait_for("the checkpoint of the third epoch", || third.is_dir());
    signal(&ranks[2], Signal::SIGKILL);
    let failed = ranks.into_iter().map(ended);
    assert!(failed.into_iter().all(|rank| !rank.status.success()));
    let resumed: Vec<_> = start(&data, &disturbed).into_iter().map(ended).collect();
    assert_done(&resumed);
    let rest = epochs(0, &text(&resumed[0].stdout));
    assert!((1..=7).contains(&rest.len()), "{rest:?}");
    assert_eq!(rest, expected[10 - rest.len()..]);
}
