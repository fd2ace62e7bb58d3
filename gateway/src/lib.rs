//! One entry for browsers: routes from annotations of Services and from HTTPRoutes.

pub mod admin;
pub mod api;
mod attach;
mod builtin;
mod contest;
mod follow;
mod grants;
mod headers;
pub mod health;
mod httproute;
mod mapping;
pub mod options;
mod page;
pub mod plan;
mod resolve;
mod rewrite;
pub mod rule;
pub mod run;
mod stats;
pub mod status;
pub mod switch;
pub mod table;
pub mod verdict;
mod watch;
