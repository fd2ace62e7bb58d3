//! The operator: what it makes of jobs without a cluster, and with one (`make test-cluster`).

mod definitions;
