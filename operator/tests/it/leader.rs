//! Who of several leads.

use std::time::Duration;

use carrel_operator::leader::Candidate;
use carrel_operator::run::identity;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::api::Api;

/// Longer than the pause between two looks at the lease.
const SECONDS: Duration = Duration::from_secs(5);

fn candidate(api: &Api, identity: &str) -> Candidate {
    Candidate {
        leases: kube::Api::namespaced(api.client(), "default"),
        lease: "lease".to_owned(),
        identity: identity.to_owned(),
    }
}

/// Whether it leads before the time is over.
async fn leads(api: &Api, identity: &str) -> bool {
    let (leads, mut leading) = watch::channel(false);
    let stand = candidate(api, identity).stand(&leads);
    tokio::select! {
        () = stand => false,
        found = timeout(SECONDS, leading.wait_for(|leads| *leads)) => found.is_ok(),
    }
}

/// Two of one name would both lead.
#[test]
fn every_process_is_somebody_else() {
    assert_ne!(identity(), identity());
}

#[tokio::test]
async fn another_leads_when_the_lease_is_given_back() {
    let api = Api::default();
    assert!(leads(&api, "one").await);
    assert_eq!(api.get("/lease")["spec"]["holderIdentity"], "one");
    assert!(!leads(&api, "two").await);
    // It is not another's to give.
    candidate(&api, "two").release().await;
    assert_eq!(api.get("/lease")["spec"]["holderIdentity"], "one");
    candidate(&api, "one").release().await;
    assert_eq!(api.get("/lease")["spec"]["holderIdentity"], Value::Null);
    assert!(leads(&api, "two").await);
    assert_eq!(api.get("/lease")["spec"]["leaseTransitions"], 2);
}
