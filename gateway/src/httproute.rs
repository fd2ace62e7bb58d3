//! Rules of an HTTPRoute. What is not supported makes the whole rule fail, with a reason: it would do something else without.
//! Pure.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use crate::api::{self, BackendRef, Filter, Modifier, PathModifier, RouteMatch, RouteRule, Typed};
use crate::grants::Grants;
use crate::headers::changeable;
use crate::mapping::{header, value};
use crate::resolve::Services;
use crate::rule::{
    Action, Backend, Edits, Host, Match, Missing, Origin, Path, Redirect, Rewrite, Rule,
};

/// What rules need to know of the cluster.
pub struct World<'a> {
    pub services: &'a Services<'a>,
    pub grants: &'a Grants,
    /// For what says nothing of it.
    pub timeout: Duration,
}

/// All matches of one rule at all `hosts`.
///
/// # Errors
/// What is not supported, or does not read.
pub fn rules(
    world: &World<'_>,
    origin: &Origin,
    rule: &RouteRule,
    hosts: &[Host],
) -> Result<Vec<Rule>, String> {
    nothing_else("the rule", &rule.rest)?;
    let any = [RouteMatch::default()];
    let given = match rule.matches.as_slice() {
        [] => &any[..],
        some => some,
    };
    let backends = rule.backend_refs.iter();
    let backends = backends.map(|backend| served(world, origin, backend));
    let backends = backends.collect::<Result<Vec<_>, _>>()?;
    let timeout = timeout(world, rule)?;
    let mut rules = Vec::new();
    for host in hosts {
        for given in given {
            let matches = matches(given, host)?;
            let mut made = Rule::new(origin.clone(), matches, backends.clone(), timeout);
            for filter in &rule.filters {
                apply(&mut made, filter)?;
            }
            rules.push(made);
        }
    }
    Ok(rules)
}

pub fn nothing_else(what: &str, rest: &Map<String, Value>) -> Result<(), String> {
    match rest.keys().next() {
        Some(key) => Err(format!("`{key}` of {what} is not supported")),
        None => Ok(()),
    }
}

/// The shorter of both; "0s" is no limit.
fn timeout(world: &World<'_>, rule: &RouteRule) -> Result<Option<Duration>, String> {
    let given = [&rule.timeouts.request, &rule.timeouts.backend_request];
    let mut limits = Vec::new();
    for text in given.into_iter().flatten() {
        limits.push(api::duration(text)?);
    }
    if limits.is_empty() {
        return Ok(Some(world.timeout));
    }
    Ok(limits.into_iter().filter(|limit| !limit.is_zero()).min())
}

fn matches(given: &RouteMatch, host: &Host) -> Result<Match, String> {
    nothing_else("the match", &given.rest)?;
    let path = match &given.path {
        None => Path::Prefix("/".to_owned()),
        Some(path) => {
            let text = path.value.clone().unwrap_or_else(|| "/".to_owned());
            Path::check(&text).map_err(|text| format!("the path {text}"))?;
            match path.kind.as_deref() {
                None | Some("PathPrefix") => Path::Prefix(text),
                Some("Exact") => Path::Exact(text),
                Some(kind) => return Err(format!("paths of the type {kind} are not supported")),
            }
        }
    };
    let method = given.method.as_deref().map(|method| {
        let read = Method::from_bytes(method.as_bytes());
        read.map_err(|_| format!("`{method}` is no method"))
    });
    let headers = given.headers.iter().map(|field| {
        let text = exact("headers", field)?;
        Ok((header(&field.name)?, Some(value(text)?)))
    });
    let query = given.query_params.iter().map(|argument| {
        let text = exact("arguments", argument)?;
        Ok((argument.name.clone(), text.to_owned()))
    });
    Ok(Match {
        host: host.clone(),
        path,
        method: method.transpose()?,
        headers: headers.collect::<Result<_, String>>()?,
        query: query.collect::<Result<_, String>>()?,
    })
}

fn exact<'a>(what: &str, field: &'a Typed) -> Result<&'a str, String> {
    match field.kind.as_deref() {
        None | Some("Exact") => Ok(field.value.as_deref().unwrap_or_default()),
        Some(kind) => Err(format!("{what} of the type {kind} are not supported")),
    }
}

