//! The REST API under `/hub/api`: JSON in JupyterHub's shapes. Thin: the same callees as the pages.

pub mod activity;
pub mod answer;
pub mod audit;
pub mod body;
pub mod groups;
pub mod hub;
pub mod listing;
pub mod metrics;
pub mod models;
pub mod oauth;
pub mod openapi;
pub mod servers;
pub mod services;
pub mod shapes;
pub mod share_codes;
pub mod shared;
pub mod shares;
pub mod tokens;
pub mod users;

use crate::app::App;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::{UserName, no_such_user};

/// The user of a path. Call it after the permit: who may not ask does not learn which users exist.
async fn find_user(app: &App, name: &UserName) -> Result<User, AppError> {
    app.db.user(name).await?.ok_or_else(no_such_user)
}
