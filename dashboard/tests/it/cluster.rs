//! The dashboard on a real cluster (`make test-cluster`).
