//! The Hub: login, pages, REST API, OAuth provider, servers of users.
