//! The Hub's endless tasks: one that dies is told and begun anew, for without it the Hub only looks as if it worked.

use std::time::Duration;

use tokio::task::JoinSet;
use tracing::error;

use crate::app::App;

/// How long a task that died waits before it begins anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `task` until it returns by itself or the set is dropped.
pub fn keep<F>(
    tasks: &mut JoinSet<()>,
    app: &App,
    name: &'static str,
    task: impl Fn(App) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let app = app.clone();
    tasks.spawn(async move {
        loop {
            // A set of its own, which ends the task with this one.
            let mut one = JoinSet::new();
            one.spawn(task(app.clone()));
            match one.join_next().await {
                Some(Err(died)) if died.is_panic() => {
                    error!(task = name, cause = %died, "A task of the Hub has died and is begun anew");
                }
                _ => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use carrel_spawner::local::{LocalConfig, LocalProcessSpawner};

    use super::*;
    use crate::auth::xsrf::Key;
    use crate::authenticators::Authenticator;
    use crate::proxy::{InProcess, Routing};

    #[tokio::test]
    async fn a_task_that_dies_is_begun_anew_and_one_that_is_over_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("hub.sqlite").display());
        let db = crate::db::Db::open(&url).await.unwrap();
        let spawner = Arc::new(LocalProcessSpawner::new(LocalConfig::default()));
        let key = Key::new("secret".to_owned());
        let routing = Routing::new(Box::new(InProcess(Default::default())));
        let config = Default::default();
        let authenticator = Authenticator::new(&config, &db).unwrap();
        let app = App::new(
            config,
            db,
            authenticator,
            spawner,
            routing,
            ([127, 0, 0, 1], 0).into(),
            (key, Default::default()),
        );
        let (times, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let counted = times.clone();
        keep(&mut tasks, &app, "test", move |_| {
            let time = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(time >= 2, "dies") }
        });
        assert!(tasks.join_next().await.unwrap().is_ok());
        assert_eq!(times.load(Ordering::Relaxed), 3);
    }
}
