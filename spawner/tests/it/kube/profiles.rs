//! Profiles: what the form offers, what forms and the API may ask for, and what it does to the pod.

use carrel_spawner::kube::{KubeOptions, form, resolve};
use serde_json::{Value, json};

use super::{mistakes, options, request};

/// Two profiles for everybody, one for a group.
fn profiles() -> KubeOptions {
    options(json!({
        "image": "base:1",
        "profile_list": [
            {
                "display_name": "Small",
                "description": "For exercises",
                "kubespawner_override": { "mem_limit": "1G" },
            },
            {
                "display_name": "Choose yourself",
                "slug": "own",
                "default": true,
                "profile_options": {
                    "image": {
                        "display_name": "Image",
                        "choices": {
                            "stable": { "display_name": "Stable", "kubespawner_override": { "image": "carrel:1" } },
                            "new": { "default": true, "kubespawner_override": { "image": "carrel:2" } },
                        },
                        "unlisted_choice": {
                            "enabled": true,
                            "validation_regex": "carrel:[a-z0-9]+",
                            "validation_message": "An image of ours, please.",
                            "kubespawner_override": { "image": "registry/{value}" },
                        },
                    },
                    "memory": {
                        "choices": { "small": { "kubespawner_override": { "mem_limit": "2G", "mem_guarantee": "1G" } } },
                    },
                },
            },
            {
                "display_name": "GPU",
                "slug": "gpu",
                "groups": ["gpu-users"],
                "kubespawner_override": { "extra_resource_limits": { "nvidia.com/gpu": "1" } },
            },
        ],
    }))
}

/// What a start by the API gives, or why it does not.
fn chosen(groups: &[&str], choice: Value) -> Result<KubeOptions, String> {
    let mut request = request("alice", "", choice);
    request.groups = groups.iter().map(|&group| group.to_owned()).collect();
    resolve(&profiles(), &request).map_err(|error| error.to_string())
}

#[test]
fn without_a_choice_the_default_profile_and_its_default_choices_count() {
    let options = chosen(&[], json!({})).unwrap();
    assert_eq!(options.image, "carrel:2");
    assert_eq!(options.mem_guarantee.unwrap().to_string(), "1Gi");
}

#[test]
fn what_is_chosen_counts() {
    let options = chosen(&[], json!({ "profile": "small" })).unwrap();
    assert_eq!(options.image, "base:1");
    assert_eq!(options.mem_limit.unwrap().to_string(), "1Gi");
    let options = chosen(&[], json!({ "profile": "own", "image": "stable" })).unwrap();
    assert_eq!(options.image, "carrel:1");
}

#[test]
fn a_text_must_match_as_a_whole() {
    let write = |text: &str| {
        chosen(
            &[],
            json!({ "image": "unlisted-choice", "image--unlisted-choice": text }),
        )
    };
    assert_eq!(write("carrel:3").unwrap().image, "registry/carrel:3");
    for text in [
        "carrel:3@evil",
        "evil/carrel:3",
        "carrel:3\n",
        "",
        "carrel:",
    ] {
        let error = write(text).unwrap_err();
        assert!(error.starts_with("image: "), "{text:?}: {error}");
    }
    assert_eq!(write("x").unwrap_err(), "image: An image of ours, please.");
}

#[test]
fn what_is_not_offered_is_refused() {
    for (choice, error) in [
        (
            json!({ "profile": "huge" }),
            "profile: There is no such profile for you.",
        ),
        (
            json!({ "profile": 5 }),
            "profile: There is no such profile for you.",
        ),
        (
            json!({ "image": "carrel:1" }),
            "image: This is none of the choices.",
        ),
        (
            json!({ "image": ["stable"] }),
            "image: This is not a string.",
        ),
        (
            json!({ "memory": "unlisted-choice", "memory--unlisted-choice": "64G" }),
            "memory: This is none of the choices.",
        ),
    ] {
        assert_eq!(chosen(&[], choice).unwrap_err(), error);
    }
}

