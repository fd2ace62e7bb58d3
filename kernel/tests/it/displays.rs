//! Values that are shown in the middle of a cell, updated, and cut.

use carrel_kernel::engine::{MimeBundle, Output, StreamName};
use serde_json::{Value, json};

use crate::notebook::{Notebook, Ran};

/// What was displayed, each with its id and whether it replaced what was shown before.
fn displayed(ran: &Ran) -> Vec<(MimeBundle, String, bool)> {
    let displays = ran.outputs.iter().filter_map(|output| match output {
        Output::Display {
            bundle,
            display_id,
            update,
        } => Some((
            bundle.clone(),
            display_id.clone().unwrap_or_default(),
            *update,
        )),
        _ => None,
    });
    displays.collect()
}

#[tokio::test]
async fn what_was_shown_can_be_replaced_from_later_cells() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let shown = display(&1); let other = display(&2);")
        .await;
    let first = displayed(&ran);
    assert!(
        first
            .iter()
            .all(|(_, id, update)| !id.is_empty() && !update)
    );
    assert_ne!(first[0].1, first[1].1);
    let code = "shown.update(&\"replaced\"); shown.display(&mime::html(\"<b>again</b>\"))";
    let later = displayed(&notebook.ok(code).await);
    assert!(later.iter().all(|(_, id, _)| *id == first[0].1));
    assert_eq!(later[0].0.data["text/plain"], "\"replaced\"");
    assert_eq!(later[1].0.data["text/html"], "<b>again</b>");
    assert_eq!((later[0].2, later[1].2), (true, false));
    // The handle itself is no value to show.
    assert_eq!(notebook.ok("display(&3)").await.data("text/plain"), None);
}

#[tokio::test]
async fn a_plot_shows_itself_and_grows_in_place() {
    let mut notebook = Notebook::open();
    let code = "let mut curve = plot([1.0, 0.5]).title(\"Loss\"); let shown = display(&curve);";
    let first = displayed(&notebook.ok(code).await);
    for mime in ["text/html", "image/svg+xml"] {
        let text = first[0].0.data[mime].as_str().unwrap();
        assert!(text.starts_with("<svg ") && text.contains("Loss"), "{text}");
    }
    assert_eq!(
        first[0].0.data["text/plain"],
        "Plot(\"Loss\", Line \"\" of 2 ending at 0.5)"
    );
    let code = "curve.push(\"\", 0.25); shown.update(&curve);";
    let later = displayed(&notebook.ok(code).await);
    assert_eq!((&later[0].1, later[0].2), (&first[0].1, true));
    assert_eq!(
        later[0].0.data["text/plain"],
        "Plot(\"Loss\", Line \"\" of 3 ending at 0.25)"
    );
    let shown = notebook.ok("curve").await.data("text/html").unwrap();
    assert!(shown.starts_with("<svg "), "{shown}");
}

