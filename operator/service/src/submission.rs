//! What a job may be: its description, and how much of the cluster its user may have.

use carrel_report::{Description, ObjectFile, Work, is_name};
use serde_json::Value;

use crate::answer::Refusal;
use crate::options::Quotas;
use crate::record::Record;
use axum::http::StatusCode;

/// What `carrel-train` knows.
const RECIPES: [&str; 1] = ["mnist"];
/// The longest name of a job.
const LONGEST: usize = 100;

/// Reads a description and names the field that is wrong.
pub fn read(body: &[u8], functions: bool) -> Result<Description, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the description is no JSON: {error}")))?;
    let Value::Object(fields) = body else {
        return Err(Refusal::bad("the description is no object"));
    };
    let name = match fields.get("name") {
        Some(Value::String(name)) if is_name(name) && name.len() <= LONGEST => name.clone(),
        Some(Value::String(_)) => {
            let message = format!("name: use letters, digits and `-`, at most {LONGEST}");
            return Err(Refusal::bad(message));
        }
        Some(_) => return Err(Refusal::bad("name: it is no text")),
        None => return Err(Refusal::bad("name: it is missing")),
    };
    let ranks = fields.get("ranks").map(|ranks| {
        let ranks = ranks.as_u64().filter(|ranks| *ranks > 0);
        ranks.and_then(|ranks| usize::try_from(ranks).ok())
    });
    let ranks = match ranks {
        Some(Some(ranks)) => ranks,
        Some(None) => return Err(Refusal::bad("ranks: it is no number from 1 on")),
        None => return Err(Refusal::bad("ranks: it is missing")),
    };
    let work = match fields.get("function") {
        Some(_) if !functions => {
            return Err(Refusal::bad(
                "function: this service runs recipes; a function of a notebook runs on the notebook's own machine only \
                 (--function-image)",
            ));
        }
        Some(function) => Work::Function(checked(function)?),
        None => Work::Recipe(recipe(fields.get("recipe"))?),
    };
    Ok(Description { name, ranks, work })
}

/// A function is its program's to judge, but for the files that this service keeps.
fn checked(function: &Value) -> Result<Value, Refusal> {
    if let Some(missing) = ["program", "objects", "function", "call"]
        .iter()
        .find(|field| function.get(field).is_none())
    {
        return Err(Refusal::bad(format!("function.{missing}: it is missing")));
    }
    let objects = function.get("objects").cloned().unwrap_or_default();
    let objects: Vec<ObjectFile> = serde_json::from_value(objects)
        .map_err(|error| Refusal::bad(format!("function.objects: {error}")))?;
    match objects.iter().find(|object| !object.is_valid()) {
        None => Ok(function.clone()),
        Some(object) => Err(Refusal::bad(format!(
            "function.objects: {:?} with {:?} is no name of a file with its SHA-256",
            object.name, object.sha256
        ))),
    }
}

/// The numbers in it are `carrel-train`'s to judge.
fn recipe(recipe: Option<&Value>) -> Result<Value, Refusal> {
    let recipe = recipe.ok_or_else(|| Refusal::bad("recipe: it is missing"))?;
    match recipe.get("recipe").and_then(Value::as_str) {
        Some(name) if RECIPES.contains(&name) => Ok(recipe.clone()),
        Some(_) => Err(Refusal::bad(format!(
            "recipe.recipe: there is no such recipe; there is {}",
            RECIPES.join(", ")
        ))),
        None => Err(Refusal::bad("recipe.recipe: it is no text")),
    }
}

/// Whether a user who has these jobs may start a job of so many ranks; the pods of `leaving` are still there.
pub fn allow<'a>(
    quotas: &Quotas,
    own: impl Iterator<Item = &'a Record>,
    leaving: impl Iterator<Item = &'a Record>,
    ranks: usize,
    is_new: bool,
) -> Result<(), Refusal> {
    if ranks > quotas.ranks {
        let most = quotas.ranks;
        let message =
            format!("ranks: a job here has at most {most}, and this one asks for {ranks}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    let own: Vec<_> = own.collect();
    let all = own.len();
    let own = own.into_iter().chain(leaving);
    let running: Vec<_> = own.filter(|record| record.is_running()).collect();
    let running_ranks: usize = running.iter().map(|record| record.running_ranks()).sum();
    let running = running.len();
    let too_many = |message| Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
    if is_new && all >= quotas.jobs {
        return too_many(format!(
            "you have {all} jobs, and no more are kept: delete some that have ended"
        ));
    }
    if running >= quotas.running_jobs {
        return too_many(format!(
            "{running} of your jobs run, and no more may: wait for the end of one, or cancel it"
        ));
    }
    if running_ranks + ranks > quotas.running_ranks {
        let most = quotas.running_ranks;
        return too_many(format!(
            "your jobs have {running_ranks} ranks that run, and with {ranks} more they would have more than {most}"
        ));
    }
    Ok(())
}

/// The id of a job: its name, as names of objects may be, and what no other job has.
pub fn id(name: &str) -> String {
    const NAME: usize = 24;
    const SUFFIX: usize = 12;
    let lower: String = name.to_lowercase().chars().take(NAME).collect();
    let lower = lower.trim_matches('-');
    let name = match lower.chars().next() {
        Some(first) if first.is_ascii_lowercase() => lower.to_owned(),
        _ => format!("job-{lower}").trim_end_matches('-').to_owned(),
    };
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    format!("{name}-{}", &suffix[..SUFFIX])
}
