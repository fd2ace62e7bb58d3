//! The certificate of the webhook.

use std::sync::Arc;
use std::time::Duration;

use carrel_operator::certificate::{Certificate, Keeper, Loaded, make, next};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::api::Api;

#[test]
fn the_authority_before_is_believed_too_but_no_older_one() {
    let names = ["operator.default.svc".to_owned(), "192.0.2.1".to_owned()];
    let now = Timestamp::now();
    let first = make(&names, None, now).unwrap();
    assert!(first.config().is_ok());
    let second = make(&names, Some(&first), now).unwrap();
    assert!(second.authorities.contains(first.authorities.trim()));
    let third = make(&names, Some(&second), now).unwrap();
    assert_eq!(third.authorities.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!third.authorities.contains(first.authorities.trim()));
}

/// Of an operator that is reached under this name.
async fn kept(api: &Api, name: &str, now: Timestamp) -> Certificate {
    let keeper = Keeper {
        secrets: kube::Api::namespaced(api.client(), "default"),
        secret: "webhook".to_owned(),
        names: vec![name.to_owned()],
    };
    keeper.current(None, now).await.unwrap()
}

#[tokio::test]
async fn a_certificate_is_made_anew_in_time_and_for_other_names() {
    let api = Api::default();
    let now = Timestamp::now();
    let later = |days: i64| now + SignedDuration::from_hours(24 * days);
    let first = kept(&api, "one", now).await;
    assert_eq!(kept(&api, "one", later(239)).await, first);
    let second = kept(&api, "one", later(240)).await;
    assert!(second.authorities.contains(first.authorities.trim()));
    assert_eq!(kept(&api, "one", later(241)).await, second);
    let other = kept(&api, "other", later(241)).await;
    assert_ne!(other, second);
    assert_eq!(kept(&api, "other", later(241)).await, other);
}

/// The API server is told at once whom to believe; what it believes since long is served for five minutes more.
#[test]
fn a_new_certificate_is_served_when_it_is_believed() {
    let certificate =
        |before: Option<&Certificate>| make(&["one".to_owned()], before, Timestamp::now()).unwrap();
    let (begun, mut renewed) = (Instant::now(), None);
    let mut look = |known: Option<&Loaded>, certificate: &Certificate, seconds: u64| {
        let now = begun + Duration::from_secs(seconds);
        next(known, certificate.clone(), &mut renewed, now).unwrap()
    };
    let first = certificate(None);
    let loaded = look(None, &first, 0).unwrap();
    assert!(look(Some(&loaded), &first, 1000).is_none());
    let second = certificate(Some(&first));
    let told = look(Some(&loaded), &second, 1000).unwrap();
    assert_eq!(told.certificate, second);
    assert!(Arc::ptr_eq(&told.config, &loaded.config));
    assert!(look(Some(&told), &second, 1299).is_none());
    let served = look(Some(&told), &second, 1300).unwrap();
    assert!(!Arc::ptr_eq(&served.config, &loaded.config));
    assert!(look(Some(&served), &second, 1301).is_none());
}
