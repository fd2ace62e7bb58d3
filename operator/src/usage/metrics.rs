//! The usage report as Prometheus reads it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Sending;
use super::report::Report;

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
struct OfNodes {
    cpu: String,
    memory: String,
}

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
struct OfJobs {
    kind: &'static str,
    state: &'static str,
}

/// Made anew each time, so that nothing stands in it that is no more.
pub fn text(report: &Report, sending: &Sending) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let nodes = Family::<OfNodes, Gauge>::default();
    for of in &report.nodes {
        let (cpu, memory) = (of.cpu.clone(), of.memory.clone());
        let count = i64::try_from(of.count).unwrap_or(i64::MAX);
        nodes.get_or_create(&OfNodes { cpu, memory }).set(count);
    }
    let jobs = Family::<OfJobs, Gauge>::default();
    for (kind, states) in &report.jobs {
        for (state, count) in states {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            jobs.get_or_create(&OfJobs { kind, state }).set(count);
        }
    }
    let (taken, failed) = (Counter::<u64>::default(), Counter::<u64>::default());
    taken.inc_by(sending.taken);
    failed.inc_by(sending.failed);
    registry.register("carrel_usage_nodes", "Nodes by their capacity", nodes);
    registry.register("carrel_usage_jobs", "Jobs by kind and state", jobs);
    registry.register(
        "carrel_usage_reports_sent",
        "Reports that were sent and taken",
        taken,
    );
    registry.register(
        "carrel_usage_reports_failed",
        "Reports that could not be sent, or were not taken",
        failed,
    );
    if let Some(sent) = &sending.last {
        let last = Gauge::<i64>::default();
        last.set(sent.at.as_second());
        registry.register_with_unit(
            "carrel_usage_report_last_sent_timestamp",
            "When a report was sent last, taken or not",
            Unit::Seconds,
            last,
        );
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
