//! `JupyterHub.quotas`: how much the servers of one user may take together.

use carrel_spawner::kube::{Cpu, Memory};

use super::load::Item;
use super::report::{Report, join};
use super::section::{self, Key, SectionKeys, section};
use super::users::Users;
use super::value::{self, Value, read_scalar};
use super::yaml::{Kind, Node};

section! {
    /// One quota, for each of some users by themselves. Where several are for a user, all hold. A start beyond it is refused;
    /// what runs is stopped by `stop_when_used_up` alone.
    Quota {
        /// What refusals call it.
        name: String = String::new();
        /// For members of these groups.
        groups: Vec<String> = Vec::new();
        /// For these users; without any, and without groups, for everybody.
        users: Users = Users::default();
        /// How many servers of a user may be active at a time; 0 for any number.
        servers: u32 = 0;
        /// How many hours, of the last seven days, servers of a user may have been ready; 0 for any number.
        hours_per_week: u32 = 0;
        /// Stop the servers that run when those hours are used up; their user is told before (`IdleCuller.warn_before`).
        stop_when_used_up: bool = false;
        /// How much memory the active servers of a user may have together, by their `mem_limit`, or their `mem_guarantee`
        /// where they have none; a server without either is refused.
        memory: Option<Memory> = None;
        /// How many cores they may have together, by their `cpu_limit`, or their `cpu_guarantee` where they have none; a
        /// server without either is refused.
        cpu: Option<Cpu> = None;
    }
}

impl Quota {
    /// Whether it is for a user who is in these groups.
    pub fn is_for(&self, user: &str, groups: &[String]) -> bool {
        let everybody = self.groups.is_empty() && self.users.is_empty();
        everybody
            || self.users.contains(user)
            || self.groups.iter().any(|group| groups.contains(group))
    }
}

impl Item for Quota {
    const WHAT: &'static str = "a quota";

    fn name(&self) -> &str {
        &self.name
    }

    fn keys() -> SectionKeys {
        Self::keys()
    }

    fn check(&self, node: &Node, path: &str, report: &mut Report) {
        if self.name.is_empty() {
            let message = "a quota needs a name, by which refusals call it";
            report.wrong(node.at, &join(path, "name"), message);
        }
        if self.stop_when_used_up && self.hours_per_week == 0 {
            let path = join(path, "stop_when_used_up");
            let at = report.given(&path).unwrap_or(node.at);
            report.wrong(at, &path, "says nothing without `hours_per_week`");
        }
    }
}

/// An amount that is one text or number.
macro_rules! amount {
    ($type:ty, $expected:literal) => {
        impl Value for $type {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                read_scalar(node, path, report, |kind| match kind {
                    Kind::Text(text) | Kind::Number(text) => <$type>::parse(text),
                    _ => None,
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}

amount!(Memory, "a number of bytes, such as 512M or 2Gi");
amount!(Cpu, "a number of cores, such as 0.5 or 500m");
