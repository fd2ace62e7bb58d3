//! What users of evcxr write and this kernel does otherwise: its commands that nothing is left to do for, and the signs of
//! other notebooks.

/// Commands of evcxr 0.22 that are taken with any argument, and why there is nothing to do.
pub const NOT_NEEDED: [(&str, &str); 13] = [
    (
        "allow_static_linking",
        "the crates of `:dep` are always linked as shared libraries, so that they keep their statics",
    ),
    (
        "codegen_backend",
        "cells are compiled by LLVM, in milliseconds; `:opt` says how far they are optimized",
    ),
    (
        "efmt",
        "an error of `?` is told with its causes as its `Display` has it, or by its `Debug` where it has no other",
    ),
    (
        "fmt",
        "a value is shown as its `Rich`, its `evcxr_display` or its `Debug` has it; `println!(\"{x:#?}\")` prints in another format",
    ),
    (
        "internal_debug",
        "the kernel tells about itself in the server's log, as far as `$CARREL_LOG` asks for",
    ),
    (
        "last_error_json",
        "the compiler's errors are shown whole below their cell; `:explain` tells more of the last ones",
    ),
    (
        "linker",
        "a cell is linked in a few milliseconds by the quickest linker that is there; `:version` tells which",
    ),
    (
        "preserve_vars_on_panic",
        "a panic always leaves the variables that the cell did not move",
    ),
    (
        "quit",
        "the frontend ends a kernel, in JupyterLab by *Kernel*, *Shut Down Kernel*; `:restart` ends all that runs",
    ),
    (
        "sccache",
        "every crate of `:dep` is built once, for all notebooks and restarts",
    ),
    (
        "time_passes",
        "`:timing` tells how long cells are compiled and run",
    ),
    (
        "toolchain",
        "cells are compiled by the compiler that the crates of Carrel were built with; `:version` tells which",
    ),
    (
        "types",
        "`:type EXPR` tells the type of an expression, `:vars` those of the variables",
    ),
];

pub fn not_needed(name: &str) -> Option<&'static str> {
    let mut all = NOT_NEEDED.iter();
    all.find(|(known, _)| *known == name).map(|(_, why)| *why)
}

/// Why a cell is no Rust, told by how it starts: as in IPython or in Markdown.
pub fn foreign(code: &str) -> Option<String> {
    let start = code.trim_start();
    let first = start.chars().next()?;
    let rest = start[first.len_utf8()..].trim_start();
    let what = match first {
        '#' if rest.starts_with(['[', '!']) => return None,
        '#' => {
            "starts with `#`, which in Rust begins an attribute, `#[..]` or `#![..]`; a note is `// ..`, a heading stands in a Markdown cell"
        }
        '%' => "starts with `%`, a magic of IPython, which this kernel has none of",
        '?' => {
            "starts with `?`; `:doc NAME` shows what is known of a name, as does Shift Tab behind it"
        }
        _ => return None,
    };
    Some(format!(
        "the cell {what}. This kernel takes Rust, and commands that start with `:`, which `:help` lists"
    ))
}

#[cfg(test)]
mod tests {
    use super::{NOT_NEEDED, foreign};

    #[test]
    fn signs_of_other_notebooks_are_told_from_rust() {
        for (code, sign) in [
            ("# A heading", "`#`"),
            ("\n#include <stdio.h>", "`#`"),
            ("%timeit f()", "`%`"),
            ("%%bash\nls", "`%`"),
            ("?Vec", "`?`"),
        ] {
            let told = foreign(code).unwrap();
            assert!(told.contains(sign) && told.contains(":help"), "{told}");
        }
        for code in [
            "#[derive(Debug)] struct P;",
            "#![allow(unused)]",
            "# [test]",
            "!ready",
            "",
            "1",
        ] {
            assert_eq!(foreign(code), None, "{code}");
        }
    }

    #[test]
    fn commands_without_need_say_why_in_one_line() {
        for (name, why) in NOT_NEEDED {
            assert!(!why.is_empty() && !why.contains('\n'), "{name}");
        }
        assert!(NOT_NEEDED.is_sorted());
    }
}
