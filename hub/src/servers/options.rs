//! What a user may choose before a start, for the form of the browser and for the API alike.

use carrel_spawner::form::{Choice, Field, Form, Text};

use crate::app::App;
use crate::config::OptionsField;
use crate::db::Result;
use crate::db::users::User;

/// The spawner's profiles, as far as they are for this user, and the fields of `Spawner.options_form`.
pub async fn form(app: &App, user: &User) -> Result<Form> {
    let groups = app.db.groups_of(user.id).await?;
    let mut form = app.spawner.form(&groups);
    let fields = app.config.spawner.options_form.iter();
    form.fields.extend(fields.map(field));
    Ok(form)
}

/// A field of the configuration in the form's own model.
pub fn field(field: &OptionsField) -> Field {
    let choices = field.choices.iter().map(|choice| Choice {
        value: choice.clone(),
        label: choice.clone(),
        description: String::new(),
    });
    Field {
        name: field.name.clone(),
        label: field.title().to_owned(),
        help: field.help.clone(),
        choices: choices.collect(),
        default: field.default.clone(),
        text: field.choices.is_empty().then(Text::default),
    }
}
