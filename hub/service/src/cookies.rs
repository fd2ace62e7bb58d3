//! Cookies that the Hub alone sets, by their names; the Hub's tests hold this list against its own.

/// Those by which people are logged in.
pub const COOKIES_OF_THE_HUB: [&str; 7] = [
    "jupyterhub-hub-login",
    "__Host-jupyterhub-hub-login",
    "jupyterhub-hub-form",
    "__Host-jupyterhub-hub-form",
    "jupyterhub-hub-oauth",
    "__Host-jupyterhub-hub-oauth",
    "jupyterhub-session-id",
];
