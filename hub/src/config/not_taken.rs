//! Keys of JupyterHub 6.1.1 and its authenticators that this Hub does not have, each with why and what to use instead.

/// Section, key, reason.
type Row = (&'static str, &'static str, &'static str);

/// Passed over, for nothing is lost by it.
pub(super) const WITHOUT_EFFECT: [Row; 51] = [
    (
        "GitHubOAuthenticator",
        "populate_teams_in_auth_state",
        "the Hub keeps what GitHub says of the user, and not of their teams",
    ),
    (
        "CILogonOAuthenticator",
        "shown_idps",
        "CILogon's page shows all that it knows; `allowed_idps` says whose users come in",
    ),
    (
        "JupyterHub",
        "admin_access",
        "administrators may use the servers of others by their role `admin`; give it fewer scopes in `load_roles`",
    ),
    (
        "JupyterHub",
        "authenticate_prometheus",
        "metrics ask for a token with the scope read:metrics",
    ),
    (
        "JupyterHub",
        "template_paths",
        "the pages are part of the Hub",
    ),
    (
        "JupyterHub",
        "template_vars",
        "the pages are part of the Hub",
    ),
    (
        "JupyterHub",
        "shutdown_on_logout",
        "servers that nobody uses are stopped by `IdleCuller`",
    ),
    (
        "Spawner",
        "consecutive_failure_limit",
        "the Hub does not end because starts fail",
    ),
    (
        "JupyterHub",
        "active_user_window",
        "the metric `active_users` counts those of a day, a week and a month",
    ),
    (
        "JupyterHub",
        "activity_resolution",
        "activity is written down to the second that is told",
    ),
    ("JupyterHub", "answer_yes", "the Hub asks nothing"),
    (
        "JupyterHub",
        "api_page_default_limit",
        "a page of the API has 50 items, and up to 200 where they are asked for",
    ),
    (
        "JupyterHub",
        "api_page_max_limit",
        "a page of the API has 50 items, and up to 200 where they are asked for",
    ),
    (
        "JupyterHub",
        "cleanup_proxy",
        "the Hub is its own proxy; one apart keeps its routes",
    ),
    (
        "JupyterHub",
        "config_file",
        "it is the file that the Hub is given by --config",
    ),
    (
        "JupyterHub",
        "confirm_no_ssl",
        "it does nothing in JupyterHub either",
    ),
    (
        "JupyterHub",
        "cookie_secret",
        "sessions are random names in the database, and no secret signs them",
    ),
    (
        "JupyterHub",
        "cookie_secret_file",
        "sessions are random names in the database, and no secret signs them",
    ),
    (
        "JupyterHub",
        "data_files_path",
        "the pages are part of the Hub",
    ),
    (
        "JupyterHub",
        "db_kwargs",
        "they are arguments of Python's SQLAlchemy; what a database needs to know stands in `db_url`",
    ),
    ("JupyterHub", "debug_db", "set RUST_LOG=sqlx=debug"),
    ("JupyterHub", "debug_proxy", "set RUST_LOG=debug"),
    (
        "JupyterHub",
        "extra_log_file",
        "the Hub logs to its standard error; `EventLogger` writes what happens to a file",
    ),
    (
        "JupyterHub",
        "extra_log_handlers",
        "the Hub logs to its standard error; `EventLogger` writes what happens to a file",
    ),
    (
        "JupyterHub",
        "generate_config",
        "CONFIGURATION.md has all keys",
    ),
    (
        "JupyterHub",
        "hub_socket_mode",
        "the Hub listens on no UNIX socket",
    ),
    (
        "JupyterHub",
        "implicit_spawn_seconds",
        "a server is started by whoever asks for it",
    ),
    (
        "JupyterHub",
        "init_spawners_timeout",
        "the Hub listens after ten seconds at most; what takes longer goes on afterwards",
    ),
    (
        "JupyterHub",
        "jinja_environment_options",
        "the pages are part of the Hub",
    ),
    (
        "JupyterHub",
        "last_activity_interval",
        "the Hub asks its proxy at each `Spawner.poll_interval`",
    ),
    ("JupyterHub", "logo_file", "the pages are part of the Hub"),
    (
        "JupyterHub",
        "pid_file",
        "whoever starts the Hub knows its process",
    ),
    (
        "JupyterHub",
        "service_check_interval",
        "a service of the Hub's own that ends is started again at once; others are not looked at",
    ),
    (
        "JupyterHub",
        "trust_user_provided_tokens",
        "tokens are looked up by a hash that costs nothing",
    ),
    (
        "JupyterHub",
        "upgrade_db",
        "the Hub brings its database up to date at each start",
    ),
    (
        "JupyterHub",
        "use_legacy_stopped_server_status_code",
        "a server that does not run is 424, which JupyterLab knows since 3.2",
    ),
    (
        "JupyterHub",
        "allow_existing_invalid_named_servers",
        "servers of an older JupyterHub keep their names and can be started",
    ),
    (
        "Spawner",
        "poll_jitter",
        "the Hub looks at its servers one after the other",
    ),
    ("Spawner", "ssl_alt_names", "it goes with `internal_ssl`"),
    (
        "Spawner",
        "ssl_alt_names_include_local",
        "it goes with `internal_ssl`",
    ),
    (
        "LocalProcessSpawner",
        "interrupt_timeout",
        "servers are told to end by SIGTERM (`term_timeout`)",
    ),
    (
        "Authenticator",
        "any_allow_config",
        "the Hub says so at its start where nobody may log in",
    ),
    (
        "Authenticator",
        "auto_login_oauth2_authorize",
        "whoever comes from a service and is not logged in is led to the login, and back",
    ),
    (
        "LocalAuthenticator",
        "add_user_cmd",
        "the Hub makes no accounts of the machine",
    ),
    (
        "LocalAuthenticator",
        "uids",
        "the Hub makes no accounts of the machine",
    ),
    (
        "ConfigurableHTTPProxy",
        "check_running_interval",
        "the Hub starts no proxy: start it with what it needs",
    ),
    (
        "ConfigurableHTTPProxy",
        "command",
        "the Hub starts no proxy: start it with what it needs",
    ),
    (
        "ConfigurableHTTPProxy",
        "command_umask",
        "the Hub starts no proxy: start it with what it needs",
    ),
    (
        "ConfigurableHTTPProxy",
        "debug",
        "the Hub starts no proxy: start it with what it needs",
    ),
    (
        "ConfigurableHTTPProxy",
        "log_level",
        "the Hub starts no proxy: start it with what it needs",
    ),
    (
        "ConfigurableHTTPProxy",
        "pid_file",
        "the Hub starts no proxy: start it with what it needs",
    ),
];

/// Refused: who wrote them would miss something. Those of no section are of any; no key is the whole section.
pub(super) const REFUSED: [Row; 45] = [
    (
        "",
        "validate_server_cert",
        "certificates are always checked; add your own to those of the machine, or name them in SSL_CERT_FILE",
    ),
    (
        "",
        "tls_kwargs",
        "certificates are always checked; add your own to those of the machine, or name them in SSL_CERT_FILE",
    ),
    (
        "",
        "http_request_kwargs",
        "it is an argument of a Python function",
    ),
    ("", "username_key", "write `username_claim`"),
    ("", "google_group_whitelist", "write `allowed_groups`"),
    (
        "",
        "delete_invalid_users",
        "users are deleted by the API, or by `IdleCuller.users`",
    ),
    (
        "JupyterHub",
        "api_tokens",
        "write `services`, each with its `api_token`, and what they may do in `load_roles`",
    ),
    (
        "JupyterHub",
        "service_tokens",
        "write `services`, each with its `api_token`, and what they may do in `load_roles`",
    ),
    (
        "JupyterHub",
        "external_ssl_authorities",
        "it goes with `internal_ssl`",
    ),
    (
        "JupyterHub",
        "extra_handlers",
        "they are classes of Python; run a service in their place (`services`)",
    ),
    (
        "JupyterHub",
        "forwarded_host_header",
        "have the proxy before the Hub pass the header Host on, or say `public_url`",
    ),
    (
        "JupyterHub",
        "generate_certs",
        "it goes with `internal_ssl`",
    ),
    (
        "JupyterHub",
        "hub_connect_ip",
        "write `hub_connect_url: http://<ip>:<port>`",
    ),
    (
        "JupyterHub",
        "hub_connect_port",
        "write `hub_connect_url: http://<ip>:<port>`",
    ),
    (
        "JupyterHub",
        "hub_routespec",
        "the Hub answers whatever has no route",
    ),
    (
        "JupyterHub",
        "internal_certs_location",
        "it goes with `internal_ssl`",
    ),
    (
        "JupyterHub",
        "internal_ssl",
        "Hub, proxy and servers speak plain http with each other: encrypt their network, as a service mesh or WireGuard between the nodes does, and let network policies bound it",
    ),
    (
        "JupyterHub",
        "oauth_require_pkce",
        "a client that sends a challenge is held to it; one that sends none cannot be turned away",
    ),
    (
        "JupyterHub",
        "oauth_token_expires_in",
        "tokens of OAuth end with the login that they were given in (`cookie_max_age_days`)",
    ),
    (
        "JupyterHub",
        "proxy_api_ip",
        "write `ConfigurableHTTPProxy.api_url`",
    ),
    (
        "JupyterHub",
        "proxy_api_port",
        "write `ConfigurableHTTPProxy.api_url`",
    ),
    (
        "JupyterHub",
        "proxy_auth_token",
        "write `ConfigurableHTTPProxy.auth_token`",
    ),
    (
        "JupyterHub",
        "proxy_cmd",
        "the Hub starts no proxy; run `carrel-hub proxy` or configurable-http-proxy apart",
    ),
    (
        "JupyterHub",
        "recreate_internal_certs",
        "it goes with `internal_ssl`",
    ),
    (
        "JupyterHub",
        "reset_db",
        "remove the database that `db_url` names, when nothing of it is wanted any more",
    ),
    (
        "JupyterHub",
        "tornado_settings",
        "they are arguments of Python's Tornado; what they set in JupyterHub has keys here, as `slow_spawn_timeout`",
    ),
    (
        "JupyterHub",
        "trusted_alt_names",
        "it goes with `internal_ssl`",
    ),
    (
        "Spawner",
        "apply_user_options",
        "it is a function of Python; a field of `options_form` says where its value goes",
    ),
    (
        "Spawner",
        "options_from_form",
        "it is a function of Python; a field of `options_form` says where its value goes",
    ),
    ("Spawner", "debug", "write `args: [--debug]`"),
    (
        "Spawner",
        "disable_user_config",
        "write `environment: {JUPYTERHUB_DISABLE_USER_CONFIG: '1'}`",
    ),
    (
        "Spawner",
        "oauth_client_allowed_scopes",
        "what a server may do on behalf of its visitors is to use itself; give the server more by `server_token_scopes`",
    ),
    (
        "LocalProcessSpawner",
        "popen_kwargs",
        "they are arguments of Python's Popen",
    ),
    (
        "LocalProcessSpawner",
        "shell_cmd",
        "write the shell into `Spawner.cmd`: [sh, -c, ..]",
    ),
    (
        "Authenticator",
        "manage_roles",
        "groups of the authenticator (`manage_groups`) hold roles by `load_roles`",
    ),
    (
        "Authenticator",
        "reset_managed_roles_on_startup",
        "it goes with `manage_roles`",
    ),
    (
        "Authenticator",
        "otp_prompt",
        "the Hub's form asks for a password alone; a second factor is the business of a provider (`GenericOAuthenticator`)",
    ),
    (
        "Authenticator",
        "request_otp",
        "the Hub's form asks for a password alone; a second factor is the business of a provider (`GenericOAuthenticator`)",
    ),
    ("Authenticator", "whitelist", "write `allowed_users`"),
    (
        "LocalAuthenticator",
        "group_whitelist",
        "write `allowed_groups`",
    ),
    (
        "JupyterHub",
        "default_server_name",
        "`/hub/user-redirect/` leads to the default server",
    ),
    (
        "Proxy",
        "",
        "for `extra_routes`, add a service with the `url` to lead to (`JupyterHub.services`); it is reached under `/services/<name>/`",
    ),
    (
        "SimpleLocalProcessSpawner",
        "",
        "`LocalProcessSpawner` gives each user a folder",
    ),
    (
        "SharedPasswordAuthenticator",
        "",
        "one password for all tells nobody apart; `NativeAuthenticator` lets people sign up (`open_signup`)",
    ),
    (
        "Spawner",
        "oauth_roles",
        "what a server may do on behalf of its visitors is to use itself; give the server more by `server_token_scopes`",
    ),
];

/// What a table says of a key.
pub(super) fn of(table: &[Row], section: &str, key: &str) -> Option<&'static str> {
    let mut rows = table.iter();
    let row = rows.find(|(of, name, _)| *name == key && (of.is_empty() || *of == section));
    row.map(|(_, _, why)| *why)
}
