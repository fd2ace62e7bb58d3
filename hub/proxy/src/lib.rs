//! Reverse proxy of Carrel: a route table, HTTP streaming and websockets. Knows nothing of the Hub.

mod apart;
mod chain;
mod client;
mod error_pages;
mod exchange;
mod forward;
mod guard;
mod host;
mod http2;
mod model;
mod pool;
mod proxy;
mod redirect;
mod rest;
mod routes;
mod serve;
mod store;
mod tls;
mod tunnel;
mod workers;

pub use apart::{Apart, ApartError};
pub use client::{Peer, Served};
pub use error_pages::ErrorPages;
pub use proxy::{Proxy, ProxyBody, Unavailable};
pub use redirect::Redirect;
pub use routes::{Data, NewRoute, RouteError, RouteInfo, Routes};
pub use serve::{MAX_FIELDS, ServeOptions, serve};
pub use tls::{Tls, TlsError};
