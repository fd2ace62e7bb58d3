//! The Hub: login, pages, REST API, OAuth provider, servers of users.

pub mod assets;
pub mod config;
pub mod templates;
