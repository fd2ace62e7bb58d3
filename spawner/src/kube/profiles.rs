//! `profile_list`: the kinds of servers that users choose from, and what each choice changes.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::mistake::Mistake;
use super::named;
use super::options::KubeOptions;
use super::overrides::is_for;
use super::slug::safe_slug;
use super::values::Expected;
use crate::form::{self, Chosen, Field, Form, Text};

/// One kind of server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    pub display_name: String,
    /// Name in forms and in `user_options`; made of `display_name` where it is not given.
    pub slug: Option<String>,
    pub description: String,
    pub default: bool,
    /// Only members of these groups may choose it; everybody where there are none.
    pub groups: Vec<String>,
    /// As `groups`, under the name that many hubs of jupyterhub-fancy-profiles use; an empty list is for nobody.
    pub allowed_groups: Option<Vec<String>>,
    pub kubespawner_override: Map<String, Value>,
    #[serde(deserialize_with = "named::read")]
    pub profile_options: IndexMap<String, ProfileOption>,
}

/// One thing to choose within a profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileOption {
    pub display_name: String,
    #[serde(deserialize_with = "named::read")]
    pub choices: IndexMap<String, Choice>,
    pub unlisted_choice: UnlistedChoice,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub display_name: String,
    pub description: String,
    pub default: bool,
    /// Only members of these groups may choose it; everybody where the key is left out, nobody where the list is empty.
    pub allowed_groups: Option<Vec<String>>,
    pub kubespawner_override: Map<String, Value>,
}

/// What a user may write in place of the choices; `{value}` in the override stands for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnlistedChoice {
    pub enabled: bool,
    pub display_name: Option<String>,
    pub description: String,
    /// What the choice is called among the others.
    pub display_name_in_choices: Option<String>,
    pub description_in_choices: String,
    /// The whole text must match.
    pub validation_regex: Option<String>,
    pub validation_message: Option<String>,
    pub kubespawner_override: Map<String, Value>,
}

impl Expected for Profile {
    fn expected() -> String {
        String::from(
            "`display_name`, `slug`, `description`, `default`, `groups`, `allowed_groups`, `kubespawner_override`, \
             `profile_options`",
        )
    }

    /// As KubeSpawner 7.1, unless it looks like a known key that is misspelt: that would never be missed.
    fn passes_over(path: &[String]) -> bool {
        let steps: Vec<_> = path.iter().map(String::as_str).collect();
        match steps[..] {
            [key] => !is_near::<Self>(key),
            ["profile_options", _, key] => !is_near::<ProfileOption>(key),
            ["profile_options", _, "choices", _, key] => !is_near::<Choice>(key),
            ["profile_options", _, "unlisted_choice", key] => !is_near::<UnlistedChoice>(key),
            _ => false,
        }
    }
}

/// Whether a key differs so little from one of `T` that this one may be meant.
fn is_near<T: Serialize + Default>(key: &str) -> bool {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_'], "");
    let key = plain(&key.chars().take(64).collect::<String>());
    let known = serde_json::to_value(T::default()).unwrap_or_default();
    let mut known = known.as_object().into_iter().flat_map(Map::keys);
    known.any(|known| {
        let distance = strsim::damerau_levenshtein(&key, &plain(known));
        distance <= known.len().div_ceil(4)
    })
}

/// Whether something is for a member of `groups`, where `allowed` names those that it is for.
fn is_allowed(allowed: &Option<Vec<String>>, groups: &[String]) -> bool {
    allowed
        .as_ref()
        .is_none_or(|allowed| allowed.iter().any(|group| groups.contains(group)))
}

/// What members of `groups` may choose.
pub fn form(profiles: &[Profile], groups: &[String]) -> Form {
    let mine = profiles.iter().filter(|profile| profile.is_for(groups));
    Form {
        profiles: mine.map(|profile| profile.form(groups)).collect(),
        fields: Vec::new(),
    }
}

/// Applies what a user has chosen; says in words what they may not.
pub(super) fn choose(
    options: &mut KubeOptions,
    groups: &[String],
    chosen: &Map<String, Value>,
) -> Result<(), String> {
    let form = form(&options.profile_list, groups);
    if let Some(wrong) = form.check(chosen).first() {
        return Err(format!("{}: {}", wrong.field, wrong.message));
    }
    let Ok(Some(mine)) = form.profile(chosen) else {
        return Ok(());
    };
    let profiles = options.profile_list.clone();
    let Some(profile) = profiles
        .iter()
        .find(|profile| profile.slug() == mine.slug && profile.is_for(groups))
    else {
        return Ok(());
    };
    let mut overrides = vec![profile.kubespawner_override.clone()];
    for field in &mine.fields {
        let option = &profile.profile_options[&field.name];
        overrides.push(match field.value(chosen) {
            Ok(Chosen::Choice(value)) => option.choices[value].kubespawner_override.clone(),
            Ok(Chosen::Text(text)) => option.unlisted_choice.with(text),
            Err(wrong) => return Err(format!("{}: {}", wrong.field, wrong.message)),
        });
    }
    for over in &overrides {
        if let Some(mistake) = options.apply(over).first() {
            return Err(mistake.to_string());
        }
    }
    Ok(())
}