#[test]
fn a_profile_of_a_group_is_for_its_members_only() {
    assert!(chosen(&[], json!({ "profile": "gpu" })).is_err());
    let options = chosen(&["gpu-users"], json!({ "profile": "gpu" })).unwrap();
    assert_eq!(options.extra_resource_limits["nvidia.com/gpu"].0, "1");
    let offered = |groups: &[String]| form(&profiles().profile_list, groups).profiles.len();
    assert_eq!(
        (offered(&[]), offered(&[String::from("gpu-users")])),
        (2, 3)
    );
}

#[test]
fn the_form_in_the_browser_gives_the_options_that_the_api_takes() {
    let form = form(&profiles().profile_list, &[]);
    let read = |inputs: &[(&str, &str)]| {
        let inputs = inputs.to_vec();
        form.read(|name| {
            inputs
                .iter()
                .find(|(input, _)| *input == name)
                .map(|(_, value)| *value)
        })
    };
    let options = read(&[
        ("profile", "own"),
        ("profile-option-own--image", "unlisted-choice"),
        ("profile-option-own--image--unlisted-choice", "carrel:7"),
        ("profile-option-own--memory", "small"),
        ("profile-option-small--image", "ignored"),
    ]);
    let wanted = json!({
        "profile": "own",
        "image": "unlisted-choice",
        "image--unlisted-choice": "carrel:7",
        "memory": "small",
    });
    assert_eq!(Value::Object(options.clone()), wanted);
    assert_eq!(form.check(&options), []);
    let wrong = form.check(&read(&[
        ("profile", "own"),
        ("profile-option-own--image", "x"),
    ]));
    assert_eq!(wrong[0].field, "image");
}

#[test]
fn fields_and_choices_keep_the_order_of_the_file() {
    let mapping = r#"{ "size": { "choices": { "small": {}, "large": {}, "huge": {} } }, "cpu": {"choices": { "1": {} } } }"#;
    let list = r#"[
        { "name": "size", "choices": [{ "name": "small" }, { "name": "large" }, { "name": "huge" }] },
        { "name": "cpu", "choices": [{ "name": "1", "display_name": "one" }] }
    ]"#;
    for fields in [mapping, list] {
        let profiles = format!(r#"[{{ "display_name": "a", "profile_options": {fields} }}]"#);
        let mut options = KubeOptions::default();
        assert_eq!(options.set("profile_list", &profiles), Some(Vec::new()));
        let form = form(&options.profile_list, &[]);
        let fields = &form.profiles[0].fields;
        let values = fields[0].choices.iter().map(|choice| &choice.value);
        assert_eq!(values.collect::<Vec<_>>(), ["small", "large", "huge"]);
        assert_eq!(fields[1].name, "cpu");
    }
}

