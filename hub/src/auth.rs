//! Who asks: login sessions of browsers, API tokens, passwords, and what protects them.

pub mod caller;
pub mod cookies;
pub mod crypt;
pub mod flow;
pub mod next;
pub mod password;
pub mod posted;
pub mod secret;
pub mod throttle;
pub mod username;
pub mod xsrf;
