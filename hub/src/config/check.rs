//! Checks that need more than one key, and the few that a type does not say.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use carrel_spawner::kube::{EnvValue, Words};
use url::{Host, Url};

use super::report::{Report, join};
use super::{
    AuthenticatorClass, BaseUrl, Config, ProxyClass, PublicUrl, SpawnerClass, Users, above,
};
use crate::access::definitions::is_custom_name;

pub(super) fn check(config: &mut Config, report: &mut Report) {
    bind_url(config, report);
    hub_bind_url(config, report);
    certificate(config, report);
    hub_connect_url(config, report);
    public_url(config, report);
    users(config, report);
    config.check_authenticators(report);
    config.check_ldap(report);
    config.check_pam(report);
    config.check_oauth(report);
    timeouts(config, report);
    kube_spawner(config, report);
    proxy(config, report);
    services(config, report);
    custom_scopes(config, report);
}

/// Whatever names a custom scope names one that there is.
fn custom_scopes(config: &Config, report: &mut Report) {
    let hub = &config.jupyter_hub;
    let known = &hub.custom_scopes.0;
    let mut named = Vec::new();
    for (name, scope) in known {
        let path = format!("JupyterHub.custom_scopes.{name}.subscopes");
        named.push((path, &scope.subscopes[..]));
    }
    for (index, role) in hub.load_roles.iter().enumerate() {
        named.push((
            format!("JupyterHub.load_roles[{index}].scopes"),
            &role.scopes,
        ));
    }
    for (index, service) in hub.services.iter().enumerate() {
        let path = format!("JupyterHub.services[{index}].oauth_client_allowed_scopes");
        named.push((path, &service.oauth_client_allowed_scopes));
    }
    named.push((
        String::from("JupyterHub.extra_user_scopes"),
        &hub.extra_user_scopes,
    ));
    named.push((
        String::from("Spawner.server_token_scopes"),
        &config.spawner.server_token_scopes,
    ));
    for (path, scopes) in named {
        let of_custom = path.ends_with(".subscopes");
        for scope in scopes {
            let name = scope.split('!').next().unwrap_or_default();
            if (of_custom || is_custom_name(name)) && !known.contains_key(name) {
                let message = format!("`custom_scopes` has no scope {name:?}");
                report.contradiction(&path, message);
            }
        }
    }
}

/// A client of OAuth, and a token, is one service's alone.
fn services(config: &Config, report: &mut Report) {
    let mut known = std::collections::BTreeSet::new();
    let mut tokens = std::collections::BTreeMap::new();
    for (index, service) in config.jupyter_hub.services.iter().enumerate() {
        let client = service.oauth_client("/");
        if client.is_some_and(|(id, _)| !known.insert(id)) {
            report.contradiction(
                &format!("JupyterHub.services[{index}].oauth_client_id"),
                "another service has this one too",
            );
        }
        let Some(token) = &service.api_token else {
            continue;
        };
        if let Some(other) = tokens.insert(&*token.0, &*service.name) {
            report.contradiction(
                &format!("JupyterHub.services[{index}].api_token"),
                format!("this is the token of `{other}` too"),
            );
        }
    }
}

fn proxy(config: &Config, report: &mut Report) {
    let proxy = &config.configurable_http_proxy;
    let plain = |url: &Url| url.scheme() == "http" && url.path() == "/";
    if !proxy.api_url.0.iter().all(plain) {
        report.contradiction(
            "ConfigurableHTTPProxy.api_url",
            "expected the form http://host:port, without a path",
        );
    }
    if proxy.should_start {
        report.contradiction(
            "ConfigurableHTTPProxy.should_start",
            "the Hub starts no proxy, for it would end with the Hub; run `carrel-hub proxy` or configurable-http-proxy apart, \
             or leave `JupyterHub.proxy_class` out: then the Hub itself is the proxy",
        );
    }
}

