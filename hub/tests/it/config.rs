//! Tests of the configuration file: what is read, what is refused and with which words.

mod errors;
mod known;
mod reference;
mod values;
