//! Names by KubeSpawner's safe rules: its own vectors, and what must hold for every name.

use carrel_spawner::kube::slug::{escape, is_label, is_object_name, safe_label, safe_slug};
use carrel_spawner::kube::template::{Fields, SlugScheme};
use proptest::prelude::*;

fn pod_name(user: &str, server: &str) -> String {
    Fields::new(SlugScheme::Safe, user, server, "hub").name("jupyter-{user_server}")
}

#[test]
fn pods_have_the_names_that_kubespawner_gives_them() {
    let (a47, a30, b20) = ("a".repeat(47), "a".repeat(30), "b".repeat(20));
    let vectors = [
        ("alice", "", "jupyter-alice"),
        ("alice", "gpu", "jupyter-alice--gpu"),
        ("alice-bob", "", "jupyter-alice-bob"),
        ("Alice", "", "jupyter-alice---3bc51062"),
        (
            "alice.smith@example.org",
            "",
            "jupyter-alice-smith-example-org---0d1cf0a9",
        ),
        ("a--b", "", "jupyter-a-b---90827a2e"),
        ("9lives", "", "jupyter-x-9lives---bc867356"),
        ("user_1", "", "jupyter-user-1---79b0aa00"),
        ("émile", "", "jupyter-mile---a56b363c"),
        (&a47, "", "jupyter-aaaaaaaaaaaaaaaaa--x---b191b19d"),
        (
            &a30,
            &b20,
            "jupyter-aaaaaaaaaaaaaaaaa--bbbbbbbbbbbbbbbbb---3f86323f",
        ),
    ];
    for (user, server, name) in vectors {
        assert_eq!(pod_name(user, server), name, "{user}/{server}");
    }
}

#[test]
fn the_legacy_scheme_writes_bytes() {
    assert_eq!(escape("alice-bob"), "alice-2dbob");
    assert_eq!(escape("É"), "-c3-89");
    let fields = Fields::new(SlugScheme::Escape, "alice-bob", "gpu", "hub");
    assert_eq!(
        fields.name("jupyter-{user_server}"),
        "jupyter-alice-2dbob--gpu"
    );
}

#[test]
fn a_template_fills_in_what_it_knows_and_leaves_the_rest() {
    let fields = Fields::new(SlugScheme::Safe, "Ada L", "", "default");
    for (template, text) in [
        ("{unescaped_username}/{username}", "Ada L/ada-l---7d981b26"),
        ("{hubnamespace}-{servername}", "user-"),
        (r#"{"a": {}} ${HOME} {"#, r#"{"a": {}} ${HOME} {"#),
        ("{{username}}", "{ada-l---7d981b26}"),
    ] {
        assert_eq!(fields.expand(template), text);
    }
    assert_eq!(fields.name("lab-{servername}"), "lab");
}

/// Names as people and identity providers make them, and names as nobody does.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,60}",
        "[A-Za-z0-9._@+-]{1,40}",
        "[ab-]{1,6}",
        "\\PC{1,30}"
    ]
}

proptest! {
    #[test]
    fn every_name_becomes_a_valid_one(user in names(), server in prop_oneof![Just(String::new()), names()]) {
        let pod = pod_name(&user, &server);
        prop_assert!(is_object_name(&pod), "{}", pod);
        prop_assert!(is_object_name(&safe_slug(&user)));
        prop_assert!(is_label(&safe_label(&user)));
    }

    #[test]
    fn no_two_servers_share_a_name(
        one in (names(), prop_oneof![Just(String::new()), names()]),
        other in (names(), prop_oneof![Just(String::new()), names()]),
    ) {
        prop_assume!(one != other);
        prop_assert_ne!(pod_name(&one.0, &one.1), pod_name(&other.0, &other.1));
    }

    /// Names that differ only in what a slug does not keep are the likely ones to collide.
    #[test]
    fn names_that_look_alike_stay_apart(name in "[a-b.-]{1,5}", other in "[a-b.-]{1,5}") {
        prop_assume!(name != other);
        prop_assert_ne!(safe_slug(&name), safe_slug(&other));
        prop_assert_ne!(pod_name(&name, ""), pod_name(&other, ""));
    }

    #[test]
    fn a_plain_name_stays_as_it_is(name in "[a-z]([a-z0-9]{0,20})(-[a-z0-9]{1,10}){0,2}") {
        prop_assert_eq!(safe_slug(&name), name);
    }
}
