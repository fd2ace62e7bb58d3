//! Pages on training jobs and on the cluster, for users of the Hub.

pub mod access;
mod api;
pub mod app;
mod assets;
pub mod cluster;
pub mod config;
mod error;
mod gather;
pub mod hub;
pub mod jobs;
mod kept;
mod login;
mod logs;
mod middleware;
mod pages;
mod place;
mod quantity;
pub mod resources;
mod router;
pub mod run;
mod secret;
pub mod sessions;
mod submitted;
mod templates;
mod time;
pub mod training;
mod visitor;