/// What `Spawner:` says of every server holds for pods too; and pods must reach the Hub.
fn kube_spawner(config: &mut Config, report: &mut Report) {
    config.kube_spawner.check(report);
    let (spawner, options) = (&config.spawner, &mut config.kube_spawner.0);
    if options.cmd.is_none() && report.given("Spawner.cmd").is_some() {
        options.cmd = Some(Words(spawner.cmd.0.clone()));
        if options.args.is_empty() {
            options.args.clone_from(&spawner.args);
        }
    }
    if options.notebook_dir.is_none() {
        options.notebook_dir.clone_from(&spawner.notebook_dir);
    }
    for (name, value) in spawner.environment.iter() {
        let variables = &mut options.environment;
        let value = || EnvValue::Text(value.clone());
        variables.entry(name.clone()).or_insert_with(value);
    }
    let hub = &config.jupyter_hub;
    let ip = hub.hub_address().map_or(hub.ip, |address| address.ip());
    if hub.spawner_class == SpawnerClass::Kube
        && hub.hub_connect_url.is_none()
        && (ip.is_loopback() || ip.is_unspecified())
    {
        report.contradiction(
            "JupyterHub.hub_connect_url",
            "pods need an address at which they reach the Hub, such as http://hub:8000; listen there too (`ip: 0.0.0.0`, or `hub_ip`)",
        );
    }
}

/// `bind_url` says the same as `ip`, `port` and `base_url` together, so it stands alone; here it fills them in.
fn bind_url(config: &mut Config, report: &mut Report) {
    const PATH: &str = "JupyterHub.bind_url";
    let Some(url) = config.jupyter_hub.bind_url.take() else {
        return;
    };
    said_once(report, "bind_url", &["ip", "port", "base_url"]);
    if !matches!(url.scheme(), "http" | "https") {
        report.contradiction(
            PATH,
            "expected the form http://host:port or https://host:port",
        );
    } else if url.scheme() == "https" && config.jupyter_hub.ssl_cert.is_none() {
        report.contradiction(
            PATH,
            "for https the Hub needs `ssl_key` and `ssl_cert`, or a proxy with the certificate before it",
        );
    }
    let address = listen_address(&url);
    let path = BaseUrl::parse(url.path());
    if address.is_none() {
        report.contradiction(
            PATH,
            "expected `localhost` or an IP address as host, such as 127.0.0.1 or 0.0.0.0",
        );
    }
    if path.is_none() {
        report.contradiction(
            PATH,
            "expected a path of letters, digits, `-`, `_`, `.` and `~`",
        );
    }
    if let (Some(ip), Some(base_url)) = (address, path) {
        let hub = &mut config.jupyter_hub;
        (hub.ip, hub.base_url) = (ip, base_url);
        hub.port = url.port_or_known_default().unwrap_or(80);
    }
}

/// A URL and its parts are not given both.
fn said_once(report: &mut Report, url: &str, parts: &[&str]) {
    for part in parts {
        let path = format!("JupyterHub.{part}");
        if report.given(&path).is_some() {
            report.contradiction(&path, format!("`{url}` says this too; keep one of them"));
        }
    }
}

/// As `bind_url`, for `hub_ip` and `hub_port`.
fn hub_bind_url(config: &mut Config, report: &mut Report) {
    const PATH: &str = "JupyterHub.hub_bind_url";
    let Some(url) = config.jupyter_hub.hub_bind_url.take() else {
        return;
    };
    said_once(report, "hub_bind_url", &["hub_ip", "hub_port"]);
    let hub = &mut config.jupyter_hub;
    match listen_address(&url).filter(|_| url.scheme() == "http") {
        Some(ip) => (hub.hub_ip, hub.hub_port) = (Some(ip), Some(url.port().unwrap_or(80))),
        None => report.contradiction(
            PATH,
            "expected the form http://host:port, with `localhost` or an IP address as host",
        ),
    }
}

fn certificate(config: &Config, report: &mut Report) {
    let hub = &config.jupyter_hub;
    let apart = hub.proxy_class == ProxyClass::Chp;
    if hub.ssl_key.is_some() != hub.ssl_cert.is_some() {
        let (given, lacking) = match hub.ssl_key {
            Some(_) => ("ssl_key", "ssl_cert"),
            None => ("ssl_cert", "ssl_key"),
        };
        let message = format!("HTTPS needs `{lacking}` too");
        report.contradiction(&format!("JupyterHub.{given}"), message);
    } else if hub.redirect_to.is_some() && hub.redirect_port.is_none() {
        let message = "says where `redirect_port` leads; give that too";
        report.contradiction("JupyterHub.redirect_to", message);
    } else if hub.redirect_port.is_some() && hub.ssl_cert.is_none() {
        let message = match apart {
            true => {
                "the proxy apart sends people on to HTTPS: `carrel-hub proxy --redirect-port PORT`"
            }
            false => "there is no HTTPS to send people on to without `ssl_key` and `ssl_cert`",
        };
        report.contradiction("JupyterHub.redirect_port", message);
    } else if apart && hub.ssl_cert.is_some() {
        report.contradiction(
            "JupyterHub.ssl_cert",
            "the proxy apart has the certificate: `carrel-hub proxy --ssl-key FILE --ssl-cert FILE`",
        );
    } else if apart && hub.hub_address().is_some() {
        let parts = ["hub_bind_url", "hub_ip", "hub_port"].map(|part| format!("JupyterHub.{part}"));
        let given = parts.iter().find(|path| report.given(path).is_some());
        report.contradiction(
            given.unwrap_or(&parts[0]),
            "behind a proxy apart the Hub listens at `ip` and `port` alone",
        );
    }
}

