//! The Hub: login, pages, REST API, OAuth provider, servers of users.

pub mod access;
pub mod accounts;
pub mod api;
pub mod app;
pub mod assets;
pub mod audit;
pub mod auth;
pub mod config;
pub mod db;
pub mod error;
mod fetch;
mod headers;
mod log_limit;
pub mod memory;
mod middleware;
mod names;
pub mod oauth;
pub mod pages;
mod peer;
pub mod proxy;
mod router;
pub mod run;
pub mod servers;
pub mod shares;
pub mod templates;
mod time;
pub mod tokens;
