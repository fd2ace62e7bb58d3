//! What the API server answers where it does not do as it is asked.

/// Whether it answered with this status of HTTP.
pub(crate) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// False where another was faster.
pub(crate) fn unless_conflict<T>(done: kube::Result<T>) -> kube::Result<bool> {
    match done {
        Ok(_) => Ok(true),
        Err(error) if is(&error, 409) => Ok(false),
        Err(error) => Err(error),
    }
}