fn listen_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        Host::Domain(_) => None,
    }
}

/// JupyterHub joins `base_url` to this address, so a path in it would stand twice.
fn hub_connect_url(config: &Config, report: &mut Report) {
    if config
        .jupyter_hub
        .hub_connect_url
        .as_ref()
        .is_some_and(|url| url.path() != "/")
    {
        report.contradiction(
            "JupyterHub.hub_connect_url",
            "expected only scheme, host and port; the path is `base_url`",
        );
    }
}

/// jupyterhub/app.py, `_validate_public_url`; and cookies for one host alone need hosts that are apart.
fn public_url(config: &mut Config, report: &mut Report) {
    const PATH: &str = "JupyterHub.public_url";
    let hub = &mut config.jupyter_hub;
    let base = hub.base_url.to_string();
    if let Some(PublicUrl(url)) = &mut hub.public_url {
        if url.path() == "/" && base != "/" {
            report.warn(None, PATH, format!("`base_url` is added to it: {base}"));
            url.set_path(&base);
        } else if url.path() != base {
            let message = format!("must end with `base_url`, which is {base}");
            report.contradiction(PATH, message);
        }
        let hosts = hub.subdomain_host.as_ref();
        if hosts.is_some_and(|host| host.0.origin() != url.origin()) {
            let message = "`subdomain_host` names another address; it stands for both where `public_url` is left out";
            report.contradiction(PATH, message);
        }
    }
    let hosts = hub.subdomain_host.as_ref();
    if hub.cookie_host_prefix_enabled && hosts.is_none_or(|host| host.0.scheme() != "https") {
        report.contradiction(
            "JupyterHub.cookie_host_prefix_enabled",
            "such cookies are sent to everything on their host, and by HTTPS alone: give servers hosts of their own by \
             `subdomain_host: https://...`",
        );
    }
}

fn users(config: &mut Config, report: &mut Report) {
    let class = config.jupyter_hub.authenticator_class;
    let own = class.section();
    let mut sections = above(own).iter().chain([&own]);
    let given = sections.any(|section| report.given(&join(section, "admin_users")).is_some());
    // Whoever is called `admin` elsewhere is no administrator here.
    if class != AuthenticatorClass::Native && !given {
        config.authenticator.admin_users = Users::default();
    }
    let authenticator = &config.authenticator;
    if authenticator.manage_groups && config.jupyter_hub.load_groups.iter().next().is_some() {
        report.contradiction(
            "JupyterHub.load_groups",
            "the authenticator says who is in which group (`manage_groups`); keep one of them",
        );
    }
    let lists = [
        ("Authenticator.admin_users", &authenticator.admin_users),
        ("Authenticator.allowed_users", &authenticator.allowed_users),
    ];
    for (path, users) in lists {
        for user in users.iter() {
            if authenticator.blocked_users.contains(user) {
                report.contradiction(path, format!("{user:?} is among `blocked_users` too"));
            }
            let pattern = authenticator.username_pattern.as_ref();
            if pattern.is_some_and(|pattern| !pattern.matches(user)) {
                report.contradiction(path, format!("{user:?} does not match `username_pattern`"));
            }
        }
    }
}

fn timeouts(config: &Config, report: &mut Report) {
    let spawner = &config.spawner;
    let spans = [
        (
            "JupyterHub.cookie_max_age_days",
            config.jupyter_hub.cookie_max_age_days.0,
        ),
        (
            "JupyterHub.proxy_check_interval",
            config.jupyter_hub.proxy_check_interval,
        ),
        ("Spawner.start_timeout", spawner.start_timeout),
        ("Spawner.http_timeout", spawner.http_timeout),
        ("Spawner.poll_interval", spawner.poll_interval),
        ("IdleCuller.timeout", config.idle_culler.timeout.0),
        ("IdleCuller.every", config.idle_culler.every),
    ];
    for (path, span) in spans {
        if span == Duration::ZERO {
            report.contradiction(path, "must be above 0");
        }
    }
}
