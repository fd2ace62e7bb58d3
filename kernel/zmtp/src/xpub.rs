//! An XPUB socket: each subscriber has a queue of its own, so that one that does not read holds up no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::outbox::Outbox;
use super::peer::{Accepting, Attend, Client, Sent, accept, tell};
use super::{Kind, Limits, Listener};

/// Most bytes of a subscription.
const MOST: usize = 4096;
/// Most subscriptions of one subscriber.
const MOST_TOPICS: usize = 64;
/// Joins and subscriptions that wait for the publisher before subscribers wait too.
const EVENTS: usize = 64;

/// Owned by one task, which publishes and takes subscriptions between two messages.
#[derive(Debug)]
pub struct XPub {
    subscribers: HashMap<u64, Subscriber>,
    events: mpsc::Receiver<(u64, Event)>,
    _accepting: Accepting,
}

#[derive(Debug)]
struct Subscriber {
    topics: Vec<Bytes>,
    outbox: Outbox,
}

/// A subscriber asked for a topic and has got nothing of it yet.
#[derive(Debug)]
pub struct Subscription {
    subscriber: u64,
    pub topic: Bytes,
}

#[derive(Debug)]
enum Event {
    Joined(Outbox),
    Subscribed(Bytes),
    Cancelled(Bytes),
}

impl XPub {
    pub fn open(listener: Listener, limits: Limits) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let socket = Socket {
            events: sender,
            joined: AtomicU64::new(0),
        };
        Self {
            subscribers: HashMap::new(),
            events,
            _accepting: accept(listener, limits, socket),
        }
    }

    /// The next subscription; it takes effect with [`XPub::welcome`]. Cancel-safe; waits for ever once the socket is closed.
    pub async fn next(&mut self) -> Subscription {
        loop {
            let Some((number, event)) = self.events.recv().await else {
                return std::future::pending().await;
            };
            match event {
                Event::Joined(outbox) => {
                    self.forget_those_who_left();
                    let topics = Vec::new();
                    self.subscribers
                        .insert(number, Subscriber { topics, outbox });
                }
                Event::Subscribed(topic) => {
                    return Subscription {
                        subscriber: number,
                        topic,
                    };
                }
                Event::Cancelled(topic) => {
                    if let Some(subscriber) = self.subscribers.get_mut(&number) {
                        subscriber.cancel(&topic);
                    }
                }
            }
        }
    }

    /// Starts a subscription, with a message for this subscriber alone.
    pub async fn welcome(&mut self, subscription: Subscription, message: &[Bytes]) {
        let Some(subscriber) = self.subscribers.get_mut(&subscription.subscriber) else {
            return;
        };
        if subscriber.topics.len() >= MOST_TOPICS {
            return tracing::warn!("A subscriber asked for more than {MOST_TOPICS} topics");
        }
        subscriber.topics.push(subscription.topic);
        if !subscriber.outbox.send(message).await {
            self.subscribers.remove(&subscription.subscriber);
        }
    }

    /// Sends to all who subscribed to a prefix of the first frame. Waits only for a subscriber for which
    /// [`Limits::waiting`] bytes wait already, after all others were served; if it takes nothing it is dropped.
    pub async fn send(&mut self, message: &[Bytes]) {
        self.forget_those_who_left();
        let mut full = Vec::new();
        for (number, subscriber) in &self.subscribers {
            if subscriber.wants(message) && !subscriber.outbox.try_send(message) {
                full.push(*number);
            }
        }
        for number in full {
            if let Some(subscriber) = self.subscribers.get(&number)
                && !subscriber.outbox.send(message).await
            {
                self.subscribers.remove(&number);
                tracing::warn!("A subscriber that does not read was dropped");
            }
        }
    }

    fn forget_those_who_left(&mut self) {
        self.subscribers
            .retain(|_, subscriber| !subscriber.outbox.has_left());
    }

    /// Waits until all subscribers took what was sent; not longer than `limit`.
    pub async fn flush(&self, limit: Duration) {
        let flush = async {
            for subscriber in self.subscribers.values() {
                subscriber.outbox.flush(limit).await;
            }
        };
        let _ = tokio::time::timeout(limit, flush).await;
    }
}

impl Subscriber {
    fn wants(&self, message: &[Bytes]) -> bool {
        let topic = message.first().map_or(&[][..], |frame| frame);
        self.topics
            .iter()
            .any(|wanted| topic.starts_with(wanted.as_ref()))
    }

    fn cancel(&mut self, topic: &Bytes) {
        if let Some(at) = self.topics.iter().position(|wanted| wanted == topic) {
            self.topics.swap_remove(at);
        }
    }
}

struct Socket {
    events: mpsc::Sender<(u64, Event)>,
    joined: AtomicU64,
}

impl Attend for Socket {
    const KIND: Kind = Kind::XPub;

    fn most(&self) -> usize {
        MOST
    }

    async fn attend(&self, mut client: Client, outbox: Outbox) {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let mut event = Some(Event::Joined(outbox.clone()));
        loop {
            if let Some(event) = event
                && self.events.send((number, event)).await.is_err()
            {
                return;
            }
            event = match client.next(&outbox).await {
                Ok(Sent::Subscribe(topic)) => Some(Event::Subscribed(topic)),
                Ok(Sent::Cancel(topic)) => Some(Event::Cancelled(topic)),
                Ok(Sent::Message(frames)) => subscription(&frames),
                Err(error) => return tell(Self::KIND, &error),
            };
        }
    }
}

/// ZMTP 3.0 subscribes and cancels by messages: a byte, then the topic.
fn subscription(frames: &[Bytes]) -> Option<Event> {
    let [frame] = frames else { return None };
    match frame.first()? {
        1 => Some(Event::Subscribed(frame.slice(1..))),
        0 => Some(Event::Cancelled(frame.slice(1..))),
        _ => None,
    }
}