#[tokio::test]
async fn formats_carry_their_metadata() {
    let mut notebook = Notebook::open();
    let code = "display(&mime::png([1, 2]).with_metadata(\"image/png\", json!({ \"width\": 64 })));
        display(&mime::json(json!({ \"a\": [1] })));
        mime::vega_lite(json!({ \"mark\": \"bar\" }))";
    let ran = notebook.ok(code).await;
    let shown = displayed(&ran);
    assert_eq!(shown[0].0.data["image/png"], "AQI=");
    assert_eq!(
        Value::from(shown[0].0.metadata.clone()),
        json!({ "image/png": { "width": 64 } })
    );
    assert_eq!(shown[1].0.data["application/json"], json!({ "a": [1] }));
    assert!(ran.outputs.iter().any(|output| matches!(output,
        Output::Result { bundle } if bundle.data["application/vnd.vegalite.v5+json"]["mark"] == "bar")));
}

#[tokio::test]
async fn rich_types_are_rich_wherever_they_are_shown() {
    let mut notebook = Notebook::open();
    notebook.ok("#[derive(Debug)] struct Fancy(u8); impl Rich for Fancy { fn rich(&self) -> MimeBundle { mime::html(format!(\"<i>{}</i>\", self.0)) } }").await;
    let ran = notebook
        .ok("display(&Fancy(1)).update(&Fancy(2)); Some(Fancy(3))")
        .await;
    let shown = displayed(&ran);
    assert_eq!(shown[0].0.data["text/html"], "<i>1</i>");
    assert_eq!(shown[1].0.data["text/html"], "<i>2</i>");
    assert_eq!(ran.data("text/html").as_deref(), Some("<i>3</i>"));
    let ok = notebook.ok("Ok::<_, String>(Fancy(4))").await;
    assert_eq!(ok.data("text/html").as_deref(), Some("<i>4</i>"));
    let code = "Err::<Fancy, _>(\"no\")";
    assert_eq!(notebook.value(code).await, "Err(\"no\")");
    let tensor = "Tensor::zeros(2, DType::F32, &Device::Cpu)";
    let ran = notebook.ok(tensor).await;
    assert!(ran.data("text/html").unwrap().contains("<table>"));
    notebook
        .ok("trait Rich { fn f(&self) {} } struct Other; impl Rich for Other {}")
        .await;
}

#[tokio::test]
async fn long_values_are_cut_with_a_note_and_fields_get_lines() {
    let mut notebook = Notebook::open();
    let list = notebook.value("vec![7; 1_000_000]").await;
    assert!(list.len() < 5000, "{} bytes", list.len());
    assert!(list.ends_with("… (1,000,000 elements in all)"), "{list}");
    assert!(
        notebook
            .value("\"é\".repeat(9000)")
            .await
            .ends_with("… (shortened)")
    );
    notebook.ok("#[derive(Debug)] struct P { name: String, tags: Vec<&'static str>, parent: Option<Box<P>> }").await;
    assert_eq!(
        notebook
            .value("P { name: \"a\".into(), tags: vec![], parent: None }")
            .await,
        "P { name: \"a\", tags: [], parent: None }"
    );
    let long = "P { name: \"a\".repeat(80), tags: vec![\"x\"], parent: None }";
    assert!(notebook.value(long).await.contains("\n    tags: [\n"));
}

#[tokio::test]
async fn progress_overwrites_its_line_and_ends_it() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let mut sum = 0u64; for n in progress(0..1_000_000u64).label(\"adding\") { sum += n; } sum")
        .await;
    assert_eq!(ran.value(""), "499999500000");
    let text = ran.printed(StreamName::Stderr);
    let lines: Vec<_> = text.trim_end().split('\r').collect();
    assert_eq!(lines[0], "");
    assert!(lines[1].starts_with("adding:   0%|"), "{text}");
    let last = lines.last().unwrap();
    assert!(
        last.contains("100%|") && last.contains("| 1000000/1000000 ["),
        "{text}"
    );
    assert!(text.ends_with('\n'));
    let ran = notebook
        .ok("let mut bar = ProgressBar::new(4); bar.inc(1); bar.note(\"loss 0.5\"); bar.set(2); drop(bar);")
        .await;
    let text = ran.printed(StreamName::Stderr);
    assert!(
        text.contains(" 50%|") && text.contains("] loss 0.5"),
        "{text}"
    );
}

#[tokio::test]
async fn pixels_and_tensors_become_pictures() {
    let mut notebook = Notebook::open();
    let gray = notebook.ok("Image::gray(2, 1, [0, 255])?").await;
    assert_eq!(
        gray.data("text/plain").as_deref(),
        Some("Image(2 x 1, Grayscale)")
    );
    assert!(gray.data("image/png").unwrap().starts_with("iVBORw0KGgo"));
    let same = "let ones = Tensor::ones((3, 2, 5), DType::F32, &Device::Cpu)?;
        (Image::of(&ones)? == Image::rgb(5, 2, [255; 30])?, Image::of(&ones.permute((1, 2, 0))?)? == Image::of(&ones)?)";
    assert_eq!(notebook.value(same).await, "(true, true)");
    let failure = notebook.fails("Error", "Image::gray(2, 2, [1])?").await;
    assert_eq!(
        failure.evalue,
        "a picture of 2 x 2 pixels has 4 bytes, but here are 1"
    );
    let failure = notebook
        .fails(
            "Error",
            "Image::of(&Tensor::ones((2, 2, 2, 2), DType::U8, &Device::Cpu)?)?",
        )
        .await;
    assert!(
        failure.evalue.contains("[2, 2, 2, 2] is no picture"),
        "{}",
        failure.evalue
    );
}
