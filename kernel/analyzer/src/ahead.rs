//! Work for the first answer on the other processors: it takes two seconds, of which reading items and
//! implementations of the libraries is half.

use std::panic::AssertUnwindSafe;
use std::thread;

use ra_ap_hir::{Crate, TraitImpls, attach_db};
use ra_ap_hir_def::item_tree::file_item_tree;
use ra_ap_hir_def::nameres::crate_def_map;
use ra_ap_ide_db::RootDatabase;
use ra_ap_ide_db::base_db::{EditionedFileId, SourceDatabase};
use salsa::Cancelled;

use crate::STACK;

/// Starts it. It ends by itself, or when the database is changed.
pub fn read_ahead(db: &RootDatabase) {
    // On a single one it would only be in the way.
    if thread::available_parallelism().is_ok_and(|processors| processors.get() > 1) {
        start("items", db.clone(), read_items);
        start("implementations", db.clone(), read_implementations);
    }
}

fn start(name: &str, db: RootDatabase, read: fn(&RootDatabase)) {
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK);
    // The answer comes without it too.
    let _ =
        thread.spawn(move || Cancelled::catch(AssertUnwindSafe(|| attach_db(&db, || read(&db)))));
}

/// Gets ahead of name resolution, which comes upon files one by one.
fn read_items(db: &RootDatabase) {
    for library in Crate::all(db) {
        let file = db.file_source_root(library.root_file(db));
        let files = db.source_root(file.source_root_id(db)).source_root(db);
        for file in files.iter() {
            let file = EditionedFileId::new(db, file, library.edition(db));
            file_item_tree(db, file.into(), library.base());
        }
    }
}

/// Follows name resolution, from crate to crate.
fn read_implementations(db: &RootDatabase) {
    for library in Crate::all(db) {
        crate_def_map(db, library.base());
        TraitImpls::for_crate(db, library.base());
    }
}
