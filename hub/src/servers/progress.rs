//! The progress of a start as a stream of events; read from the database, so that every replica can serve it.

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::split_failure;
use crate::app::{App, Wake};
use crate::db::servers::{Server, State};

/// What a waiting person sees; [`Event::Ready`] or [`Event::Failed`] comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Progress { progress: i64, message: String },
    Ready { url: String },
    Failed { message: String },
}

/// All events of the server's present start, from its first.
pub fn events(app: App, server: &Server) -> impl Stream<Item = Event> + use<> {
    let changes = app.wake.subscribe(server.id);
    let places = app.queue.changes();
    let follower = Follower {
        app,
        changes,
        places,
        id: server.id,
        start_id: server.start_id.clone(),
        seq: 0,
        before: None,
        queue: Vec::new(),
        over: false,
    };
    unfold(follower, |mut follower| async {
        follower.next().await.map(|event| (event, follower))
    })
}

struct Follower {
    app: App,
    changes: watch::Receiver<()>,
    /// Changes in the queue.
    places: watch::Receiver<()>,
    id: i64,
    start_id: String,
    seq: i64,
    /// How many starts were told to wait before this one.
    before: Option<usize>,
    /// Read but not yet told, the next one last.
    queue: Vec<Event>,
    over: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            self.changes.mark_unchanged();
            self.places.mark_unchanged();
            if self.waits().await {
                Wake::wait(&mut self.places).await;
                continue;
            }
            if let Err(error) = self.read().await {
                tracing::error!(%error, "Could not read the progress of a start");
                self.end(Event::Failed {
                    message: String::from("The Hub could not read the progress of this start."),
                });
            }
            if self.queue.is_empty() {
                Wake::wait(&mut self.changes).await;
            }
        }
    }

    /// Whether there is nothing new but the place in the queue, which needs no look at the database.
    async fn waits(&mut self) -> bool {
        let waits = self.app.queue.before(&self.start_id).await;
        waits.is_some() && waits.map(|waits| waits.before) == self.before
    }

    /// The state is read first: events written before it changed are then certainly among the rows.
    async fn read(&mut self) -> Result<(), sqlx::Error> {
        let server = self.app.db.server_by_id(self.id).await?;
        let waits = match &server {
            Some(server) if server.start_id == self.start_id => {
                self.app.queue.place_of(server).await
            }
            _ => None,
        };
        let ready = server
            .as_ref()
            .is_some_and(|server| server.state == State::Ready && server.start_id == self.start_id);
        // Who comes when all is over is told the end alone.
        let rows = if ready && self.seq == 0 {
            Vec::new()
        } else {
            self.app.db.progress_after(&self.start_id, self.seq).await?
        };
        if let Some(last) = rows.last() {
            self.seq = last.seq;
        }
        if let Some(end) = server
            .as_ref()
            .map_or_else(|| Some(failed(None)), |server| self.final_event(server))
        {
            self.end(end);
        }
        let events = rows.into_iter().rev().map(|row| Event::Progress {
            progress: row.progress,
            message: row.message,
        });
        let told = self.before;
        self.before = waits.map(|waits| waits.before);
        if let Some(waits) = waits.filter(|_| self.before != told && !self.over) {
            self.queue.push(Event::Progress {
                progress: 0,
                message: waits.to_string(),
            });
        }
        self.queue.extend(events);
        Ok(())
    }

    fn final_event(&self, server: &Server) -> Option<Event> {
        if server.start_id != self.start_id {
            return Some(failed(None));
        }
        match server.state {
            State::Pending => None,
            State::Ready => Some(Event::Ready {
                url: self.app.urls.public(&server.prefix),
            }),
            // Only when nothing of it runs any more may the next start be offered.
            State::Stopping => None,
            State::Stopped => Some(failed(server.failure.as_deref())),
        }
    }

    fn end(&mut self, event: Event) {
        self.queue.push(event);
        self.over = true;
    }
}

fn failed(failure: Option<&str>) -> Event {
    let (reason, _) = split_failure(failure.unwrap_or("The server was stopped"));
    Event::Failed {
        message: reason.to_owned(),
    }
}
