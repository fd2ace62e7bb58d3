//! Lets the worker find its libraries beside itself, wherever both are copied.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // RPATH, unlike RUNPATH, also holds for what the libraries need in turn.
    println!("cargo::rustc-link-arg-bins=-Wl,--disable-new-dtags,-rpath,$ORIGIN");
}
