//! `{username}` and its like in the configuration's texts, filled in for one server.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::slug;

/// How names become parts of objects' names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlugScheme {
    #[default]
    Safe,
    /// KubeSpawner's scheme before 7.0; long names make objects that Kubernetes refuses.
    Escape,
}

/// What the fields stand for, for one server.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub fn new(scheme: SlugScheme, user: &str, server: &str, hub_namespace: &str) -> Self {
        let (safe_user, safe_server) = (slug::safe_slug(user), slug::safe_server(server));
        let safe_both = slug::user_server(user, server);
        let (escaped_user, escaped_server) = (slug::escape(user), slug::escape(server));
        let escaped_both = if server.is_empty() {
            escaped_user.clone()
        } else {
            format!("{escaped_user}--{escaped_server}")
        };
        let [username, servername, both] = match scheme {
            SlugScheme::Safe => [&safe_user, &safe_server, &safe_both],
            SlugScheme::Escape => [&escaped_user, &escaped_server, &escaped_both],
        }
        .map(String::clone);
        // As KubeSpawner: servers of a Hub in `default` belong to users, not to `default`.
        let hubnamespace = match hub_namespace {
            "default" => "user",
            other => other,
        };
        Self(vec![
            ("username", username),
            ("servername", servername),
            ("user_server", both),
            ("safe_username", safe_user),
            ("safe_servername", safe_server),
            ("safe_user_server", safe_both),
            ("escaped_username", escaped_user),
            ("escaped_servername", escaped_server),
            ("escaped_user_server", escaped_both),
            ("unescaped_username", user.to_owned()),
            ("unescaped_servername", server.to_owned()),
            ("hubnamespace", hubnamespace.to_owned()),
        ])
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Fills in the known fields. Other braces stay, so that a text may hold JSON or a shell's `${HOME}`.
    pub fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            expanded.push_str(before);
            let field = after.split_once('}').and_then(|(name, behind)| {
                let found = self.0.iter().find(|(known, _)| *known == name)?;
                Some((&found.1, behind))
            });
            match field {
                Some((value, behind)) => {
                    expanded.push_str(value);
                    rest = behind;
                }
                None => {
                    expanded.push('{');
                    rest = after;
                }
            }
        }
        expanded + rest
    }

    /// The name of an object: without the hyphen that the empty name of the default server leaves at its end.
    pub fn name(&self, template: &str) -> String {
        self.expand(template).trim_end_matches('-').to_owned()
    }

    /// Fills in every text of a value; keys of mappings stay.
    pub fn expand_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.expand(text)),
            Value::Array(items) => items.iter().map(|item| self.expand_json(item)).collect(),
            Value::Object(entries) => {
                let entries = entries.iter();
                Value::Object(
                    entries
                        .map(|(key, value)| (key.clone(), self.expand_json(value)))
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }

    /// Fills in every text of a Kubernetes object.
    pub fn expand_all<T: Serialize + DeserializeOwned>(
        &self,
        object: &T,
    ) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.expand_json(&serde_json::to_value(object)?))
    }
}
