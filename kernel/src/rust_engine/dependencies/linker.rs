//! A linker that exports all of a library.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The compiler would hide what is no Rust, such as the functions of a C library
/// that a build script brought; but cells hold code of generic functions that call them.
const SCRIPT: &str = "#!/bin/sh
for argument; do
  case $argument in
    *--version-script=*) echo '{ global: *; };' >\"${argument#*--version-script=}\" ;;
  esac
done
exec cc \"$@\"
";
const FILE: &str = "link.sh";

/// Writes it into the package of a set.
pub fn write(package: &Path) -> io::Result<PathBuf> {
    let file = package.join(FILE);
    fs::write(&file, SCRIPT)?;
    fs::set_permissions(&file, Permissions::from_mode(0o755))?;
    Ok(file)
}