/// Mistakes in profiles: overrides that do not apply, names given twice, patterns that are none.
pub(super) fn check(options: &KubeOptions) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut slugs = HashSet::new();
    for (index, profile) in options.profile_list.iter().enumerate() {
        let mut found = Vec::new();
        if profile.display_name.is_empty() {
            found.push(Mistake::new("a profile needs a `display_name`"));
        }
        if !slugs.insert(profile.slug()) {
            let message = format!("another profile has the slug {:?} too", profile.slug());
            found.push(Mistake::new(message));
        }
        found.extend(apply(options, &profile.kubespawner_override));
        for (name, option) in &profile.profile_options {
            let steps = [name.as_str(), "profile_options"];
            let wrong = check_option(options, option).into_iter();
            found.extend(wrong.map(|mistake| mistake.within_all(steps)));
        }
        let index = index.to_string();
        let steps = [index.as_str(), "profile_list"];
        mistakes.extend(found.into_iter().map(|mistake| mistake.within_all(steps)));
    }
    mistakes
}

fn check_option(options: &KubeOptions, option: &ProfileOption) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let unlisted = &option.unlisted_choice;
    if option.choices.is_empty() && !unlisted.enabled {
        mistakes.push(Mistake::new("expected `choices` or `unlisted_choice`"));
    }
    if option.choices.contains_key(form::UNLISTED) {
        let message = format!("`{}` is the name of what users write", form::UNLISTED);
        mistakes.push(Mistake::new(message).within("choices"));
    }
    for (value, choice) in &option.choices {
        let found = apply(options, &choice.kubespawner_override).into_iter();
        let steps = [value.as_str(), "choices"];
        mistakes.extend(found.map(|mistake| mistake.within_all(steps)));
    }
    if let Some(Err(error)) = unlisted.validation_regex.as_deref().map(form::anchored) {
        let error = error.to_string();
        let reason = error
            .rsplit("error: ")
            .next()
            .unwrap_or_default()
            .to_owned();
        let steps = ["validation_regex", "unlisted_choice"];
        mistakes.push(Mistake::new(reason).within_all(steps));
    }
    // What the user writes is not known yet: only the keys can be wrong.
    let keys = unlisted.kubespawner_override.keys();
    let unknown = keys.filter(|key| !KubeOptions::NAMES.contains(&key.as_str()));
    let steps = ["kubespawner_override", "unlisted_choice"];
    mistakes.extend(unknown.map(|key| Mistake::new("unknown key").within(key).within_all(steps)));
    mistakes
}

fn apply(options: &KubeOptions, over: &Map<String, Value>) -> Vec<Mistake> {
    let found = options.clone().apply(over).into_iter();
    found
        .map(|mistake| mistake.within("kubespawner_override"))
        .collect()
}

impl Profile {
    pub fn slug(&self) -> String {
        let made = || safe_slug(&self.display_name.to_lowercase().replace(' ', "-"));
        self.slug.clone().unwrap_or_else(made)
    }

    fn is_for(&self, groups: &[String]) -> bool {
        is_for(&self.groups, groups) && is_allowed(&self.allowed_groups, groups)
    }

    fn form(&self, groups: &[String]) -> form::Profile {
        let fields = self.profile_options.iter();
        form::Profile {
            slug: self.slug(),
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            default: self.default,
            fields: fields
                .filter_map(|(name, option)| option.field(name, groups))
                .collect(),
        }
    }
}

impl ProfileOption {
    /// Nothing where members of `groups` have nothing to choose.
    fn field(&self, name: &str, groups: &[String]) -> Option<Field> {
        let mine = || {
            let choices = self.choices.iter();
            choices.filter(|(_, choice)| is_allowed(&choice.allowed_groups, groups))
        };
        let choices = mine().map(|(value, choice)| form::Choice {
            value: value.clone(),
            label: or(&choice.display_name, value),
            description: choice.description.clone(),
        });
        let mut choices: Vec<_> = choices.collect();
        let default = mine().find(|(_, choice)| choice.default);
        let default = default.or_else(|| mine().next());
        if choices.is_empty() && !self.unlisted_choice.enabled {
            return None;
        }
        let unlisted = Some(&self.unlisted_choice).filter(|unlisted| unlisted.enabled);
        if let Some(unlisted) = unlisted.filter(|_| !choices.is_empty()) {
            let label = unlisted.display_name_in_choices.clone();
            choices.push(form::Choice {
                value: form::UNLISTED.to_owned(),
                label: label.unwrap_or_else(|| String::from("Other ...")),
                description: self.unlisted_choice.description_in_choices.clone(),
            });
        }
        Some(Field {
            name: name.to_owned(),
            label: or(&self.display_name, name),
            help: unlisted.map_or_else(String::new, |unlisted| unlisted.description.clone()),
            default: default.map(|(value, _)| value.clone()).unwrap_or_default(),
            choices,
            text: unlisted.map(UnlistedChoice::text),
        })
    }
}

impl UnlistedChoice {
    fn text(&self) -> Text {
        let pattern = self.validation_regex.as_deref().unwrap_or(".+");
        Text {
            label: self
                .display_name
                .clone()
                .unwrap_or_else(|| String::from("Other")),
            // Checked when the configuration was read; one that does not compile lets nothing in.
            pattern: form::anchored(pattern)
                .or_else(|_| form::anchored("[^\\s\\S]"))
                .ok(),
            message: self.validation_message.clone(),
        }
    }

    /// The override with the user's text in it.
    fn with(&self, text: &str) -> Map<String, Value> {
        let entries = self.kubespawner_override.iter();
        entries
            .map(|(key, value)| (key.clone(), fill(value, text)))
            .collect()
    }
}

fn fill(value: &Value, text: &str) -> Value {
    match value {
        Value::String(template) => Value::String(template.replace("{value}", text)),
        Value::Array(items) => items.iter().map(|item| fill(item, text)).collect(),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), fill(value, text)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn or(name: &str, other: &str) -> String {
    if name.is_empty() { other } else { name }.to_owned()
}
