//! A REP socket that sends back what it gets: the heartbeat.

use super::outbox::Outbox;
use super::peer::{Accepting, Attend, Client, Sent, accept, tell};
use super::{Kind, Limits, Listener};

/// Larger heartbeats are none.
const MOST: usize = 64 * 1024;

/// Echoes every message until dropped.
pub fn echo(listener: Listener, limits: Limits) -> Accepting {
    accept(listener, limits, Echo)
}

struct Echo;

impl Attend for Echo {
    const KIND: Kind = Kind::Rep;

    fn most(&self) -> usize {
        MOST
    }

    async fn attend(&self, mut client: Client, outbox: Outbox) {
        loop {
            match client.next(&outbox).await {
                Ok(Sent::Message(frames)) => {
                    if !outbox.send(&frames).await {
                        return;
                    }
                }
                Ok(Sent::Subscribe(_) | Sent::Cancel(_)) => {}
                Err(error) => return tell(Self::KIND, &error),
            }
        }
    }
}
