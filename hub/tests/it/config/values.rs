//! What a correct file says arrives in the `Config`.

use std::net::IpAddr;
use std::time::Duration;

use carrel_hub::config::{Config, SpawnerClass};
use carrel_spawner::kube::EnvValue;

fn config(text: &str) -> Config {
    Config::parse("carrel.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn without_a_file_and_with_an_empty_one_all_is_default() {
    let defaults = Config::load(None).unwrap();
    for text in [
        "",
        "# nothing\n",
        "JupyterHub:\nSpawner:\n  # cmd: x\n",
        "---\n{}\n",
    ] {
        assert_eq!(config(text), defaults, "{text:?}");
    }
    assert!(defaults.jupyter_hub.ip.is_loopback());
    assert!(defaults.authenticator.admin_users.contains("admin"));
}

#[test]
fn bind_url_fills_in_address_port_and_path() {
    let hub = config("JupyterHub:\n  bind_url: http://[::]:9000/science\n").jupyter_hub;
    assert_eq!(
        (hub.ip, hub.port, &*hub.base_url),
        (IpAddr::from([0u16; 8]), 9000, "/science/")
    );
    let hub = config("JupyterHub:\n  bind_url: http://localhost\n").jupyter_hub;
    assert_eq!(
        (hub.ip, hub.port, &*hub.base_url),
        (IpAddr::from([127, 0, 0, 1]), 80, "/")
    );
}

#[test]
fn a_base_url_gets_its_slashes() {
    for given in ["science/one", "/science/one", "/science/one/"] {
        let hub = config(&format!("JupyterHub:\n  base_url: {given}\n")).jupyter_hub;
        assert_eq!(&*hub.base_url, "/science/one/");
    }
}

#[test]
fn the_database_url_is_read_as_sqlalchemy_reads_it() {
    let url = |text: &str| {
        config(&format!("JupyterHub:\n  db_url: {text}\n"))
            .jupyter_hub
            .db_url
            .unwrap()
            .0
    };
    assert_eq!(
        url("sqlite:///jupyterhub.sqlite"),
        "sqlite://jupyterhub.sqlite"
    );
    assert_eq!(url("sqlite:////srv/hub.sqlite"), "sqlite:///srv/hub.sqlite");
    assert_eq!(url("postgresql://hub@db/hub"), "postgresql://hub@db/hub");
}

#[test]
fn a_command_is_a_program_or_a_list() {
    let cmd = |text: &str| config(&format!("Spawner:\n  cmd: {text}\n")).spawner.cmd.0;
    assert_eq!(cmd("/opt/my server"), ["/opt/my server"]);
    assert_eq!(cmd("[sh, -c, 'exit 3']"), ["sh", "-c", "exit 3"]);
}

#[test]
fn times_are_seconds_and_days() {
    let config = config(
        "JupyterHub:\n  cookie_max_age_days: 0.5\nSpawner:\n  http_timeout: 1.5\n  poll_interval: 10\n",
    );
    assert_eq!(
        config.jupyter_hub.cookie_max_age_days.0,
        Duration::from_secs(43_200)
    );
    assert_eq!(config.spawner.http_timeout, Duration::from_millis(1500));
    assert_eq!(config.spawner.poll_interval, Duration::from_secs(10));
}

#[test]
fn user_names_are_lower_case_as_at_the_login() {
    let authenticator =
        config("Authenticator:\n  allowed_users: [Alice, 'bob@example.org']\n").authenticator;
    assert!(
        authenticator.allowed_users.contains("alice")
            && authenticator.allowed_users.contains("bob@example.org")
    );
}

#[test]
fn a_username_pattern_holds_for_the_whole_name() {
    let text = "Authenticator:\n  admin_users: []\n  username_pattern: '[a-z]+|x1'\n";
    let pattern = config(text).authenticator.username_pattern.unwrap();
    assert!(pattern.matches("alice") && pattern.matches("x1"));
    assert!(
        !pattern.matches("alice1") && !pattern.matches("1alice") && !pattern.matches("alice\n")
    );
}

#[test]
fn a_class_has_its_short_and_its_long_name() {
    for name in ["localprocess", "jupyterhub.spawner.LocalProcessSpawner"] {
        let hub = config(&format!("JupyterHub:\n  spawner_class: {name}\n")).jupyter_hub;
        assert_eq!(hub.spawner_class, SpawnerClass::LocalProcess);
    }
}

#[test]
fn pods_get_what_the_file_says_of_servers_and_need_a_way_to_the_hub() {
    let kube = "JupyterHub:\n  spawner_class: kubespawner.KubeSpawner\n  ip: 0.0.0.0\n";
    let error = Config::parse("carrel.yaml", kube).unwrap_err().to_string();
    assert!(
        error.contains("JupyterHub.hub_connect_url: pods need"),
        "{error}"
    );
    let text = "  hub_connect_url: http://hub:8000\n\
                Spawner:\n  cmd: start-singleuser\n  notebook_dir: /work\n  environment: {A: '1', B: '1'}\n\
                KubeSpawner:\n  image: carrel:1\n  cpu_limit: 0.5\n  environment: {B: '2'}\n  uid: 1000\n";
    let config = config(&format!("{kube}{text}"));
    let options = &config.kube_spawner;
    assert_eq!(config.jupyter_hub.spawner_class, SpawnerClass::Kube);
    assert_eq!(
        (options.image.as_str(), options.uid),
        ("carrel:1", Some(1000))
    );
    assert_eq!(options.cmd.as_ref().unwrap().0, ["start-singleuser"]);
    assert_eq!(options.notebook_dir.as_deref(), Some("/work"));
    assert_eq!(options.environment["A"], EnvValue::Text("1".to_owned()));
    assert_eq!(options.environment["B"], EnvValue::Text("2".to_owned()));
}

#[test]
fn groups_are_read_in_both_of_jupyterhubs_forms() {
    let text = "JupyterHub:\n  load_groups:\n    gpu: [Ada]\n    staff: {users: [ada, bob]}\n";
    let groups = config(text).jupyter_hub.load_groups;
    let of = |user: &str| {
        let mine = groups.iter().filter(|(_, members)| members.contains(user));
        mine.map(|(group, _)| group.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("ada"), ["gpu", "staff"]);
    assert_eq!(of("bob"), ["staff"]);
}

#[test]
fn a_field_with_choices_begins_with_the_first() {
    let form = config(
        "Spawner:\n  options_form:\n    - {name: size, label: Size, choices: [small, large]}\n    - name: note\n",
    );
    let [size, note] = &form.spawner.options_form[..] else {
        panic!("two fields")
    };
    assert_eq!((size.title(), size.default.as_str()), ("Size", "small"));
    assert_eq!((note.title(), note.default.as_str()), ("note", ""));
}

#[test]
fn yaml_1_2_reads_numbers_and_words_as_text_only_in_quotes() {
    let environment = config("Spawner:\n  environment: {A: '1', B: no, C: \"true\", D: 1.2.3}\n")
        .spawner
        .environment;
    let values: Vec<_> = environment.values().map(String::as_str).collect();
    assert_eq!(values, ["1", "no", "true", "1.2.3"]);
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let hub = config("JupyterHub: {trusted_downstream_ips: [10.0.0.5, 10.42.0.0/16, 'fd00::/8']}")
        .jupyter_hub;
    let networks: Vec<_> = hub
        .trusted_downstream_ips
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.5/32", "10.42.0.0/16", "fd00::/8"]);
    for wrong in ["proxy", "10.0.0.0/33", "10.0.0.0/", "*"] {
        let text = format!("JupyterHub: {{trusted_downstream_ips: ['{wrong}']}}");
        let errors = Config::parse("carrel.yaml", &text).unwrap_err().to_string();
        assert!(errors.contains("a network, such as"), "{wrong}: {errors}");
    }
}

#[test]
fn allowed_hosts_are_names_without_a_port() {
    let hub =
        config("JupyterHub: {allowed_hosts: [Hub.Example.org, '[::1]', 192.0.2.1]}").jupyter_hub;
    let names: Vec<_> = hub.allowed_hosts.iter().map(|name| &**name).collect();
    assert_eq!(names, ["hub.example.org", "[::1]", "192.0.2.1"]);
    for wrong in [
        "hub.example.org:8000",
        "http://hub.example.org",
        "*.example.org",
        "*",
        "a b",
        "",
    ] {
        let text = format!("JupyterHub: {{allowed_hosts: ['{wrong}']}}");
        let errors = Config::parse("carrel.yaml", &text).unwrap_err().to_string();
        assert!(
            errors.contains("a host name without a port"),
            "{wrong}: {errors}"
        );
    }
}

#[test]
fn a_class_takes_the_keys_of_those_above_it_and_leaves_those_of_others() {
    let text = "GitHubOAuthenticator: {client_id: theirs, allowed_users: [ada]}\n\
                OAuthenticator: {client_id: all, client_secret: hunter2hunter2, allowed_users: [all]}\n\
                GoogleOAuthenticator: {client_id: other, allowed_users: [other]}\n\
                Authenticator: {allowed_users: [any], blocked_users: [eve]}\n\
                JupyterHub: {authenticator_class: oauthenticator.GitHubOAuthenticator}\n";
    let config = config(text);
    let (authenticator, oauth) = (&config.authenticator, &config.oauthenticator);
    assert_eq!(oauth.client_id, "theirs");
    assert_eq!(
        authenticator.allowed_users.iter().collect::<Vec<_>>(),
        ["ada"]
    );
    assert!(authenticator.blocked_users.contains("eve"));
    assert!(
        authenticator.admin_users.is_empty(),
        "nobody elsewhere is our admin"
    );
    assert_eq!(config.provider().login_service, "GitHub");
    assert!(!format!("{config:?}").contains("hunter2"));
}
