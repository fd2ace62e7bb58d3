//! What a user may do, as Kubernetes says: a SubjectAccessReview for each right, whose answer holds for seconds.

use std::fmt;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::ObjectMeta;

use crate::cluster::{Cluster, ClusterError};
use crate::jobs::kind::JobKind;
use crate::kept::Kept;

/// How long an answer holds.
const LIFE: Duration = Duration::from_secs(10);
const MOST: usize = 20_000;
/// Questions at a time, where each namespace is asked about.
const AT_ONCE: usize = 16;
/// What begins so is Kubernetes' own: no user of the Hub is that.
const RESERVED: &str = "system:";

/// A user as Kubernetes knows one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub user: String,
    pub groups: Vec<String>,
}

impl Identity {
    /// None where the name is one of Kubernetes' own; groups of such names are left out.
    pub fn new(user: String, groups: impl IntoIterator<Item = String>) -> Option<Self> {
        if user.is_empty() || user.starts_with(RESERVED) {
            return None;
        }
        let groups = groups.into_iter();
        let mut groups: Vec<_> = groups
            .filter(|group| !group.is_empty() && !group.starts_with(RESERVED))
            .collect();
        groups.push("system:authenticated".to_owned());
        groups.sort_unstable();
        Some(Self { user, groups })
    }
}

/// Something that one may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Right {
    pub verb: &'static str,
    pub group: &'static str,
    pub resource: &'static str,
    pub subresource: &'static str,
    /// None: in all of them, or where there are none.
    pub namespace: Option<String>,
}

impl Right {
    pub fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
            subresource: "",
            namespace: None,
        }
    }

    pub fn on(verb: &'static str, kind: JobKind) -> Self {
        Self::new(verb, kind.group(), kind.plural())
    }

    pub fn of(self, subresource: &'static str) -> Self {
        Self {
            subresource,
            ..self
        }
    }

    pub fn within(self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self
        }
    }
}

/// `list tfjobs.kubeflow.org in the namespace research`
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in the namespace {namespace}"),
            None => write!(f, " in all of the cluster"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("Kubernetes does not let {user} {right}.")]
    Right { user: String, right: Right },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// The namespaces in which one has a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    All(Vec<String>),
    Some(Vec<String>),
}

impl Reach {
    pub fn names(&self) -> &[String] {
        match self {
            Self::All(names) | Self::Some(names) => names,
        }
    }
}

pub struct Access {
    answers: Kept<(Identity, Right), bool>,
    namespaces: Kept<(), Vec<String>>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            answers: Kept::new(LIFE, MOST),
            namespaces: Kept::new(LIFE, 1),
        }
    }
}

impl Access {
    pub async fn may(
        &self,
        cluster: &Cluster,
        who: &Identity,
        right: &Right,
    ) -> Result<bool, ClusterError> {
        let key = (who.clone(), right.clone());
        if let Some(answer) = self.answers.get(&key) {
            return Ok(answer);
        }
        let answer = cluster.review(&review(who, right)).await?;
        let status = answer.status.unwrap_or_default();
        let may = status.allowed && status.denied != Some(true);
        self.answers.put(key, may);
        Ok(may)
    }

    /// # Errors
    /// When one may not, which names the right, or Kubernetes is away.
    pub async fn require(
        &self,
        cluster: &Cluster,
        who: &Identity,
        right: Right,
    ) -> Result<(), Denied> {
        if self.may(cluster, who, &right).await? {
            return Ok(());
        }
        let user = who.user.clone();
        Err(Denied::Right { user, right })
    }

    /// Where one has a right that is given without a namespace.
    pub async fn reach(
        &self,
        cluster: &Cluster,
        who: &Identity,
        right: &Right,
    ) -> Result<Reach, ClusterError> {
        let names = self.namespaces(cluster).await?;
        if self.may(cluster, who, right).await? {
            return Ok(Reach::All(names));
        }
        let asked = stream::iter(names).map(async |name: String| {
            let may = self.may(cluster, who, &right.clone().within(&name)).await?;
            Ok::<_, ClusterError>(may.then_some(name))
        });
        let found: Vec<Option<String>> = asked.buffered(AT_ONCE).try_collect().await?;
        Ok(Reach::Some(found.into_iter().flatten().collect()))
    }

    async fn namespaces(&self, cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
        if let Some(names) = self.namespaces.get(&()) {
            return Ok(names);
        }
        let found = cluster.namespaces().await?.items.into_iter();
        let mut names: Vec<_> = found.filter_map(|one| one.metadata.name).collect();
        names.sort_unstable();
        self.namespaces.put((), names.clone());
        Ok(names)
    }
}

fn review(who: &Identity, right: &Right) -> SubjectAccessReview {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SubjectAccessReviewSpec {
            user: Some(who.user.clone()),
            groups: Some(who.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                verb: text(right.verb),
                group: Some(right.group.to_owned()),
                resource: text(right.resource),
                subresource: text(right.subresource),
                namespace: right.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_of_the_hub_is_one_of_kubernetes_own() {
        assert_eq!(Identity::new("system:admin".to_owned(), []), None);
        assert_eq!(Identity::new(String::new(), []), None);
        let groups = ["system:masters", "lab", ""].map(str::to_owned);
        let who = Identity::new("ada".to_owned(), groups).unwrap();
        assert_eq!(who.groups, ["lab", "system:authenticated"]);
    }

    #[test]
    fn a_right_names_itself() {
        let right = Right::new("get", "", "pods").of("log").within("lab");
        assert_eq!(right.to_string(), "get pods/log in the namespace lab");
        let right = Right::on("list", JobKind::TrainJob);
        assert_eq!(
            right.to_string(),
            "list trainjobs.trainer.kubeflow.org in all of the cluster"
        );
    }
}
