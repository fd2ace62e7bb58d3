//! The routes that are built in. Pure.

use std::time::Duration;

use url::{Host as UrlHost, Url};

use crate::options::RouteOptions;
use crate::rule::{Address, Backend, Host, Match, Origin, Rewrite, Rule, Standing};

/// A server of a notebook may take so long to start.
const STARTS: Duration = Duration::from_secs(300);

/// What the options ask for.
pub fn rules(options: &RouteOptions) -> Vec<Rule> {
    let mut plain = Vec::new();
    let base = options.hub_base.trim_matches('/');
    let base = match base {
        "" => String::new(),
        base => format!("/{base}"),
    };
    if let Some(hub) = &options.hub {
        for part in ["hub", "user", "services"] {
            let path = format!("{base}/{part}/");
            plain.push(rule(options, "hub", &path, hub, Standing::Hub, STARTS));
        }
    }
    let usual = Duration::from_secs(options.timeout);
    let mut add = |name, path, target: &Option<Url>, standing| {
        if let Some(target) = target {
            plain.push(rule(options, name, path, target, standing, usual));
        }
    };
    add(
        "jobs-dashboard",
        "/tfjobs/",
        &options.jobs_dashboard,
        Standing::Ours,
    );
    add(
        "kubernetes-dashboard",
        "/k8s/ui/",
        &options.kubernetes_dashboard,
        Standing::Foreign,
    );
    match &options.dashboard {
        Some(_) => add("dashboard", "/", &options.dashboard, Standing::Ours),
        None => add("hub", "/", &options.hub, Standing::Hub),
    }
    for rule in &mut plain {
        if rule.standing == Standing::Foreign {
            rule.rewrite = Some(Rewrite::Prefix("/".to_owned()));
        }
    }
    if options.host.is_empty() {
        return plain;
    }
    let at_hosts = plain.into_iter().flat_map(|rule| {
        options.host.iter().map(move |host| {
            let mut rule = rule.clone();
            rule.matches.host = Host::read(host);
            rule
        })
    });
    at_hosts.collect()
}

fn rule(
    options: &RouteOptions,
    name: &str,
    path: &str,
    target: &Url,
    standing: Standing,
    timeout: Duration,
) -> Rule {
    let backend = Backend {
        weight: 1,
        name: target.as_str().trim_end_matches('/').to_owned(),
        at: Ok(address(options, target)),
    };
    let origin = Origin::built_in(name);
    let mut rule = Rule::new(origin, Match::prefix(path), vec![backend], Some(timeout));
    rule.standing = standing;
    rule
}

/// The options are checked: there is a host, and the scheme is one of both.
fn address(options: &RouteOptions, target: &Url) -> Address {
    let port = target.port_or_known_default().unwrap_or(80);
    let host = match target.host() {
        Some(UrlHost::Ipv6(ip)) => ip.to_string(),
        host => host.map(|host| host.to_string()).unwrap_or_default(),
    };
    let address = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let unverified = options.unverified.contains(&host);
    Address {
        address,
        tls: (target.scheme() == "https").then_some((host, unverified)),
    }
}
