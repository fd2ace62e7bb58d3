//! From what the cluster shows to the routes that stand, what is wrong with the others, and what HTTPRoutes are told. Pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::DynamicObject;

use crate::api::{self, HttpRoute};
use crate::attach::{Attached, Gateways};
use crate::contest::{self, MOST, Refused};
use crate::grants::Grants;
use crate::httproute::{self, World};
use crate::mapping::{self, ANNOTATION, Mapping, Mistake};
use crate::options::RouteOptions;
use crate::resolve::Services;
use crate::rule::{Action, Backend, Host, Kind, Missing, Origin, Rule};
use crate::status::{Counts, Said};
use crate::verdict::Verdict;
use crate::{builtin, status, verdict};

/// All that is watched.
#[derive(Default)]
pub struct Seen {
    pub services: Vec<Arc<Service>>,
    pub routes: Vec<Arc<DynamicObject>>,
    pub gateways: Vec<Arc<DynamicObject>>,
    pub classes: Vec<Arc<DynamicObject>>,
    pub grants: Vec<Arc<DynamicObject>>,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What it is about.
    pub about: String,
    pub text: String,
    pub advice: &'static str,
}

#[derive(Default)]
pub struct Plan {
    /// In the order in which they are asked.
    pub rules: Vec<Rule>,
    pub problems: Vec<Problem>,
    pub verdicts: Vec<Verdict>,
    /// What Gateways of ours and their classes are told.
    pub gateways: Vec<Said>,
}

const CORRECT: &str = "Correct the annotation of the Service.";
const CHOOSE: &str = "Choose another prefix or host, or have the holder give it up.";
const FEWER: &str = "Take rules out, or spread them over more namespaces.";
const KEYS: &str = "Take the keys out, or do not rely on them.";
const TARGET: &str = "Make the Service, or correct its name and port in the route.";
const ROUTE: &str = "Correct the HTTPRoute; its status says the same.";

pub fn plan(options: &RouteOptions, seen: &Seen) -> Plan {
    let services = seen.services.iter().map(AsRef::as_ref);
    let services = Services::new(services, &options.unverified);
    let mut problems = Vec::new();
    let mut rules = builtin::rules(options);
    for service in &seen.services {
        of_service(options, &services, service, &mut rules, &mut problems);
    }
    let grants = Grants::new(seen.grants.iter().map(AsRef::as_ref));
    let world = World {
        services: &services,
        grants: &grants,
        timeout: Duration::from_secs(options.timeout),
    };
    let gateways = Gateways::new(&seen.classes, &seen.gateways, &options.controller);
    let (mut asked, mut left) = (Vec::<Asked>::new(), Vec::new());
    for object in &seen.routes {
        match of_route(&world, &gateways, object, &mut rules) {
            Some(route) => asked.push(route),
            // One that was a route of ours is told that it is none any more.
            None if verdict::is_told(object, &options.controller) => left.push(object),
            None => {}
        }
    }
    let (rules, refused) = contest::settle(rules);
    problems.extend(refused.iter().map(refusal));
    problems.extend(rules.iter().flat_map(missing));
    let gateways = status::of(&gateways, &counts(&asked));
    let mut verdicts: Vec<Verdict> = asked
        .into_iter()
        .map(|asked| asked.verdict(&rules, &refused, &mut problems))
        .collect();
    verdicts.extend(left.into_iter().map(Verdict::none));
    problems.sort();
    problems.dedup();
    Plan {
        rules,
        problems,
        verdicts,
        gateways,
    }
}

fn counts(asked: &[Asked]) -> Counts {
    let mut counts = Counts::default();
    for one in asked {
        for at in one.attached.iter().flat_map(|parent| &parent.at) {
            counts.add(at, &one.origin.namespace, &one.origin.object);
        }
    }
    counts
}

fn of_service(
    options: &RouteOptions,
    services: &Services<'_>,
    service: &Service,
    rules: &mut Vec<Rule>,
    problems: &mut Vec<Problem>,
) {
    let Some(text) = service.annotations().get(ANNOTATION) else {
        return;
    };
    for read in mapping::read(text) {
        let mut origin = origin(Kind::Mapping, service);
        match read {
            Ok(mapping) => {
                origin.part.clone_from(&mapping.name);
                if !mapping.unknown.is_empty() {
                    let keys = mapping.unknown.join(", ");
                    let text = format!("keys that nothing is done with: {keys}");
                    problems.push(problem(&origin, text, KEYS));
                }
                rules.push(of_mapping(options, services, origin, mapping));
            }
            Err(Mistake { part, text }) => {
                origin.part = part;
                problems.push(problem(&origin, text, CORRECT));
            }
        }
    }
}

fn origin(kind: Kind, object: &impl kube::ResourceExt) -> Origin {
    Origin {
        kind,
        namespace: object.namespace().unwrap_or_default(),
        object: object.name_any(),
        part: String::new(),
        number: 0,
        created: object.creation_timestamp().map(|time| time.0),
    }
}

fn problem(origin: &Origin, text: String, advice: &'static str) -> Problem {
    // What a route says itself may be in it: one problem is one line of the log.
    let text = text.replace(char::is_control, " ");
    Problem {
        about: origin.to_string(),
        text,
        advice,
    }
}

