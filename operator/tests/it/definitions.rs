//! Files that are made of the types: `UPDATE=1` writes them anew.

use std::path::Path;

use carrel_jobs::kind::Kind;
use carrel_operator::crds;

#[test]
fn the_chart_has_the_definitions_of_today() {
    for kind in Kind::ALL {
        let file = format!("../deploy/chart/crds/{}.yaml", kind.plural());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = crds::yaml(&[kind]).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == text,
            "{} is out of date: UPDATE=1 cargo test -p carrel-operator --test it definitions",
            file.display()
        );
    }
}
