//! Whose request it is: which rules stand, and in which order they are asked. Pure.
//!
//! Everybody who may write a Service or an HTTPRoute in some namespace declares routes for the one address of all. So the
//! eldest holder of a path keeps it: a rule stands only if it takes no request from an elder one of another namespace, and
//! does not lie above one, from where it would set cookies and workers for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use carrel_proxy::is_at;

use crate::rule::{Kind, Rule};

/// The most rules that one namespace may ask for: each request goes through all that stand.
pub const MOST: usize = 256;

/// A rule that does not stand.
#[derive(Debug)]
pub struct Refused {
    pub rule: Rule,
    pub why: String,
    /// Whether its namespace asks for too many, whatever it takes.
    pub is_surplus: bool,
}

/// Those that stand, the first to be asked first, and the others.
pub fn settle(mut rules: Vec<Rule>) -> (Vec<Rule>, Vec<Refused>) {
    rules.sort_by(|a, b| a.origin.age().cmp(&b.origin.age()));
    let mut standing: Vec<Rule> = Vec::new();
    let mut refused = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for rule in rules {
        let is_surplus = rule.origin.kind != Kind::BuiltIn && {
            let count = counts.entry(rule.origin.namespace.clone()).or_default();
            *count += 1;
            *count > MOST
        };
        let why = match is_surplus {
            true => Some(format!(
                "{} has more than {MOST} rules, and this is none of the eldest",
                rule.origin.namespace
            )),
            false => standing.iter().find_map(|elder| takes(&rule, elder)),
        };
        match why {
            Some(why) => refused.push(Refused {
                rule,
                why,
                is_surplus,
            }),
            None => standing.push(rule),
        }
    }
    // Stable: of equal rank the elder is first.
    standing.sort_by_key(|rule| Reverse(rule.matches.rank()));
    (standing, refused)
}

/// Why `rule` may not stand beside `elder`.
fn takes(rule: &Rule, elder: &Rule) -> Option<String> {
    let holder = &elder.origin;
    if rule.origin.is_beside(holder) {
        let same = rule.matches.same(&elder.matches);
        return same.then(|| format!("{holder} takes the same requests"));
    }
    let (ours, theirs) = (&rule.matches, &elder.matches);
    ours.host.meet(&theirs.host)?;
    let is_own = rule.origin.kind == Kind::BuiltIn;
    let built_in = holder.kind == Kind::BuiltIn && !is_own;
    let (more, same) = (
        ours.host.rank() > theirs.host.rank(),
        ours.host.rank() == theirs.host.rank(),
    );
    let below = ours.path.is_within(&theirs.path);
    // What is built in is of one hand.
    let above = !is_own
        && (theirs.path.is_within(&ours.path)
            || (built_in && is_at(theirs.path.text(), ours.path.text())));
    let taken = if holder.kind == Kind::BuiltIn && theirs.path.is_root() {
        // All others lie below it.
        (more || same) && ours.path.is_root()
    } else {
        // What lies above takes no request of the same hosts, but sets cookies and workers for what is below. At hosts that
        // the elder names and the other does not, an equal path is the elder's alone.
        match more || same {
            true => below || above,
            false => above && !below && !built_in,
        }
    };
    taken.then(|| {
        let at = match theirs.host.to_string().as_str() {
            "" => String::new(),
            host => format!(" at {host}"),
        };
        format!("{}{at} is held by {holder}", theirs.path.text())
    })
}
