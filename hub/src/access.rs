//! Access: who asks, what scopes they hold, and the permit without which no action is taken.

pub mod definitions;
pub mod permit;
pub mod principal;
pub mod roles;
pub mod scopes;
pub mod sharing;
