//! The classes of pictures as a table, or as JSON.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::{Value, json};

use super::{numbers, strings};
use crate::proto::tensorflow::serving::PredictResponse;

/// Pictures with their classes and scores, the likeliest first.
type Classified<'a> = Vec<(&'a Path, Vec<(String, f32)>)>;

/// A line for each class.
pub fn table(pictures: &[PathBuf], answer: &PredictResponse, top: usize) -> anyhow::Result<String> {
    let mut out = String::new();
    for (picture, classes) in classified(pictures, answer, top)? {
        writeln!(out, "{}", picture.display())?;
        for (class, score) in classes {
            writeln!(out, "  {score:7.4}  {class}")?;
        }
    }
    Ok(out)
}

/// A document on one line.
pub fn json(pictures: &[PathBuf], answer: &PredictResponse, top: usize) -> anyhow::Result<String> {
    let all = classified(pictures, answer, top)?;
    let all = all.into_iter().map(|(picture, classes)| {
        let classes = classes
            .into_iter()
            .map(|(class, score)| json!({"class": class, "score": score}));
        json!({"image": picture.to_string_lossy(), "classes": classes.collect::<Vec<_>>()})
    });
    Ok(format!("{}\n", all.collect::<Value>()))
}

fn classified<'a>(
    pictures: &'a [PathBuf],
    answer: &PredictResponse,
    top: usize,
) -> anyhow::Result<Classified<'a>> {
    let (classes, scores) = (strings(answer, "classes"), numbers(answer, "scores"));
    let each = classes.len() / pictures.len().max(1);
    ensure!(
        each > 0 && classes.len() == scores.len() && each * pictures.len() == classes.len(),
        "the answer has {} classes and {} scores for {} pictures",
        classes.len(),
        scores.len(),
        pictures.len()
    );
    let parts = classes.chunks(each).zip(scores.chunks(each));
    let all = pictures
        .iter()
        .zip(parts)
        .map(|(picture, (classes, scores))| {
            let both = classes.iter().zip(scores).take(top);
            let both =
                both.map(|(class, score)| (String::from_utf8_lossy(class).into_owned(), *score));
            (picture.as_path(), both.collect())
        });
    Ok(all.collect())
}
