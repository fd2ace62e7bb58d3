//! What Prometheus reads: requests by their protocol and outcome, and what each version of a model has done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::models::Models;
use crate::statistics::Counts;

/// Seconds: from the cost of a request alone to that of a large network.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    protocol: &'static str,
    /// By the name of gRPC, `OK` included.
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelVersion {
    model: String,
    version: i64,
}

pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Histogram>,
    used: AtomicBool,
}

impl Metrics {
    pub(crate) fn new(models: Arc<Models>) -> Self {
        let mut registry = Registry::with_prefix("carrel_serving");
        let requests =
            Family::<Request, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let help = "How long inference requests took, by protocol and outcome";
        registry.register_with_unit("request_duration", help, Unit::Seconds, requests.clone());
        registry.register_collector(Box::new(OfModels(models)));
        Self {
            registry,
            requests,
            used: AtomicBool::new(false),
        }
    }

    /// Counts one inference request.
    pub fn count(&self, protocol: &'static str, code: &'static str, time: Duration) {
        self.used.store(true, Ordering::Relaxed);
        let request = self.requests.get_or_create(&Request { protocol, code });
        request.observe(time.as_secs_f64());
    }

    /// Whether there was a request since the last time that it was asked.
    pub fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Where formatting fails.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

struct OfModels(Arc<Models>);

impl std::fmt::Debug for OfModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfModels")
    }
}

type Count = (&'static str, &'static str, fn(&Counts) -> f64);

const COUNTS: [Count; 5] = [
    ("model_successes", "Requests that were computed", |counts| {
        counts.successes as f64
    }),
    ("model_failures", "Requests that were not", |counts| {
        counts.failures as f64
    }),
    ("model_rows", "Rows that were computed", |counts| {
        counts.rows as f64
    }),
    (
        "model_waiting_seconds",
        "Time that requests waited for their turn",
        |counts| counts.waiting_time as f64 / 1e9,
    ),
    (
        "model_computing_seconds",
        "Time that the engine took",
        |counts| counts.computing_time as f64 / 1e9,
    ),
];

impl Collector for OfModels {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let served = self.0.available();
        for (name, help, value) in COUNTS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for one in &served {
                let labels = ModelVersion {
                    model: one.name.clone(),
                    version: one.version,
                };
                let counter = ConstCounter::new(value(&one.statistics.counts()));
                counter.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
