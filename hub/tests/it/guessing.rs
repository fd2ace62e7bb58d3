//! Who guesses passwords is slowed down, and nobody else.

use crate::harness::{Behaviour, FakeSpawner, TestHub};

/// More than an address has free.
const MANY: usize = 31;

/// A Hub where somebody behind this machine's address has guessed for long, each time with another name.
async fn after_many_guesses() -> TestHub {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.authenticator.allow_all = true;
    })
    .await;
    let hash = carrel_hub::auth::password::hash("of bob".into())
        .await
        .unwrap();
    hub.app
        .db
        .add_user("bob", false, Some(&hash), false)
        .await
        .unwrap();
    let browser = hub.browser();
    for count in 0..MANY {
        let name = format!("somebody{count}");
        browser.login(&name, "guess").await.expect(403);
    }
    hub
}

#[tokio::test]
async fn wrong_logins_of_one_do_not_slow_the_others_behind_the_same_address() {
    let hub = after_many_guesses().await;
    // The name that failed last waits: its own tries are used up with those of the address.
    let last = format!("somebody{}", MANY - 1);
    hub.browser().login(&last, "guess").await.expect(429);
    for _ in 0..3 {
        hub.browser().login("bob", "of bob").await.expect(303);
    }
    hub.browser().login("admin", "").await.expect(303);
    // One that fails now is looked at once before it waits.
    hub.browser().login("carol", "guess").await.expect(403);
    let refused = hub.browser().login("carol", "guess").await.expect(429);
    assert!(refused.body.contains("Try again in"), "{}", refused.body);
}

#[tokio::test]
async fn whoever_typed_it_wrong_once_can_change_the_password_all_the_same() {
    let hub = after_many_guesses().await;
    let bob = hub.browser();
    bob.login("bob", "of bob").await.expect(303);
    let change = [
        ("old_password", "of bob"),
        ("new_password", "battery staple"),
        ("new_password_confirmation", "battery staple"),
    ];
    let page = "/hub/change-password";
    bob.submit(page, page, &change).await.expect(200);
}
