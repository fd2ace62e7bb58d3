//! The certificate of the webhook.

use std::sync::Arc;
use std::time::Duration;

use carrel_operator::certificate::{Certificate, Keeper, Loaded, make, next};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::api::Api;

#[test]
fn the_authority_before_is_believed_too_but_no_older_one() {
    let names = ["operator.default.svc".to_owned(), "192.0.2.1".to_owned()];
    let later = |years: i64| Timestamp::now() + SignedDuration::from_hours(24 * 366 * years);
    let first = make(&names, None, later(0)).unwrap();
    assert!(first.config().is_ok());
    let same = make(&names, Some(&first), later(7)).unwrap();
    assert_eq!(same.authorities, first.authorities);
    let second = make(&names, Some(&same), later(8)).unwrap();
    assert!(second.authorities.contains(first.authorities.trim()));
    let third = make(&names, Some(&second), later(16)).unwrap();
    assert_eq!(third.authorities.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!third.authorities.contains(first.authorities.trim()));
}

/// A pod of a TrainJob believes whom its annotation names, which is as old as the pod.
#[tokio::test]
async fn who_believed_the_first_certificate_believes_those_that_follow() {
    let names = ["operator.default.svc".to_owned()];
    let mut newest = make(&names, None, Timestamp::now()).unwrap();
    let mut roots = RootCertStore::empty();
    let authorities = newest.authorities.clone();
    for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    for _ in 0..3 {
        newest = make(&names, Some(&newest), Timestamp::now()).unwrap();
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("operator.default.svc").unwrap();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let acceptor = TlsAcceptor::from(Arc::new(newest.config().unwrap()));
    let (asked, answered) = tokio::join!(
        TlsConnector::from(Arc::new(client)).connect(name, ours),
        acceptor.accept(theirs),
    );
    asked.unwrap();
    answered.unwrap();
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
    assert_ne!(second, first);
    assert_eq!(second.authorities, first.authorities);
    assert_eq!(kept(&api, "one", later(241)).await, second);
    let other = kept(&api, "other", later(241)).await;
    assert_ne!(other, second);
    assert_eq!(kept(&api, "other", later(241)).await, other);
    // Who takes the Secret away gets another authority.
    api.with(|kept| kept.objects.clear());
    let anew = kept(&api, "other", later(241)).await;
    assert_ne!(anew.authorities, other.authorities);
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
