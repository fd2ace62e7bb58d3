//! Sections of the Hub's configuration, in its own file or in `hub.config` of the values.

use super::outcome::Outcome;
use crate::config::kube_spawner::tell as tell_mistake;
use crate::config::report::{Remark, Report, join};
use crate::config::section::{Section as _, read_value};
use crate::config::yaml::{At, Kind, Node};
use crate::config::{BaseUrl, Config, SpawnerClass, check};

/// Options of pods by the values that set them.
const OPTIONS: [(&str, &str); 24] = [
    ("singleuser.profileList", "profile_list"),
    ("singleuser.storage.extraVolumes", "volumes"),
    ("singleuser.storage.extraVolumeMounts", "volume_mounts"),
    ("singleuser.storage.capacity", "storage_capacity"),
    (
        "singleuser.storage.dynamic.pvcNameTemplate",
        "pvc_name_template",
    ),
    ("singleuser.podNameTemplate", "pod_name_template"),
    ("singleuser.initContainers", "init_containers"),
    ("singleuser.extraContainers", "extra_containers"),
    ("singleuser.extraTolerations", "tolerations"),
    (
        "singleuser.extraNodeAffinity.required",
        "node_affinity_required",
    ),
    (
        "singleuser.extraNodeAffinity.preferred",
        "node_affinity_preferred",
    ),
    (
        "singleuser.extraPodAffinity.required",
        "pod_affinity_required",
    ),
    (
        "singleuser.extraPodAffinity.preferred",
        "pod_affinity_preferred",
    ),
    (
        "singleuser.extraPodAntiAffinity.required",
        "pod_anti_affinity_required",
    ),
    (
        "singleuser.extraPodAntiAffinity.preferred",
        "pod_anti_affinity_preferred",
    ),
    ("singleuser.lifecycleHooks", "lifecycle_hooks"),
    ("singleuser.extraPodConfig", "extra_pod_config"),
    ("singleuser.cpu.limit", "cpu_limit"),
    ("singleuser.cpu.guarantee", "cpu_guarantee"),
    ("singleuser.memory.limit", "mem_limit"),
    ("singleuser.memory.guarantee", "mem_guarantee"),
    ("singleuser.extraResource.limits", "extra_resource_limits"),
    (
        "singleuser.extraResource.guarantees",
        "extra_resource_guarantees",
    ),
    ("singleuser.cmd", "cmd"),
];

/// Those that are mappings, and not lists of what a mapping's values are.
const MAPPINGS: [&str; 4] = [
    "lifecycle_hooks",
    "extra_pod_config",
    "extra_resource_limits",
    "extra_resource_guarantees",
];

/// The Hub's own file.
pub fn of_hub(root: &Node, outcome: &mut Outcome) {
    let mut report = Report::new("");
    let mut config = Config::default();
    match root.kind {
        Kind::Null => {}
        Kind::Map(_) => config.read_sections(root, &mut report),
        _ => report.expected("sections, such as `JupyterHub:`", root, ""),
    }
    check::check(&mut config, &mut report);
    tell(root, "", report, outcome);
}

