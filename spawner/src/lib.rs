//! Runs one user's server somewhere: local processes, later pods.
