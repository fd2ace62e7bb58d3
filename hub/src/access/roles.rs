//! The roles that every Hub has (jupyterhub/roles.py, `get_default_roles`); those of the configuration are in the
//! database.

/// What each user has: `self`, all that one may do with what is one's own.
pub const USER: &str = "user";
/// What administrators have besides.
pub const ADMIN: &str = "admin";
/// What the token of a server's own process has.
pub const SERVER: &str = "server";
/// What a token has of which nothing is said.
pub const TOKEN: &str = "token";

/// The roles that a user has without anybody's saying so.
pub fn of_user(admin: bool) -> &'static [&'static str] {
    if admin { &[USER, ADMIN] } else { &[USER] }
}

/// The roles that a service has without anybody's saying so.
pub fn of_service(admin: bool) -> &'static [&'static str] {
    if admin { &[ADMIN] } else { &[] }
}

/// The scopes of a role that every Hub has.
pub fn default_role(name: &str) -> Option<&'static [&'static str]> {
    match name {
        USER => Some(&["self"]),
        ADMIN => Some(&[
            "admin-ui",
            "admin:users",
            "admin:servers",
            "admin:services",
            "tokens",
            "admin:groups",
            "list:services",
            "read:services",
            "read:hub",
            "proxy",
            "shutdown",
            "access:services",
            "access:servers",
            "read:roles",
            "read:metrics",
            "shares",
        ]),
        SERVER => Some(&["users:activity!user", "access:servers!server"]),
        TOKEN => Some(&["inherit"]),
        _ => None,
    }
}
