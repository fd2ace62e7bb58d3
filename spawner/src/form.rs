//! What a user chooses before a start: one model for all spawners, for the form in the browser and for the API.

use regex::Regex;
use serde_json::{Map, Value};

/// Value of a field whose user writes a choice of their own; the text stands under `<name>--unlisted-choice`.
pub const UNLISTED: &str = "unlisted-choice";
/// Key of the profile in `user_options`, and name of its field in the form.
pub const PROFILE: &str = "profile";
/// Longest text that a field takes.
pub const MAX_TEXT: usize = 1024;

/// All that can be chosen: a profile, where there are any, with its fields; and fields that every start has.
#[derive(Debug, Clone, Default)]
pub struct Form {
    pub profiles: Vec<Profile>,
    pub fields: Vec<Field>,
}

/// A kind of server (`profile_list` of KubeSpawner).
#[derive(Debug, Clone)]
pub struct Profile {
    pub slug: String,
    pub display_name: String,
    pub description: String,
    pub default: bool,
    pub fields: Vec<Field>,
}

/// One thing to choose. Without choices, it is a text.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// Key in `user_options`.
    pub name: String,
    pub label: String,
    pub help: String,
    pub choices: Vec<Choice>,
    /// Value of a choice, or the text to begin with.
    pub default: String,
    /// Set where the user may write the value.
    pub text: Option<Text>,
}

#[derive(Debug, Clone)]
pub struct Choice {
    pub value: String,
    pub label: String,
    /// A sentence about the choice; empty where there is none.
    pub description: String,
}

/// How a text that the user writes must be.
#[derive(Debug, Clone, Default)]
pub struct Text {
    pub label: String,
    /// The whole text must match.
    pub pattern: Option<Regex>,
    /// What to tell about a text that does not match.
    pub message: Option<String>,
}

/// What is wrong with the value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Key in `user_options`.
    pub field: String,
    pub message: String,
}

impl Form {
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty() && self.fields.is_empty()
    }

    /// The chosen profile; the default one where none was chosen.
    pub fn profile(&self, options: &Map<String, Value>) -> Result<Option<&Profile>, Wrong> {
        let default = || {
            let mut profiles = self.profiles.iter();
            profiles
                .clone()
                .find(|profile| profile.default)
                .or(profiles.next())
        };
        let Some(chosen) = options.get(PROFILE).filter(|_| !self.profiles.is_empty()) else {
            return Ok(default());
        };
        let known = self
            .profiles
            .iter()
            .find(|profile| *chosen == *profile.slug);
        known.map(Some).ok_or_else(|| Wrong {
            field: PROFILE.to_owned(),
            message: String::from("There is no such profile for you."),
        })
    }

    /// The `user_options` of a form in the browser. `posted` gives the value of an input.
    pub fn read<'a>(&self, posted: impl Fn(&str) -> Option<&'a str>) -> Map<String, Value> {
        let mut options = Map::new();
        if let Some(slug) = posted(PROFILE).filter(|_| !self.profiles.is_empty()) {
            options.insert(PROFILE.to_owned(), slug.into());
        }
        if let Ok(Some(profile)) = self.profile(&options) {
            options.insert(PROFILE.to_owned(), profile.slug.clone().into());
            for field in &profile.fields {
                let input = |name: &str| posted(&profile.input(name));
                field.read(input, &mut options);
            }
        }
        for field in &self.fields {
            field.read(&posted, &mut options);
        }
        options
    }

    /// All that is wrong with options from a form or from the API. What they leave out has its default; what they
    /// have beyond the form is nobody's concern here.
    pub fn check(&self, options: &Map<String, Value>) -> Vec<Wrong> {
        let (profile, mut wrong) = match self.profile(options) {
            Ok(profile) => (profile, Vec::new()),
            Err(wrong) => (None, vec![wrong]),
        };
        let fields = profile
            .into_iter()
            .flat_map(|profile| &profile.fields)
            .chain(&self.fields);
        wrong.extend(fields.filter_map(|field| field.value(options).err()));
        wrong
    }
}

impl Profile {
    /// Name of the input of one of its fields.
    pub fn input(&self, name: &str) -> String {
        format!("profile-option-{}--{name}", self.slug)
    }
}

/// What a field's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// The value of one of its choices.
    Choice(&'a str),
    /// What the user wrote.
    Text(&'a str),
}

impl Field {
    /// Key of the text that a user writes in place of a choice.
    pub fn unlisted(name: &str) -> String {
        format!("{name}--{UNLISTED}")
    }

    /// The checked value in `options`, or the default.
    pub fn value<'a>(&'a self, options: &'a Map<String, Value>) -> Result<Chosen<'a>, Wrong> {
        let wrong = |message: &str| Wrong {
            field: self.name.clone(),
            message: message.to_owned(),
        };
        let read = |key: &str| match options.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(wrong("This is not a string.")),
        };
        let value = read(&self.name)?.unwrap_or(&self.default);
        let text = match &self.text {
            Some(_) if self.choices.is_empty() => value,
            Some(_) if value == UNLISTED => read(&Self::unlisted(&self.name))?.unwrap_or(""),
            _ if self.choices.iter().any(|choice| choice.value == value) => {
                return Ok(Chosen::Choice(value));
            }
            _ => return Err(wrong("This is none of the choices.")),
        };
        let rule = self.text.as_ref();
        if text.len() > MAX_TEXT {
            return Err(wrong("This is too long."));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("This holds a character that cannot be seen."));
        }
        if text.is_empty() && !self.choices.is_empty() {
            return Err(wrong("Write what you want in place of the choices."));
        }
        let pattern = rule.and_then(|rule| rule.pattern.as_ref());
        if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
            let message = rule.and_then(|rule| rule.message.as_deref());
            return Err(wrong(message.unwrap_or("This is not allowed here.")));
        }
        Ok(Chosen::Text(text))
    }

    fn read<'a>(&self, posted: impl Fn(&str) -> Option<&'a str>, options: &mut Map<String, Value>) {
        let unlisted = Self::unlisted(&self.name);
        if let Some(value) = posted(&self.name) {
            options.insert(self.name.clone(), value.into());
            if value == UNLISTED
                && let Some(text) = posted(&unlisted)
            {
                options.insert(unlisted, text.into());
            }
        }
    }
}

/// A pattern that a whole text must match. Python's `re.match` leaves the end open, which lets in more than people
/// expect.
pub fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}
