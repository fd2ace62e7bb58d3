//! Imports from a type or module of the cell itself. What a `derive` stands at exists later than what the cell sees of
//! others, and a path that starts with `self` cannot mean that.

use syn::{Item, Stmt, UseTree};

use super::names::name_of;
use super::{ItemKind, Parsed};

/// The name that a path of a `use` starts with, and where.
pub struct Start {
    name: String,
    at: usize,
}

pub fn starts(statements: &[Stmt]) -> Vec<Start> {
    let mut found = Vec::new();
    for statement in statements {
        if let Stmt::Item(Item::Use(item)) = statement
            && item.leading_colon.is_none()
        {
            add(&item.tree, &mut found);
        }
    }
    found
}

fn add(tree: &UseTree, found: &mut Vec<Start>) {
    match tree {
        UseTree::Path(path) => found.push(Start {
            name: name_of(&path.ident),
            at: path.ident.span().byte_range().start,
        }),
        UseTree::Group(group) => group.items.iter().for_each(|tree| add(tree, found)),
        UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

impl Parsed {
    /// Has those that start with a type or module of the cell start with `self`.
    pub fn root_uses(&mut self, starts: &[Start]) {
        let defined = self.items.iter().filter_map(|item| item.defines.clone());
        let defined: Vec<String> = defined.collect();
        for start in starts.iter().filter(|start| defined.contains(&start.name)) {
            let mut items = self.items.iter_mut();
            let Some(item) = items.find(|item| item.part.range.contains(&start.at)) else {
                continue;
            };
            item.part.edit(start.at..start.at, "self::".into());
            if let ItemKind::Use(globs) = &mut item.kind {
                for glob in globs {
                    if glob.path.split("::").next() == Some(&start.name) {
                        glob.path.insert_str(0, "self::");
                    }
                }
            }
        }
    }
}