fn apply(rule: &mut Rule, filter: &Filter) -> Result<(), String> {
    match filter.kind.as_str() {
        "RequestHeaderModifier" => rule.request = edits(&filter.request_header_modifier)?,
        "ResponseHeaderModifier" => rule.response = edits(&filter.response_header_modifier)?,
        "URLRewrite" => {
            let rewrite = &filter.url_rewrite;
            let host = rewrite.hostname.as_deref().map(value).transpose()?;
            rule.host = host.or_else(|| rule.host.take());
            let path = rewrite.path.as_ref().map(modified).transpose()?;
            rule.rewrite = path.or_else(|| rule.rewrite.take());
        }
        "RequestRedirect" => {
            let asked = &filter.request_redirect;
            let status = asked.status_code.unwrap_or(302);
            let status = StatusCode::from_u16(status).ok();
            let status = status.filter(StatusCode::is_redirection);
            if let Some(host) = &asked.hostname {
                HeaderValue::from_str(host).map_err(|_| format!("`{host}` is no host"))?;
            }
            rule.action = Action::Redirect(Redirect {
                scheme: asked.scheme.clone(),
                host: asked.hostname.clone(),
                port: asked.port,
                path: asked.path.as_ref().map(modified).transpose()?,
                status: status.ok_or("the status of the redirect is none")?,
            });
        }
        kind => return Err(format!("the filter {kind} is not supported")),
    }
    Ok(())
}

fn edits(modifier: &Modifier) -> Result<Edits, String> {
    let pairs = |pairs: &[api::Pair]| {
        let read = pairs.iter();
        let read = read.map(|pair| Ok((changeable(header(&pair.name)?)?, value(&pair.value)?)));
        read.collect::<Result<Vec<_>, String>>()
    };
    let removed = modifier.remove.iter();
    let removed = removed.map(|name| changeable(header(name)?));
    Ok(Edits {
        set: pairs(&modifier.set)?,
        add: pairs(&modifier.add)?,
        remove: removed.collect::<Result<_, _>>()?,
    })
}

fn modified(path: &PathModifier) -> Result<Rewrite, String> {
    let PathModifier {
        kind,
        replace_full_path,
        replace_prefix_match,
    } = path;
    let rewrite = match kind.as_str() {
        "ReplaceFullPath" => replace_full_path.clone().map(Rewrite::Whole),
        "ReplacePrefixMatch" => replace_prefix_match.clone().map(Rewrite::Prefix),
        _ => return Err(format!("a change of paths by {kind} is not supported")),
    };
    let rewrite = rewrite.ok_or_else(|| format!("the path of {kind} is missing"))?;
    match &rewrite {
        // As the Gateway API has it: the prefix just goes.
        Rewrite::Prefix(path) if path.is_empty() => {}
        Rewrite::Prefix(path) | Rewrite::Whole(path) => {
            Path::check(path).map_err(|text| format!("the path {text}"))?;
        }
    }
    Ok(rewrite)
}

fn served(world: &World<'_>, origin: &Origin, backend: &BackendRef) -> Result<Backend, String> {
    if !backend.filters.is_empty() {
        return Err("`filters` of a backend are not supported".to_owned());
    }
    let namespace = backend.namespace.as_deref().unwrap_or(&origin.namespace);
    let group = backend.group.as_deref().unwrap_or_default();
    let kind = backend.kind.as_deref().unwrap_or("Service");
    let name = &backend.name;
    let at = if !group.is_empty() || kind != "Service" {
        let text = format!("a backend of the kind {kind} is not supported");
        Err(Missing::Unsupported(text))
    } else if namespace != origin.namespace
        && !world.grants.permit(&origin.namespace, namespace, name)
    {
        let text = format!(
            "no ReferenceGrant in {namespace} lets routes of {} use {name}",
            origin.namespace
        );
        Err(Missing::NotPermitted(text))
    } else {
        match backend.port {
            Some(port) => world.services.address(namespace, name, port, false),
            None => Err(Missing::NotFound(format!("the backend {name} has no port"))),
        }
    };
    Ok(Backend {
        weight: backend.weight.unwrap_or(1),
        name: format!("{name}.{namespace}"),
        at,
    })
}
