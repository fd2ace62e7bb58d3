//! Reverse proxy of Carrel: a route table, HTTP streaming and websockets. Knows nothing of the Hub.

mod apart;
mod error_pages;
mod exchange;
mod forward;
mod guard;
mod model;
mod pool;
mod proxy;
mod rest;
mod routes;
mod serve;
mod store;
mod tunnel;
mod workers;

pub use apart::{Apart, ApartError};
pub use error_pages::ErrorPages;
pub use proxy::{Proxy, ProxyBody, Unavailable};
pub use routes::{Data, NewRoute, RouteError, RouteInfo, Routes};
pub use serve::{MAX_FIELDS, Peer, ServeOptions, serve};
