//! The environment of a single-user server, built by one pure function (`Spawner.get_env` of JupyterHub).

use std::collections::BTreeMap;

use serde_json::json;

use crate::access::scopes::access_scopes;
use crate::app::Urls;
use crate::auth::username::escape;
use crate::config::Config;

#[derive(Debug)]
pub struct Input<'a> {
    pub config: &'a Config,
    pub urls: &'a Urls,
    pub user: &'a str,
    /// Empty for the default server.
    pub server: &'a str,
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub token: &'a str,
}

/// The Hub's part. The spawner adds `Spawner.environment`, which wins over none of this, and
/// `JUPYTERHUB_SERVICE_URL`, which names the port that it chooses.
pub fn environment(input: &Input<'_>) -> BTreeMap<String, String> {
    let scopes = json!(access_scopes(input.user, input.server)).to_string();
    let prefix = input.urls.server(input.user, input.server);
    let full = |path: &str| input.urls.full(path).unwrap_or_default();
    let own = [
        ("JUPYTERHUB_API_TOKEN", input.token.to_owned()),
        // The name before 0.7.2, for old images.
        ("JPY_API_TOKEN", input.token.to_owned()),
        ("JUPYTERHUB_CLIENT_ID", input.client_id.to_owned()),
        (
            "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED",
            u8::from(input.config.jupyter_hub.cookie_host_prefix_enabled).to_string(),
        ),
        ("JUPYTERHUB_HOST", input.urls.origin()),
        (
            "JUPYTERHUB_OAUTH_CALLBACK_URL",
            input.redirect_uri.to_owned(),
        ),
        ("JUPYTERHUB_OAUTH_SCOPES", scopes.clone()),
        ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", scopes),
        ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", "[]".to_owned()),
        ("JUPYTERHUB_USER", input.user.to_owned()),
        ("JUPYTERHUB_SERVER_NAME", input.server.to_owned()),
        ("JUPYTERHUB_API_URL", input.urls.api.clone()),
        (
            "JUPYTERHUB_ACTIVITY_URL",
            format!("{}/users/{}/activity", input.urls.api, escape(input.user)),
        ),
        ("JUPYTERHUB_BASE_URL", input.urls.base.clone()),
        ("JUPYTERHUB_SERVICE_PREFIX", prefix.clone()),
        ("JUPYTERHUB_PUBLIC_URL", full(&prefix)),
        ("JUPYTERHUB_PUBLIC_HUB_URL", full(&input.urls.hub)),
    ];
    let mut environment: BTreeMap<_, _> = own.map(|(name, value)| (name.to_owned(), value)).into();
    if let Some(url) = &input.config.spawner.default_url {
        environment.insert(
            "JUPYTERHUB_DEFAULT_URL".to_owned(),
            url.replace("{username}", input.user),
        );
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PublicHost, PublicUrl};
    use crate::subdomains::Subdomains;

    fn of(config: &Config, server: &str) -> BTreeMap<String, String> {
        let urls = Urls {
            base: "/".to_owned(),
            hub: "/hub/".to_owned(),
            api: "http://127.0.0.1:8000/hub/api".to_owned(),
            subdomains: Subdomains::of(&config.jupyter_hub),
            origin: config.jupyter_hub.public_origin(),
        };
        let redirect_uri = crate::servers::redirect_uri(&urls, &urls.server("ali ce", server));
        environment(&Input {
            config,
            urls: &urls,
            user: "ali ce",
            server,
            client_id: &crate::servers::client_id("ali ce", server),
            redirect_uri: &redirect_uri,
            token: "secret",
        })
    }

    #[test]
    fn a_named_server_gets_what_jupyterhub_gives_it() {
        let lines: Vec<String> = of(&Config::default(), "gpu")
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let want = r#"JPY_API_TOKEN=secret
JUPYTERHUB_ACTIVITY_URL=http://127.0.0.1:8000/hub/api/users/ali%20ce/activity
JUPYTERHUB_API_TOKEN=secret
JUPYTERHUB_API_URL=http://127.0.0.1:8000/hub/api
JUPYTERHUB_BASE_URL=/
JUPYTERHUB_CLIENT_ID=jupyterhub-user-ali%20ce+gpu
JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED=0
JUPYTERHUB_HOST=
JUPYTERHUB_OAUTH_ACCESS_SCOPES=["access:servers!server=ali ce/gpu","access:servers!user=ali ce"]
JUPYTERHUB_OAUTH_CALLBACK_URL=/user/ali%20ce/gpu/oauth_callback
JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES=[]
JUPYTERHUB_OAUTH_SCOPES=["access:servers!server=ali ce/gpu","access:servers!user=ali ce"]
JUPYTERHUB_PUBLIC_HUB_URL=
JUPYTERHUB_PUBLIC_URL=
JUPYTERHUB_SERVER_NAME=gpu
JUPYTERHUB_SERVICE_PREFIX=/user/ali%20ce/gpu/
JUPYTERHUB_USER=ali ce"#;
        assert_eq!(lines, want.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_server_is_told_where_people_open_the_hub() {
        let mut config = Config::default();
        config.jupyter_hub.public_url = PublicUrl::parse("hub.test");
        config.jupyter_hub.cookie_host_prefix_enabled = true;
        let environment = of(&config, "");
        for (name, value) in [
            ("JUPYTERHUB_HOST", "https://hub.test"),
            (
                "JUPYTERHUB_OAUTH_CALLBACK_URL",
                "/user/ali%20ce/oauth_callback",
            ),
            ("JUPYTERHUB_PUBLIC_URL", "https://hub.test/user/ali%20ce/"),
            ("JUPYTERHUB_PUBLIC_HUB_URL", "https://hub.test/hub/"),
            ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "1"),
        ] {
            assert_eq!(environment[name], value);
        }
    }

    #[test]
    fn with_a_host_of_its_own_a_server_knows_it_and_the_hubs() {
        let mut config = Config::default();
        config.jupyter_hub.subdomain_host = PublicHost::parse("http://hub.test:8000");
        let environment = of(&config, "gpu");
        let host = "http://u-alice--0e0be36.hub.test:8000";
        for (name, value) in [
            ("JUPYTERHUB_HOST", String::from("http://hub.test:8000")),
            (
                "JUPYTERHUB_OAUTH_CALLBACK_URL",
                format!("{host}/user/ali%20ce/gpu/oauth_callback"),
            ),
            (
                "JUPYTERHUB_PUBLIC_URL",
                format!("{host}/user/ali%20ce/gpu/"),
            ),
            (
                "JUPYTERHUB_PUBLIC_HUB_URL",
                String::from("http://hub.test:8000/hub/"),
            ),
            (
                "JUPYTERHUB_SERVICE_PREFIX",
                String::from("/user/ali%20ce/gpu/"),
            ),
        ] {
            assert_eq!(environment[name], value);
        }
    }
}
