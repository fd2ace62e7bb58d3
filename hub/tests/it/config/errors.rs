//! Reports of mistakes, word by word: they are all that an administrator sees of them.

use std::path::Path;

use carrel_hub::config::{Config, ConfigErrors};
use carrel_skip::package_folder;

fn report(text: &str) -> String {
    Config::parse("carrel.yaml", text).unwrap_err().to_string()
}

/// The only mistake of `text`, without the line that counts.
#[track_caller]
fn check(text: &str, mistake: &str) {
    let report = report(text);
    let lines: Vec<_> = report.lines().skip(1).collect();
    assert_eq!(lines, [format!("carrel.yaml:{mistake}")]);
}

/// `UPDATE=1 cargo test -p carrel-hub --test it` writes the report anew.
#[test]
fn all_mistakes_of_a_file_are_reported_together() {
    let report = report(include_str!("fixtures/mistakes.yaml")) + "\n";
    let path = package_folder().join("tests/it/config/fixtures/mistakes.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &report).unwrap();
    }
    assert_eq!(report, std::fs::read_to_string(path).unwrap());
}

#[test]
fn a_single_mistake_is_counted_as_one() {
    assert!(report("Spawner: 5").starts_with("1 mistake in the configuration:\n"));
}

#[test]
fn yaml_that_does_not_parse_is_named_with_its_place() {
    check(
        "Spawner:\n  cmd: [jupyterhub-singleuser\n  args: []\n",
        "3:7: not valid YAML: illegal placement of ':' indicator",
    );
    check(
        "Spawner:\n\tcmd: x\n",
        "2:2: not valid YAML: tabs disallowed within this context (block indentation)",
    );
}

#[test]
fn the_address_for_people_fits_all_else_that_is_said_of_it() {
    check(
        "JupyterHub:\n  base_url: /lab/\n  public_url: https://hub.test/jupyter\n",
        "3:3: JupyterHub.public_url: must end with `base_url`, which is /lab/",
    );
    check(
        "JupyterHub:\n  public_url: https://hub.test\n  subdomain_host: https://other.test\n",
        "2:3: JupyterHub.public_url: `subdomain_host` names another address; it stands for both where `public_url` is left out",
    );
    let text = "JupyterHub:\n  base_url: /lab/\n  public_url: hub.test\n";
    let config = Config::parse("carrel.yaml", text).unwrap();
    let public = config.jupyter_hub.public_url.unwrap();
    assert_eq!(public.0.as_str(), "https://hub.test/lab/");
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn cookies_for_one_host_need_hosts_that_are_apart() {
    let mistake = "2:3: JupyterHub.cookie_host_prefix_enabled: such cookies are sent to everything on their host, and by HTTPS \
                   alone: give servers hosts of their own by `subdomain_host: https://...`";
    check("JupyterHub:\n  cookie_host_prefix_enabled: true\n", mistake);
}

#[test]
fn yaml_beyond_a_configuration_is_refused() {
    check(
        "Spawner: &all [*all]\n",
        "1:16: a value cannot be an alias of itself",
    );
    check(
        "Spawner: !python/name:os.system {}\n",
        "1:10: the tag !python/name:os.system means nothing here; leave it out",
    );
    check(
        "Spawner: {}\n---\nSpawner: {}\n",
        "2:1: a second document begins here; the file must hold one",
    );
    check(&"[".repeat(17), "1:17: nested deeper than 16 levels");
    // Ten times ten times ten ...: a few lines that would fill the memory.
    let mut bomb = String::from("a0: &a0 x\n");
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{items}]\n");
    }
    let report = report(&bomb);
    assert!(
        report.contains("more than 100000 values, aliases written out"),
        "{report}"
    );
}

/// What KubeSpawner 7.1 passes over is told with line and name; what looks like a slip is a mistake.
#[test]
fn keys_of_profiles_that_mean_nothing_are_passed_over_and_slips_are_not() {
    let text = "KubeSpawner:\n  profile_list:\n  - display_name: A\n    frobnicate: 1\n    profile_options:\n      image:\n        \
                dynamic_image_building: {enabled: true}\n        choices:\n          a: {slug: a, description: First}\n";
    let config = carrel_hub::config::Config::parse("carrel.yaml", text).unwrap();
    assert_eq!(
        config.warnings,
        [
            "carrel.yaml:4:5: KubeSpawner.profile_list[0].frobnicate: unknown key, which is passed over",
            "carrel.yaml:7:9: KubeSpawner.profile_list[0].profile_options.image.dynamic_image_building: unknown key, \
             which is passed over",
            "carrel.yaml:9:15: KubeSpawner.profile_list[0].profile_options.image.choices.a.slug: unknown key, which is \
             passed over",
        ]
    );
    assert_eq!(config.kube_spawner.profile_list.len(), 1);
    let slip = text.replace("description:", "descripton:");
    let report = report(&slip);
    assert!(
        report.contains("choices.a.descripton: unknown key"),
        "{report}"
    );
}