/// A Service may lead to others of its own namespace; one beside the gateway, which is the administrator's, to all.
fn of_mapping(
    options: &RouteOptions,
    services: &Services<'_>,
    origin: Origin,
    mapping: Mapping,
) -> Rule {
    let wanted = &mapping.service;
    let namespace = wanted.namespace.as_ref().unwrap_or(&origin.namespace);
    let at = if *namespace == origin.namespace || origin.namespace == options.home {
        services.address(namespace, &wanted.name, wanted.port, wanted.https)
    } else {
        let home = &options.home;
        let text = format!(
            "a Service of {} may not lead to one of {namespace}; only one of {home} may",
            origin.namespace
        );
        Err(Missing::NotPermitted(text))
    };
    let backend = Backend {
        weight: 1,
        name: format!("{}.{namespace}:{}", wanted.name, wanted.port),
        at,
    };
    let mut rule = Rule::new(origin, mapping.matches, vec![backend], mapping.timeout);
    rule.rewrite = mapping.rewrite;
    rule.host = mapping.host;
    rule.request = mapping.request;
    rule
}

/// An HTTPRoute with parents of ours.
struct Asked {
    object: Arc<DynamicObject>,
    origin: Origin,
    attached: Vec<Attached>,
    /// Of the rules that are not supported.
    wrong: Vec<String>,
}

fn of_route(
    world: &World<'_>,
    gateways: &Gateways,
    object: &Arc<DynamicObject>,
    rules: &mut Vec<Rule>,
) -> Option<Asked> {
    let origin = origin(Kind::HttpRoute, object.as_ref());
    // The API server has checked it: who makes no sense of it has no parents to tell.
    let route: HttpRoute = api::spec(&object.data).ok()?;
    let attached = gateways.attach(&origin.namespace, &route.parent_refs, &route.hostnames);
    if attached.is_empty() {
        return None;
    }
    let hosts = hosts(&attached);
    let mut wrong = Vec::new();
    let mut rest = route.rest.clone();
    rest.remove("useDefaultGateways");
    wrong.extend(httproute::nothing_else("the route", &rest).err());
    let mut count = 0;
    for (number, rule) in route.rules.iter().enumerate() {
        let part = rule.name.clone().unwrap_or_else(|| number.to_string());
        let origin = Origin {
            part: part.clone(),
            number,
            ..origin.clone()
        };
        count += hosts.len() * rule.matches.len().max(1);
        let made = match count {
            0..=MOST => httproute::rules(world, &origin, rule, &hosts),
            _ => Err(format!(
                "more than {MOST} matches, each at each host, are not taken"
            )),
        };
        match made {
            Ok(made) => rules.extend(made),
            Err(text) => wrong.push(format!("rule {part}: {text}")),
        }
    }
    Some(Asked {
        object: Arc::clone(object),
        origin,
        attached,
        wrong,
    })
}

/// Each once.
fn hosts(attached: &[Attached]) -> Vec<Host> {
    let all = attached.iter();
    let mut hosts = Vec::new();
    for host in all.flat_map(|parent| parent.hosts.iter().flatten()) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

impl Asked {
    fn verdict(self, rules: &[Rule], refused: &[Refused], problems: &mut Vec<Problem>) -> Verdict {
        let is_ours = |rule: &Rule| {
            let Origin {
                kind,
                namespace,
                object,
                ..
            } = &rule.origin;
            *kind == Kind::HttpRoute
                && *namespace == self.origin.namespace
                && *object == self.origin.object
        };
        let contested = refused.iter().filter(|refused| is_ours(&refused.rule));
        let contested: Vec<String> = contested.map(|refused| refused.why.clone()).collect();
        let standing: Vec<&Rule> = rules.iter().filter(|rule| is_ours(rule)).collect();
        let backends = standing.iter().flat_map(|rule| backends(rule));
        let missing = backends.filter_map(|backend| backend.at.as_ref().err());
        let missing: Vec<Missing> = missing.cloned().collect();
        for text in &self.wrong {
            problems.push(problem(&self.origin, text.clone(), ROUTE));
        }
        for (_, text) in self
            .attached
            .iter()
            .filter_map(|parent| parent.hosts.as_ref().err())
        {
            problems.push(problem(&self.origin, text.clone(), ROUTE));
        }
        let findings = verdict::Findings {
            wrong: &self.wrong,
            contested: &contested,
            missing: &missing,
            stands: !standing.is_empty(),
        };
        Verdict::new(self.object, &self.attached, &findings)
    }
}

fn backends(rule: &Rule) -> &[Backend] {
    match &rule.action {
        Action::Forward(backends) => backends,
        Action::Redirect(_) => &[],
    }
}

fn refusal(refused: &Refused) -> Problem {
    let origin = &refused.rule.origin;
    let why = refused.why.clone();
    if !refused.is_surplus {
        return problem(origin, why, CHOOSE);
    }
    // Once for all that one object asks for.
    let whole = Origin {
        part: "*".to_owned(),
        ..origin.clone()
    };
    problem(&whole, why, FEWER)
}

fn missing(rule: &Rule) -> Vec<Problem> {
    let missing = backends(rule).iter();
    let missing = missing.filter_map(|backend| backend.at.as_ref().err());
    missing
        .map(|missing| problem(&rule.origin, missing.text().to_owned(), TARGET))
        .collect()
}
