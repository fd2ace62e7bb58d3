//! Reverse proxy of Carrel: a route table, HTTP streaming and websockets. Knows nothing of the Hub.

mod exchange;
mod forward;
mod guard;
mod pool;
mod proxy;
mod routes;
mod serve;
mod tunnel;
mod workers;

pub use proxy::{Proxy, ProxyBody, Unavailable};
pub use routes::{RouteError, RouteInfo, Routes};
pub use serve::{MAX_FIELDS, Peer, ServeOptions, serve};