#[test]
fn items_of_a_list_have_names_of_their_own() {
    for (fields, wrong) in [
        (r#"[{ "name": "a" }, { "name": "a" }]"#, "two named"),
        (r#"[{ "display_name": "a" }]"#, "missing field `name`"),
        (r#""a""#, "a mapping, or a list whose items have a `name`"),
    ] {
        let profiles = format!(r#"[{{ "display_name": "a", "profile_options": {fields} }}]"#);
        let mistakes = KubeOptions::default()
            .set("profile_list", &profiles)
            .unwrap();
        assert!(mistakes[0].to_string().contains(wrong), "{mistakes:?}");
    }
}

#[test]
fn mistakes_in_profiles_are_found_before_anybody_starts() {
    let found = mistakes(json!({
        "profile_list": [
            { "display_name": "One", "kubespawner_override": { "imge": "x", "mem_limit": "lots" } },
            { "display_name": "One" },
            { "slug": "three", "profile_options": {
                "a": {},
                "b": {
                    "choices": { "x": { "kubespawner_override": { "cpu_limit": -1 } } },
                    "unlisted_choice": {
                        "enabled": true,
                        "validation_regex": "[a",
                        "kubespawner_override": { "imge": "{value}" },
                    },
                },
            } },
        ],
    }));
    let want = [
        "0: kubespawner_override: imge: unknown key",
        "0: kubespawner_override: mem_limit: expected a number of bytes, such as 512M or 2Gi, found \"lots\"",
        "1: another profile has the slug \"one\" too",
        "2: a profile needs a `display_name`",
        "2: profile_options: a: expected `choices` or `unlisted_choice`",
        "2: profile_options: b: choices: x: kubespawner_override: cpu_limit: \
         expected a number of cores, such as 0.5 or 500m, found -1",
        "2: profile_options: b: unlisted_choice: validation_regex: unclosed character class",
        "2: profile_options: b: unlisted_choice: kubespawner_override: imge: unknown key",
    ];
    assert_eq!(
        found,
        want.map(|mistake| format!("profile_list: {mistake}"))
    );
}

fn restricted() -> KubeOptions {
    options(json!({
        "image": "base:1",
        "profile_list": [
            {
                "display_name": "Everybody",
                "profile_options": {
                    "image": {
                        "choices": {
                            "staff": { "allowed_groups": ["staff"], "kubespawner_override": { "image": "staff:1" } },
                            "plain": { "description": "For all", "kubespawner_override": { "image": "plain:1" } },
                            "none": { "allowed_groups": [], "default": true },
                        },
                    },
                    "extra": { "choices": { "only": { "allowed_groups": ["staff"] } } },
                },
            },
            { "display_name": "Staff", "allowed_groups": ["staff", "guests"] },
            { "display_name": "Nobody", "allowed_groups": [] },
        ],
    }))
}

/// `allowed_groups` filters by the groups of the user: what the form does not show, the API does not take.
#[test]
fn allowed_groups_of_profiles_and_choices_are_a_filter() {
    let options = restricted();
    let shown = |groups: &[&str]| {
        let groups: Vec<_> = groups.iter().map(|&group| group.to_owned()).collect();
        let form = form(&options.profile_list, &groups);
        let slugs: Vec<_> = form
            .profiles
            .iter()
            .map(|profile| profile.slug.clone())
            .collect();
        let fields = form.profiles[0].fields.iter();
        let choices =
            fields.flat_map(|field| field.choices.iter().map(|choice| choice.value.clone()));
        (slugs.join(" "), choices.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(shown(&[]), ("everybody".into(), "plain".into()));
    assert_eq!(
        shown(&["guests"]),
        ("everybody staff".into(), "plain".into())
    );
    assert_eq!(
        shown(&["staff"]),
        ("everybody staff".into(), "staff plain only".into())
    );

    let start = |groups: &[&str], choice: Value| {
        let mut request = request("alice", "", choice);
        request.groups = groups.iter().map(|&group| group.to_owned()).collect();
        resolve(&options, &request).map(|options| options.image)
    };
    assert_eq!(start(&[], json!({})).unwrap(), "plain:1");
    assert_eq!(
        start(&["staff"], json!({ "image": "staff" })).unwrap(),
        "staff:1"
    );
    start(&[], json!({ "image": "staff" })).unwrap_err();
    start(&[], json!({ "profile": "staff" })).unwrap_err();
    start(&["staff"], json!({ "image": "none" })).unwrap_err();
}

#[test]
fn what_is_passed_over_is_a_warning_and_the_rest_counts() {
    let given = json!({ "profile_list": [{
        "display_name": "A",
        "profile_options": { "image": {
            "dynamic_image_building": { "enabled": true },
            "choices": { "a": { "slug": "a", "description": "First" } },
            "unlisted_choice": { "enabled": true, "description": "Yours", "description_in_choices": "Own" },
        } },
    }] });
    let (read, mistakes) = KubeOptions::from_json(&given);
    assert!(
        mistakes.iter().all(|mistake| mistake.warning),
        "{mistakes:?}"
    );
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    let form = form(&read.profile_list, &[]);
    let choices = form.profiles[0].fields[0].choices.iter();
    let told: Vec<_> = choices.map(|choice| choice.description.as_str()).collect();
    assert_eq!(told, ["First", "Own"]);
    assert_eq!(form.profiles[0].fields[0].help, "Yours");
    for slip in ["allowed_group", "display-name", "kubespawner_overide"] {
        let given = json!({ "profile_list": [{ "display_name": "A", slip: "x" }] });
        let (_, mistakes) = KubeOptions::from_json(&given);
        assert!(
            mistakes.iter().any(|mistake| !mistake.warning),
            "{slip}: {mistakes:?}"
        );
    }
}
