//! What Carrel's services beside the Hub share: the Hub's word on a token, a port, a log, and answers that arrive.

mod client;
mod cookies;
mod error;
mod hub;
mod listen;
mod log;
mod read_out;
mod secured;
mod turns;

pub use client::{HttpClient, client};
pub use cookies::COOKIES_OF_THE_HUB;
pub use error::in_full;
pub use hub::{HubClient, HubError, Server, User};
pub use listen::bind;
pub use log::start_log;
pub use read_out::read_out;
pub use secured::secured;
pub use turns::{Turn, Turns};
