//! What options take, and what is wrong with what they do not.

use carrel_spawner::kube::KubeOptions;
use serde_json::json;

use super::{mistakes, options};

#[test]
fn amounts_are_read_as_jupyterhub_and_kubernetes_write_them() {
    for (given, bytes) in [
        (json!("2G"), 2 << 30),
        (json!("2Gi"), 2 << 30),
        (json!("1.5K"), 1536),
        (json!(1000), 1000),
    ] {
        assert_eq!(
            options(json!({ "mem_limit": given })).mem_limit.unwrap().0,
            bytes
        );
    }
    for (given, thousandths) in [(json!(0.5), 500), (json!("250m"), 250), (json!(2), 2000)] {
        assert_eq!(
            options(json!({ "cpu_limit": given })).cpu_limit.unwrap().0,
            thousandths
        );
    }
    let found = mistakes(json!({ "mem_limit": "2 Gb", "cpu_limit": 0 }));
    assert_eq!(
        found,
        [
            r#"cpu_limit: expected a number of cores, such as 0.5 or 500m, found 0"#,
            r#"mem_limit: expected a number of bytes, such as 512M or 2Gi, found "2 Gb""#,
        ]
    );
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let found = mistakes(json!({
        "imge": "x",
        "image": 5,
        "tolerations": [{ "key": "a" }, { "kee": "a", "effekt": "b" }],
        "extra_pod_config": { "hostNetwrok": true },
        "extra_container_config": { "tty": "yes" },
        "volumes": { "home": { "name": "home", "persistentVolumeClaim": { "claim": "x" } } },
        "pod_name_template": "jupyter-{username}",
        "group_overrides": { "a": { "groups": ["x"], "spawner_override": { "mem_limt": "1G", "namespace": "y" } } },
        "environment": { "TOKEN": { "values": "hunter2" } },
    }));
    assert_eq!(
        found,
        [
            "environment: TOKEN: expected text, or a mapping with `value` or `valueFrom`",
            "extra_container_config: expected a boolean, found string \"yes\"",
            "extra_pod_config: hostNetwrok: unknown key",
            "image: expected a string, found integer `5`",
            "imge: unknown key",
            "tolerations: 1: effekt: unknown key",
            "tolerations: 1: kee: unknown key",
            "volumes: home: persistentVolumeClaim: claim: unknown key",
            "group_overrides: a: spawner_override: mem_limt: unknown key",
            "group_overrides: a: spawner_override: namespace: this cannot differ between servers",
            "pod_name_template: expected `{user_server}` in it, so that no two servers share a name",
        ]
    );
}

#[test]
fn secrets_of_the_environment_are_not_shown() {
    let options = options(json!({ "environment": { "TOKEN": "hunter2" } }));
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[test]
fn an_override_merges_mappings_and_null_brings_the_default_back() {
    let mut options = options(json!({
        "image": "one",
        "environment": { "A": "1", "B": "2" },
        "mem_limit": "1G",
    }));
    let over = json!({ "image": null, "environment": { "B": null, "C": "3" }, "mem_limit": "2G" });
    assert_eq!(options.apply(over.as_object().unwrap()), []);
    assert_eq!(options.image, KubeOptions::default().image);
    assert_eq!(options.environment.keys().collect::<Vec<_>>(), ["A", "C"]);
    assert_eq!(options.mem_limit.unwrap().to_string(), "2Gi");
}

/// Names that are joined by nothing, or by one hyphen, do not say where one ends.
#[test]
fn templates_by_which_servers_may_share_a_name_are_warned_of() {
    let warned = |template: &str| {
        let (_, mistakes) = KubeOptions::from_json(&json!({ "pvc_name_template": template }));
        mistakes.iter().any(|mistake| mistake.warning)
    };
    for ambiguous in [
        "claim-{username}{servername}",
        "claim-{username}-{servername}",
        "{servername}-{username}",
        "claim-{unescaped_username}--{unescaped_servername}",
        "claim-{username}-x_user_server}{servername}",
    ] {
        assert!(warned(ambiguous), "{ambiguous}");
    }
    for unique in [
        "claim-{user_server}",
        "claim-{username}--{servername}",
        "claim-{escaped_username}--{escaped_servername}",
    ] {
        let (_, mistakes) = KubeOptions::from_json(&json!({ "pvc_name_template": unique }));
        assert!(mistakes.is_empty(), "{unique}: {mistakes:?}");
    }
}
