//! The certificate of the webhook.

use carrel_operator::certificate::make;
use k8s_openapi::jiff::Timestamp;

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
