//! Jobs of all kinds, as pages and the API show them. Nothing here asks a cluster or knows HTTP.

pub mod curves;
pub mod form;
pub mod kind;
pub mod mistake;
pub mod pod;
pub mod row;
pub mod trainer;
pub mod yaml;
