//! `IdleCuller:`, and what it says of each group.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use super::hints;
use super::report::{Report, join};
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Days, Span, Value};
use super::yaml::{Kind, Node};

section! {
    /// Servers that nobody uses are stopped, by the Hub itself; the names are those of jupyterhub-idle-culler and of
    /// `cull` in Zero to JupyterHub.
    IdleCuller {
        /// Whether idle servers are stopped.
        enabled: bool = false;
        /// Seconds after which a server is idle in which nothing has happened: no request, no open page, no kernel that
        /// computes, no terminal that is used. One that does not answer is not idle until it has not answered for 24 times
        /// `every`.
        timeout: Span = Span::seconds(3600);
        /// Seconds between two looks.
        every: Duration = Duration::from_secs(600);
        /// How many servers are looked at, and stopped, at once.
        concurrency: usize = 10;
        /// Seconds after which a server is stopped even if it is in use; 0 for never.
        max_age: Span = Span::seconds(0);
        /// Seconds before a stop from which on the home page says when it comes, with a button that puts it off where use
        /// does, and the API (`stops_at`, `stop_reason`). At most half of `timeout` or `max_age`; with 0 nobody is told.
        warn_before: Duration = Duration::from_secs(300);
        /// Other times for members of groups, such as `{teachers: {timeout: 0}}`; 0 is never. Of several groups that say
        /// something of a time, the one that gives most counts, and what is said above does not.
        groups: Rules = Rules::default();
        /// Delete a named server when it is stopped for being idle.
        remove_named_servers: bool = false;
        /// Delete users who have no active server and have not been here for `users_timeout`, with their passwords.
        users: bool = false;
        /// Days after which a user is idle.
        users_timeout: Days = Days::new(365);
        /// Delete the files of users who are deleted too, where `KubeSpawner.delete_pvc` says so; otherwise who comes back
        /// under the same name finds them.
        users_files: bool = false;
        /// Delete administrators too, but for those in `Authenticator.admin_users`.
        admin_users: bool = true;
    }
}

section! {
    /// The times of the members of one group, where they are not those of `IdleCuller`.
    Rule {
        /// Seconds after which a server is idle; 0 for never.
        timeout: Option<Span> = None;
        /// Seconds after which a server is stopped even if it is in use; 0 for never.
        max_age: Option<Span> = None;
    }
}

/// Rules by the names of groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules(BTreeMap<String, Rule>);

impl Deref for Rules {
    type Target = BTreeMap<String, Rule>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Value for Rules {
    fn expected() -> String {
        "a mapping of groups to their times (see below)".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        let mut rules = BTreeMap::new();
        for (group, _, node) in report.entries(node, path) {
            let mut rule = Rule::default();
            section::read(&mut rule, &join(path, group), node, report, |key| {
                hints::not_among(key, "a group", &["timeout", "max_age"])
            });
            rules.insert(group.to_owned(), rule);
        }
        Some(Self(rules))
    }

    fn show(&self) -> String {
        "{}".to_owned()
    }
}

/// The times of one user; none for never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub timeout: Option<Duration>,
    pub max_age: Option<Duration>,
}

impl IdleCuller {
    /// Those of somebody who is in these groups.
    pub fn limits(&self, groups: &[String]) -> Limits {
        if !self.enabled {
            return Limits::default();
        }
        let most = |all: Span, of: fn(&Rule) -> Option<Span>| {
            let rules = groups.iter().filter_map(|group| self.groups.get(group));
            let mut spans: Vec<_> = rules.filter_map(of).map(|span| span.0).collect();
            if spans.is_empty() {
                spans.push(all.0);
            }
            let never = spans.contains(&Duration::ZERO);
            spans.into_iter().max().filter(|_| !never)
        };
        Limits {
            timeout: most(self.timeout, |rule| rule.timeout),
            max_age: most(self.max_age, |rule| rule.max_age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_group_that_gives_most_counts() {
        let text = "IdleCuller: {enabled: true, timeout: 3600, max_age: 86400, groups: {teachers: {timeout: 0}, \
                    guests: {timeout: 600, max_age: 7200}, long: {max_age: 172800}}}";
        let culler = Config::parse("test", text).unwrap().idle_culler;
        let limits = |groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(|&group| group.to_owned()).collect();
            let Limits { timeout, max_age } = culler.limits(&groups);
            [timeout, max_age].map(|span| span.map_or(0, |span| span.as_secs()))
        };
        assert_eq!(limits(&[]), [3600, 86_400]);
        assert_eq!(limits(&["others"]), [3600, 86_400]);
        assert_eq!(limits(&["teachers"]), [0, 86_400]);
        assert_eq!(limits(&["guests"]), [600, 7200]);
        assert_eq!(limits(&["guests", "long"]), [600, 172_800]);
        assert_eq!(limits(&["guests", "teachers"]), [0, 7200]);
    }
}
