//! Prebuilt crates that every cell sees without set-up.
