//! Models that ranks hand over: whose they are, how many at a time, and when they go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use carrel_jobs_service::answer::Refusal;
use carrel_jobs_service::store::Models;
use carrel_jobs_service::upload::Handed;
use carrel_report::{SIGNATURE_HEADER, Verifier, sign};
use futures_util::future::join_all;
use futures_util::stream;
use reqwest::Method;
use tokio::time::timeout;

use crate::site::{QUOTAS, Site, answered, keys};

const SECRET: &[u8] = b"secret";

/// Of a user of whom there is nothing else.
fn handed<'a>(user: &'a str, body: Body, signature: &'a str) -> Handed<'a> {
    Handed {
        body,
        verifier: Verifier::new(SECRET),
        signature,
        user,
        is_own: &|_| false,
        is_wanted: &|| Ok(()),
    }
}

fn endless() -> Body {
    Body::from_stream(stream::pending::<std::io::Result<Bytes>>())
}

async fn take(models: &Models, id: &str, body: &'static [u8]) -> bool {
    let signature = sign(SECRET, body);
    let taken = models.take(id, handed("ada", Body::from(body), &signature));
    taken.await.is_ok()
}

#[tokio::test]
async fn a_model_of_an_earlier_attempt_is_not_taken() {
    let site = Site::new(None).await;
    let id = site.submit("ada", 1).await;
    let keys = keys();
    let put = |attempt: u64| {
        let path = format!("/jobs/{id}/model?attempt={attempt}");
        let request = site.request(Method::PUT, &path).body("weights");
        let signature = sign(keys.secret(&id).as_bytes(), b"weights");
        let request = request.bearer_auth(keys.token(&id));
        answered(request.header(SIGNATURE_HEADER, signature))
    };
    let (status, body) = put(2).await;
    assert_eq!(status, 409, "{body}");
    assert_eq!(put(1).await.0, 204);
}

/// Also where that has ended since the first byte came.
#[tokio::test]
async fn a_model_that_is_wanted_no_more_when_it_is_whole_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::open(folder.path(), &QUOTAS).unwrap();
    let asked = AtomicUsize::new(0);
    let is_wanted = || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Refusal::conflict("of another attempt")),
    };
    let signature = sign(SECRET, b"weights");
    let model = Handed {
        is_wanted: &is_wanted,
        ..handed("ada", Body::from("weights"), &signature)
    };
    let taken = models.take("job", model);
    assert_eq!(taken.await.unwrap_err().message, "of another attempt");
    assert!(models.get("job").await.is_err());
}

/// One that sends nothing more holds up no other.
#[tokio::test]
async fn a_slow_model_waits_alone() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::open(folder.path(), &QUOTAS).unwrap();
    let parts = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"half"))]);
    let endless = Body::from_stream(futures_util::StreamExt::chain(parts, stream::pending()));
    let slow = models.take("slow", handed("ada", endless, ""));
    let mut slow = std::pin::pin!(slow);
    let others = async {
        assert!(take(&models, "other", b"weights").await);
        assert!(take(&models, "slow", b"newer").await);
    };
    tokio::select! {
        _ = &mut slow => panic!("it has no end"),
        done = timeout(Duration::from_secs(20), others) => done.unwrap(),
    }
    assert!(models.get("slow").await.is_ok());
    // All together are no larger than they may be, however they came.
    assert!(take(&models, "large", &[0; 900]).await);
    assert!(!take(&models, "too-much", &[0; 900]).await);
}

#[tokio::test]
async fn models_that_stall_give_their_turn_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut models = Models::open(folder.path(), &QUOTAS).unwrap();
    models.patience = Duration::from_millis(100);
    let stalled = ["a", "b", "c", "d"].map(|id| models.take(id, handed("ada", endless(), "")));
    let all = async {
        let (stalled, other) = tokio::join!(join_all(stalled), take(&models, "other", b"weights"));
        assert!(other);
        for one in stalled {
            assert_eq!(one.unwrap_err().status, 408);
        }
    };
    timeout(Duration::from_secs(20), all).await.unwrap();
}

#[tokio::test]
async fn who_hands_over_many_slow_models_holds_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::open(folder.path(), &QUOTAS).unwrap();
    let ids: Vec<_> = (0..40).map(|number| format!("slow-{number}")).collect();
    let slow = ids
        .iter()
        .map(|id| models.take(id, handed("eve", endless(), "")));
    tokio::select! {
        biased;
        _ = join_all(slow) => panic!("they have no end"),
        taken = take(&models, "other", b"weights") => assert!(taken),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it waits for them"),
    }
}

#[tokio::test]
async fn models_of_one_user_leave_room_for_those_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::open(folder.path(), &QUOTAS).unwrap();
    let take = async |user: &str, id: &str, body: &'static [u8]| {
        let signature = sign(SECRET, body);
        let is_own = |other: &str| other.starts_with(user);
        let model = Handed {
            is_own: &is_own,
            ..handed(user, Body::from(body), &signature)
        };
        models
            .take(id, model)
            .await
            .map_err(|no| no.status.as_u16())
    };
    assert_eq!(take("eve", "eve-1", &[1; 900]).await, Ok(()));
    assert_eq!(take("eve", "eve-2", &[1; 400]).await, Err(413));
    assert_eq!(take("bob", "bob-1", &[1; 600]).await, Ok(()));
}

#[tokio::test]
async fn models_go_with_their_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::open(folder.path(), &QUOTAS).unwrap();
    for id in ["there", "gone"] {
        assert!(take(&models, id, b"weights").await);
    }
    // What a service that was killed has left.
    std::fs::write(folder.path().join("there.7.unfinished"), "half").unwrap();
    models.keep(|id| id == "there").await;
    let models = Models::open(folder.path(), &QUOTAS).unwrap();
    assert!(models.get("there").await.is_ok());
    let left = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(left.count(), 1);
}