#[test]
fn aliases_and_merges_stand_for_what_they_name() {
    let text = "KubeSpawner:\n  profile_list:\n  - &small {display_name: Small, slug: a, description: Little}\n  \
                - {<<: *small, display_name: Large, slug: b}\n  - {<<: [*small], slug: c}\n";
    let config = carrel_hub::config::Config::parse("carrel.yaml", text).unwrap();
    let profiles = config.kube_spawner.profile_list.iter();
    let told: Vec<_> = profiles
        .map(|profile| {
            (
                profile.display_name.as_str(),
                profile.slug(),
                profile.description.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("Small", "a".to_owned(), "Little"),
            ("Large", "b".to_owned(), "Little"),
            ("Small", "c".to_owned(), "Little"),
        ]
    );
}

#[test]
fn a_section_holds_keys() {
    check(
        "- Spawner",
        "1:1: expected sections, such as `JupyterHub:`, found a list",
    );
    check(
        "Spawner: hello",
        "1:10: Spawner: expected keys, each with its value, found the text \"hello\"",
    );
}

#[test]
fn what_jupyterhub_has_and_this_hub_has_not_is_refused_with_what_to_write_instead() {
    check(
        "Proxy: {extra_routes: {}}",
        "1:1: Proxy: `Proxy` is not taken: for `extra_routes`, add a service with the `url` to lead to \
         (`JupyterHub.services`); it is reached under `/services/<name>/`",
    );
    check(
        "Spawner:\n  disable_user_config: true",
        "2:3: Spawner.disable_user_config: `disable_user_config` is not taken: write `environment: \
         {JUPYTERHUB_DISABLE_USER_CONFIG: '1'}`",
    );
    let text = "JupyterHub:\n  cookie_secret_file: /srv/secret\n";
    let config = Config::parse("carrel.yaml", text).unwrap();
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn a_name_that_is_near_no_other_gets_the_list() {
    check(
        "LocalProcessSpawner:\n  colour: green",
        "2:3: LocalProcessSpawner.colour: unknown key; LocalProcessSpawner has term_timeout, kill_timeout, allow_root, minimum_uid",
    );
    check(
        "KubeSpawner:\n  modify_pod_hook: add_volume",
        "2:3: KubeSpawner.modify_pod_hook: unknown key; hooks in Python are not taken, \
         `KubeSpawner.pod_patches` and `group_overrides` may do",
    );
    check(
        "Colours: {}",
        "1:1: Colours: unknown section; there are JupyterHub, Authenticator, NativeAuthenticator, DummyAuthenticator, \
         LDAPAuthenticator, LocalAuthenticator, PAMAuthenticator, RemoteUserAuthenticator, OAuthenticator, \
         GenericOAuthenticator, Auth0OAuthenticator, AzureAdOAuthenticator, CILogonOAuthenticator, GitHubOAuthenticator, GitLabOAuthenticator, \
         GoogleOAuthenticator, Spawner, LocalProcessSpawner, KubeSpawner, ConfigurableHTTPProxy, IdleCuller, \
         EventLogger, CryptKeeper",
    );
    check(
        "JupyterHub:\n  spawn_throttle_retry_range: [30, 60]",
        "2:3: JupyterHub.spawn_throttle_retry_range: unknown key; starts over `concurrent_spawn_limit` wait in a queue, \
         nobody is asked to retry",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let load =
        |path: &Path| Config::load(Some(path)).map_err(|error: ConfigErrors| error.to_string());
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such.yaml");
    let error = load(&missing).unwrap_err();
    let expected = format!(
        "{}: the file could not be read: No such file",
        missing.display()
    );
    assert!(error.contains(&expected), "{error}");

    let error = load(folder.path()).unwrap_err();
    assert!(error.contains("Is a directory"), "{error}");

    let binary = folder.path().join("binary.yaml");
    std::fs::write(&binary, b"Spawner:\n  cmd: \xff\n").unwrap();
    let error = load(&binary).unwrap_err();
    assert!(error.contains("valid UTF-8"), "{error}");

    std::fs::write(&binary, "#".repeat((1 << 20) + 1)).unwrap();
    let error = load(&binary).unwrap_err();
    assert!(error.contains("larger than 1 MiB"), "{error}");
}

/// Each value stands where a value of another kind is expected, or beside another mistake.
#[test]
fn secrets_are_not_repeated() {
    let report = report(
        "JupyterHub:\n  db_url: mysql://hub:hunter2@db/hub\n  hub_connect_url: http://me:hunter2@hub:8000\n\
         Spawner:\n  environment: TOKEN=hunter2\n  options_form: hunter2\nAuthenticator:\n  admin_users: 5\n",
    );
    assert!(!report.contains("hunter2"), "{report}");

    let config = Config::parse(
        "carrel.yaml",
        "JupyterHub:\n  db_url: postgresql://hub:hunter2@db/hub\nSpawner:\n  environment: {TOKEN: hunter2}\n",
    );
    let shown = format!("{:?}", config.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// A file may be cut off or mistyped anywhere: that is a report, never a panic.
#[test]
fn any_damage_to_a_file_is_reported() {
    let file = include_str!("fixtures/mistakes.yaml");
    for at in 0..file.len() {
        let (before, after) = (&file[..at], &file[at + 1..]);
        let _ = Config::parse("cut", before);
        for character in ["\t", ":", "[", "\"", "|\n", "é"] {
            let _ = Config::parse("damaged", &format!("{before}{character}{after}"));
        }
    }
}

/// Each of these misses something, or would tell secrets to who reads along.
#[test]
fn what_a_class_of_authenticators_needs_is_asked_for() {
    let oauth = "JupyterHub: {authenticator_class: generic-oauth}\nGenericOAuthenticator: ";
    let client = "client_id: hub, client_secret: hunter2";
    let table = [
        (
            format!("{oauth}{{client_id: hub, issuer: 'https://id.example'}}"),
            "client_secret: is needed",
        ),
        (
            format!("{oauth}{{client_secret: hunter2, issuer: 'https://id.example'}}"),
            "client_id: is needed",
        ),
        (
            format!("{oauth}{{{client}}}"),
            "authorize_url: give `issuer`, or all of",
        ),
        (
            format!("{oauth}{{{client}, issuer: 'http://id.example'}}"),
            "http://id.example/ is not encrypted",
        ),
        (
            format!("{oauth}{{{client}, issuer: 'https://id.example', manage_groups: true}}"),
            "needs the claim",
        ),
        (
            format!(
                "{oauth}{{{client}, issuer: 'https://id.example', validate_server_cert: false}}"
            ),
            "is not taken",
        ),
        (
            format!("{oauth}{{{client}, issuer: 'https://id.example', isuer: x}}"),
            "did you mean `issuer`",
        ),
        (
            "JupyterHub: {authenticator_class: remote-user}".to_owned(),
            "networks: says whose header",
        ),
        (
            "JupyterHub: {authenticator_class: ldap}".to_owned(),
            "server_address: says where",
        ),
        (
            "Authenticator: {manage_groups: true}".to_owned(),
            "tells no groups",
        ),
        (
            "JupyterHub: {authenticator_class: cilogon}\n".to_owned(),
            "allowed_idps: says whose",
        ),
    ];
    for (text, mistake) in table {
        let report = report(&text);
        assert!(report.contains(mistake), "{text}: {report}");
        assert!(!report.contains("hunter2"), "{report}");
    }
}

#[test]
fn https_needs_all_of_it_and_stands_at_one_place() {
    let wrong = |keys: &str| {
        let report = report(&format!("JupyterHub: {{{keys}}}"));
        let line = report.lines().nth(1).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    for (keys, told) in [
        (
            "ssl_cert: a.pem",
            "JupyterHub.ssl_cert: HTTPS needs `ssl_key` too",
        ),
        (
            "ssl_key: a.pem",
            "JupyterHub.ssl_key: HTTPS needs `ssl_cert` too",
        ),
        (
            "bind_url: 'https://0.0.0.0'",
            "JupyterHub.bind_url: for https the Hub needs `ssl_key` and `ssl_cert`, or a proxy with the certificate before it",
        ),
        (
            "proxy_class: configurable-http-proxy, ssl_cert: a.pem, ssl_key: b.pem",
            "JupyterHub.ssl_cert: the proxy apart has the certificate: `carrel-hub proxy --ssl-key FILE --ssl-cert FILE`",
        ),
        (
            "proxy_class: configurable-http-proxy, hub_bind_url: 'http://127.0.0.1:8081'",
            "JupyterHub.hub_bind_url: behind a proxy apart the Hub listens at `ip` and `port` alone",
        ),
        (
            "hub_bind_url: 'http://127.0.0.1:8081', hub_port: 9",
            "JupyterHub.hub_port: `hub_bind_url` says this too; keep one of them",
        ),
        (
            "hub_bind_url: 'https://127.0.0.1:8081'",
            "JupyterHub.hub_bind_url: expected the form http://host:port, with `localhost` or an IP address as host",
        ),
    ] {
        assert_eq!(wrong(keys), told, "{keys}");
    }
    let text = "JupyterHub: {bind_url: 'https://0.0.0.0', ssl_cert: a, ssl_key: b}";
    let hub = Config::parse("carrel.yaml", text).unwrap().jupyter_hub;
    assert_eq!(hub.port, 443);
    assert_eq!(hub.hub_address(), Some(([127, 0, 0, 1], 8081).into()));
    let text = "JupyterHub: {hub_bind_url: 'http://0.0.0.0:9000'}";
    let hub = Config::parse("carrel.yaml", text).unwrap().jupyter_hub;
    assert_eq!(hub.hub_address(), Some(([0, 0, 0, 0], 9000).into()));
    let hub = Config::default().jupyter_hub;
    assert_eq!(hub.hub_address(), None);
}
