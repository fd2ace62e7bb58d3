//! What the operator counts, under the names of the training operator where it counted the same.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use carrel_jobs::kind::Kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub created: Family<OfJob, Counter>,
    pub succeeded: Family<OfJob, Counter>,
    pub failed: Family<OfJob, Counter>,
    pub restarted: Family<OfJob, Counter>,
    pub deleted: Family<OfJob, Counter>,
    pub errors: Family<OfError, Counter>,
    pub leads: Family<OfKind, Gauge<i64>>,
    seconds: Histogram,
    pub conversions: Counter<u64, AtomicU64>,
}

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
pub struct OfJob {
    job_namespace: String,
    framework: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
pub struct OfError {
    pub kind: &'static str,
    pub cause: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
pub struct OfKind {
    pub kind: &'static str,
}

impl OfJob {
    pub fn new(kind: Kind, namespace: &str) -> Self {
        Self {
            job_namespace: namespace.to_owned(),
            framework: match kind {
                Kind::TfJob | Kind::PyTorchJob => kind.container(),
                Kind::TrainJob => "trainer",
            },
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let bounds = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
        let mut metrics = Self {
            registry: Registry::default(),
            created: Family::default(),
            succeeded: Family::default(),
            failed: Family::default(),
            restarted: Family::default(),
            deleted: Family::default(),
            errors: Family::default(),
            leads: Family::default(),
            seconds: Histogram::new(bounds),
            conversions: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let jobs = [
            ("created", "Jobs that were begun", &self.created),
            ("successful", "Jobs that succeeded", &self.succeeded),
            ("failed", "Jobs that failed", &self.failed),
            (
                "restarted",
                "Pods that were made anew after a failure",
                &self.restarted,
            ),
            (
                "deleted",
                "Jobs that were deleted when their time was over",
                &self.deleted,
            ),
        ];
        for (name, help, family) in jobs {
            let name = format!("training_operator_jobs_{name}");
            registry.register(name, help, family.clone());
        }
        registry.register(
            "carrel_operator_reconcile_errors",
            "Looks at jobs that failed and are tried again",
            self.errors.clone(),
        );
        registry.register(
            "carrel_operator_leads",
            "Whether this process runs the jobs of a kind",
            self.leads.clone(),
        );
        registry.register(
            "carrel_operator_reconcile_seconds",
            "Time of a look at a job with what was done",
            self.seconds.clone(),
        );
        registry.register(
            "carrel_operator_conversions",
            "Objects that were converted",
            self.conversions.clone(),
        );
    }

    pub fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    /// As Prometheus reads it.
    ///
    /// # Errors
    /// When it cannot be written as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
