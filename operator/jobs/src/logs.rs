//! Where the ends of logs are kept whose pods are gone: a ConfigMap of the job, with an entry for each pod.

use k8s_openapi::jiff::Timestamp;

/// Marks such a ConfigMap.
pub const LABEL: (&str, &str) = ("carrel.dev/holds", "logs");

/// The name of the ConfigMap of a job.
pub fn name(job: &str) -> String {
    format!("{job}-logs")
}

/// The entry of a pod that was made at that time: of pods of one name each has its own.
pub fn key(pod: &str, made: Timestamp) -> String {
    format!("{pod}.{}", made.strftime("%Y%m%dT%H%M%SZ"))
}

/// The pod of an entry, and when that was made, as a text that sorts by time.
pub fn read(key: &str) -> Option<(&str, &str)> {
    key.rsplit_once('.')
}

/// When the pod of an entry was made.
pub fn made(key: &str) -> Option<Timestamp> {
    let (_, made) = read(key)?;
    Timestamp::strptime("%Y%m%dT%H%M%S%z", made.replace('Z', "+0000")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_whose_it_is() {
        let time: Timestamp = "2026-01-31T12:00:09Z".parse().unwrap();
        let key = key("a.job-worker-0", time);
        assert_eq!(key, "a.job-worker-0.20260131T120009Z");
        assert_eq!(read(&key), Some(("a.job-worker-0", "20260131T120009Z")));
        assert_eq!(made(&key), Some(time));
        assert_eq!(made("job-worker-0.other"), None);
    }
}
