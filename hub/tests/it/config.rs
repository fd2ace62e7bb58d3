//! Tests of the configuration file: what is read, what is refused and with which words.

mod errors;
mod reference;
mod values;