/// What the chart makes of values, as far as a mistake in them is the Hub's to find. `prefix` ends in a dot.
pub fn of_values(values: &Node, prefix: &str, outcome: &mut Outcome) {
    let mut config = Config::default();
    let mut report = Report::new("");
    for (path, key) in OPTIONS {
        let Some(value) = given(values, path) else {
            continue;
        };
        let value = if MAPPINGS.contains(&key) {
            value.clone()
        } else {
            listed(value, None)
        };
        config.kube_spawner.read_key(key, &value, path, &mut report);
    }
    for mut mistake in config.kube_spawner.0.check() {
        let place = mistake.path.first().and_then(|key| {
            let mut options = OPTIONS.iter();
            options.find(|(_, name)| name == key)
        });
        if let Some((path, _)) = place {
            mistake.path.remove(0);
            tell_mistake(&mistake, path, at(values, path), &mut report);
        }
    }
    let hub = &mut config.jupyter_hub;
    if let Some(roles) = given(values, "hub.loadRoles") {
        let roles = listed(roles, Some(&[]));
        read_value(&mut hub.load_roles, &roles, "hub.loadRoles", &mut report);
    }
    if let Some(services) = given(values, "hub.services") {
        let services = listed(services, Some(&[("apiToken", "api_token")]));
        read_value(&mut hub.services, &services, "hub.services", &mut report);
    }
    let (mistakes, warnings) = report.remarks();
    outcome.remarks(prefix, mistakes, warnings);

    let Some(sections) = at(values, "hub.config") else {
        return;
    };
    let (mut config, mut report) = (Config::default(), Report::new(""));
    config.read_sections(sections, &mut report);
    let hub = &mut config.jupyter_hub;
    // As the chart says it.
    (hub.spawner_class, hub.base_url) = (SpawnerClass::Kube, BaseUrl::default());
    hub.ip = [192, 0, 2, 1].into();
    check::check(&mut config, &mut report);
    let prefix = format!("{prefix}hub.config.");
    // Values are laid over each other: secrets above all stand in a file of their own.
    for (path, why) in report.take_missing() {
        outcome.missing(&format!("{prefix}{path}"), &why);
    }
    tell(sections, &prefix, report, outcome);
}

/// The node at a path, where it is something.
fn given<'n>(values: &'n Node, path: &str) -> Option<&'n Node> {
    at(values, path).filter(|value| !matches!(value.kind, Kind::Null))
}

/// The node at a path of keys.
pub fn at<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    path.split('.').try_fold(node, Node::child)
}

/// A mapping of items as a list. Where `names` are given, each item holds the key of the mapping as its name, and those
/// are other names for some of its keys.
fn listed(node: &Node, names: Option<&[(&str, &str)]>) -> Node {
    let Kind::Map(entries) = &node.kind else {
        return node.clone();
    };
    if !entries
        .iter()
        .all(|(_, item)| matches!(item.kind, Kind::Map(_) | Kind::Null))
    {
        return node.clone();
    }
    let items = entries.iter().filter_map(|(name, item)| {
        let Kind::Map(keys) = &item.kind else {
            return None;
        };
        let mut keys = keys.clone();
        for (key, _) in &mut keys {
            let other = names
                .unwrap_or_default()
                .iter()
                .find(|(from, _)| *from == key.text());
            key.kind = other.map_or(key.kind.clone(), |(_, to)| Kind::Text((*to).to_owned()));
        }
        if names.is_some() && item.child("name").is_none() {
            let word = |text: &str| Node {
                at: name.at,
                kind: Kind::Text(text.to_owned()),
            };
            keys.push((word("name"), word(&name.text())));
        }
        Some(Node {
            at: item.at,
            kind: Kind::Map(keys),
        })
    });
    Node {
        at: node.at,
        kind: Kind::List(items.collect()),
    }
}

/// Each key of the sections that nothing is said of is taken.
fn tell(sections: &Node, prefix: &str, report: Report, outcome: &mut Outcome) {
    let (mistakes, warnings) = report.remarks();
    let said = |path: &str| {
        let mut remarks = mistakes.iter().chain(&warnings);
        let within = |(_, of, _): &Remark| {
            let rest = of.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        remarks.any(within)
    };
    let mut taken: Vec<(At, String)> = Vec::new();
    for (section, keys) in entries(sections) {
        let section = section.text();
        if mistakes.iter().any(|(_, path, _)| *path == section) {
            continue;
        }
        for (key, _) in entries(keys) {
            let path = join(&section, &key.text());
            if !said(&path) {
                taken.push((key.at, path));
            }
        }
    }
    for (at, path) in taken {
        outcome.taken(at, &format!("{prefix}{path}"));
    }
    outcome.remarks(prefix, mistakes, warnings);
}

fn entries(node: &Node) -> &[(Node, Node)] {
    match &node.kind {
        Kind::Map(entries) => entries,
        _ => &[],
    }
}
