//! Routes in JSON, as the REST API tells them and as they are saved.

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use crate::routes::{NewRoute, RouteError, RouteInfo};

const TARGET: &str = "target";
const LAST_ACTIVITY: &str = "last_activity";

#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRoute {
    /// configurable-http-proxy's words.
    #[error("Must specify 'target' as string")]
    NoTarget,
    #[error("the target {0:?} is no URL")]
    Url(String),
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// What its owner gave, and when it was last used. Its target is written as it was given: owners compare it.
pub(crate) fn show(route: &RouteInfo) -> Value {
    let mut model = route.data.as_ref().clone();
    let target = || Value::from(route.target.as_str());
    model.entry(TARGET).or_insert_with(target);
    model.insert(LAST_ACTIVITY.to_owned(), iso(route.last_activity).into());
    Value::Object(model)
}

pub(crate) fn read(mut model: Map<String, Value>) -> Result<NewRoute, BadRoute> {
    let last_activity = model.remove(LAST_ACTIVITY);
    let target = model.get(TARGET).and_then(Value::as_str);
    let target = target.ok_or(BadRoute::NoTarget)?;
    let target = Url::parse(target).map_err(|_| BadRoute::Url(target.to_owned()))?;
    Ok(NewRoute {
        targets: vec![target],
        data: model.into(),
        last_activity: last_activity
            .as_ref()
            .and_then(Value::as_str)
            .and_then(parse_time),
    })
}

/// Unix seconds of an ISO 8601 text; without an offset it is UTC.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(local).ok()
    })?;
    u64::try_from(time.as_second()).ok()
}

fn iso(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = time.unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}
