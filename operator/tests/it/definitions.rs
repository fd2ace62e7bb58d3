//! Files that are made of the types: `UPDATE=1` writes them anew.

use std::path::Path;

use carrel_jobs::kind::Kind;
use carrel_operator::{crds, runtimes};

#[test]
fn the_chart_has_the_definitions_of_today() {
    for kind in Kind::ALL {
        let file = format!("crds/{}.yaml", kind.plural());
        is(&file, &crds::yaml(&[kind]).unwrap());
    }
}

#[test]
fn the_chart_has_the_runtimes_of_today() {
    let mut runtimes = serde_json::Value::from(runtimes::all().to_vec());
    runtimes.sort_all_objects();
    let text = serde_json::to_string_pretty(&runtimes).unwrap() + "\n";
    is("runtimes.json", &text);
}

fn is(file: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/chart/{file}"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{} is out of date: UPDATE=1 cargo test -p carrel-operator --test it definitions",
        file.display()
    );
}
