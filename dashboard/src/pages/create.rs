//! Making a job: by a form whose mistakes stand beside their fields, or from YAML. Kubernetes is asked first, without effect.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use kube::api::DynamicObject;
use serde::Deserialize;

use crate::access::{Denied, Right};
use crate::app::{self, App};
use crate::cluster::ClusterError;
use crate::error::AppError;
use crate::jobs::form::{Errors, Form, Replica};
use crate::jobs::kind::{JobKind, Served as _};
use crate::jobs::mistake::{self, Mistake};
use crate::jobs::yaml;
use crate::place::{self, Place};
use crate::submitted::Submitted;
use crate::templates::{self, Page};
use crate::visitor::Visitor;

#[derive(Debug, Deserialize)]
pub struct Asked {
    kind: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "create.html")]
struct CreatePage {
    page: Page,
    kinds: Vec<JobKind>,
    /// Where the visitor may make jobs of this kind.
    namespaces: Vec<String>,
    form: Form,
    errors: Errors,
    /// What Kubernetes would make of it.
    accepted: Option<String>,
}

impl CreatePage {
    fn error(&self, input: &str) -> Option<&str> {
        self.errors.get(input).map(String::as_str)
    }

    fn of(&self, replica: &Replica, field: &str) -> Option<&str> {
        self.error(&replica.input(field))
    }

    fn first<'a>(&'a self, replica: &'a Replica) -> [Input<'a>; 2] {
        let image = Input::new(self, replica, ("image", "Image"), &replica.image);
        let count = Input::new(self, replica, ("replicas", "Replicas"), &replica.count);
        [
            Input {
                hint: "registry/image:tag",
                ..image
            },
            Input {
                hint: "none",
                is_number: true,
                ..count
            },
        ]
    }

    fn second<'a>(&'a self, replica: &'a Replica) -> [Input<'a>; 2] {
        let command = Input::new(self, replica, ("command", "Command"), &replica.command);
        let args = Input::new(self, replica, ("args", "Arguments"), &replica.args);
        [
            ("python train.py", command),
            ("--epochs 10 --note 'two words'", args),
        ]
        .map(|(hint, input)| Input {
            hint,
            is_optional: true,
            is_code: true,
            ..input
        })
    }

    fn last<'a>(&'a self, replica: &'a Replica) -> [Input<'a>; 1] {
        let gpus = Input::new(self, replica, ("gpus", "GPUs each"), &replica.gpus);
        [Input {
            hint: "0",
            is_number: true,
            ..gpus
        }]
    }

    fn is_open(&self, replica: &Replica) -> bool {
        let own = |input: &&String| input.starts_with(&format!("{}.", replica.role));
        replica.is_wanted() || self.errors.keys().any(|input| own(&input))
    }

    fn is_trainjob(&self) -> bool {
        self.form.kind == JobKind::TrainJob
    }
}

/// One line of text in the form.
#[derive(Debug)]
struct Input<'a> {
    id: String,
    label: &'static str,
    value: &'a str,
    hint: &'static str,
    is_optional: bool,
    is_number: bool,
    is_code: bool,
    error: Option<&'a str>,
}

impl<'a> Input<'a> {
    fn new(
        page: &'a CreatePage,
        replica: &Replica,
        (field, label): (&str, &'static str),
        value: &'a str,
    ) -> Self {
        Self {
            id: replica.input(field),
            label,
            value,
            hint: "",
            is_optional: false,
            is_number: false,
            is_code: false,
            error: page.of(replica, field),
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "create_yaml.html")]
struct YamlPage {
    page: Page,
    text: String,
    namespace: String,
    mistakes: Vec<Mistake>,
    accepted: bool,
}

/// GET tfjobs/ui/new?kind=
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, AppError> {
    let kinds = app.cluster.kinds().await?;
    let kind = match asked.kind {
        Some(kind) => place::kind(&kind)?,
        None => kinds.first().copied().ok_or_else(|| {
            AppError::not_found("This cluster has no kinds of training jobs.")
                .advise("The operator brings them (operator.enabled of the chart).")
        })?,
    };
    let page = form(&app, &visitor, Form::new(kind), Errors::new()).await?;
    Ok(templates::respond(StatusCode::OK, &page))
}

async fn form(
    app: &app::Parts,
    visitor: &Visitor,
    mut form: Form,
    errors: Errors,
) -> Result<CreatePage, AppError> {
    let right = Right::on("create", form.kind);
    let reach = app
        .access
        .reach(&app.cluster, &visitor.identity, &right)
        .await?;
    if form.namespace.is_empty() {
        let names = reach.names();
        let default = names
            .iter()
            .find(|name| *name == "default")
            .or(names.first());
        form.namespace = default.cloned().unwrap_or_default();
    }
    Ok(CreatePage {
        page: Page::new(&app.settings, Some(visitor), "jobs"),
        kinds: app.cluster.kinds().await?,
        namespaces: reach.names().to_vec(),
        form,
        errors,
        accepted: None,
    })
}

/// POST tfjobs/ui/new
pub async fn send(State(app): State<App>, sent: Submitted) -> Result<Response, AppError> {
    let kind = place::kind(&sent.get("kind"))?;
    let filled = Form::read(kind, |name| sent.get(name));
    let object = match filled.object() {
        Ok(object) => object,
        Err(errors) => return wrong(&app, &sent, filled, errors).await,
    };
    let is_trial = sent.get("do") != "create";
    let made = make(&app, &sent.visitor, kind, kind.version(), &object, is_trial).await?;
    match made {
        Err(mistakes) => {
            let errors = filled.place(&mistakes);
            wrong(&app, &sent, filled, errors).await
        }
        Ok(_) if is_trial => {
            let mut page = form(&app, &sent.visitor, filled, Errors::new()).await?;
            page.accepted = Some(yaml::shown(&object));
            Ok(templates::respond(StatusCode::OK, &page))
        }
        Ok(job) => to_job(&app, kind, &job),
    }
}

async fn wrong(
    app: &app::Parts,
    sent: &Submitted,
    filled: Form,
    errors: Errors,
) -> Result<Response, AppError> {
    let page = form(app, &sent.visitor, filled, errors).await?;
    Ok(templates::respond(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

/// GET tfjobs/ui/new/yaml
pub async fn show_yaml(State(app): State<App>, visitor: Visitor) -> Response {
    let page = YamlPage {
        page: Page::new(&app.settings, Some(&visitor), "jobs"),
        text: String::new(),
        namespace: "default".to_owned(),
        mistakes: Vec::new(),
        accepted: false,
    };
    templates::respond(StatusCode::OK, &page)
}

/// POST tfjobs/ui/new/yaml
pub async fn send_yaml(State(app): State<App>, sent: Submitted) -> Result<Response, AppError> {
    let (text, namespace) = (sent.get("yaml"), sent.get("namespace").trim().to_owned());
    let is_trial = sent.get("do") != "create";
    let made = match yaml::read(&text, &namespace) {
        Err(mistake) => Err(vec![mistake]),
        Ok(written) => {
            let (kind, object) = (written.kind, written.object);
            let made = make(
                &app,
                &sent.visitor,
                kind,
                &written.version,
                &object,
                is_trial,
            )
            .await?;
            made.map(|job| (kind, job))
        }
    };
    let mistakes = match made {
        Ok((kind, job)) if !is_trial => return to_job(&app, kind, &job),
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes,
    };
    let status = match mistakes.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let page = YamlPage {
        page: Page::new(&app.settings, Some(&sent.visitor), "jobs"),
        text,
        namespace,
        accepted: mistakes.is_empty(),
        mistakes,
    };
    Ok(templates::respond(status, &page))
}

fn to_job(app: &app::Parts, kind: JobKind, job: &DynamicObject) -> Result<Response, AppError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let metadata = &job.metadata;
    let place = Place::new(
        kind.singular(),
        text(&metadata.namespace),
        text(&metadata.name),
    )?;
    let there = format!("{}tfjobs/ui/{}", app.settings.base, place.path());
    Ok(Redirect::to(&there).into_response())
}

/// Makes a job, once nothing is held against it: by its names, the visitor's rights, Kubernetes, and the operator's rules.
pub async fn make(
    app: &app::Parts,
    visitor: &Visitor,
    kind: JobKind,
    version: &str,
    object: &DynamicObject,
    is_trial: bool,
) -> Result<Result<DynamicObject, Vec<Mistake>>, AppError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (name, namespace) = (
        text(&object.metadata.name),
        text(&object.metadata.namespace),
    );
    for (path, name) in [("metadata.namespace", &namespace), ("metadata.name", &name)] {
        if !place::is_name(name) {
            let message = "Small letters, digits and - only; it begins with a letter.";
            return Ok(Err(vec![Mistake::at(path, message)]));
        }
    }
    let right = Right::on("create", kind).within(&namespace);
    match app
        .access
        .require(&app.cluster, &visitor.identity, right)
        .await
    {
        Ok(()) => {}
        Err(denied @ Denied::Right { .. }) => {
            return Ok(Err(vec![Mistake::at(
                "metadata.namespace",
                denied.to_string(),
            )]));
        }
        Err(denied) => return Err(denied.into()),
    }
    let tried = app.cluster.create(kind, version, object, true).await;
    let mut mistakes = match refused(tried)? {
        Err(mistakes) => mistakes,
        // An older version is read once it is stored.
        Ok(_) if version != kind.version() => Vec::new(),
        Ok(_) => mistake::of_operator(kind, object),
    };
    mistakes.dedup();
    if !mistakes.is_empty() {
        return Ok(Err(mistakes));
    }
    if is_trial {
        return Ok(Ok(object.clone()));
    }
    let made = refused(app.cluster.create(kind, version, object, false).await)?;
    if made.is_ok() {
        let user = &visitor.user.name;
        let kind = kind.name();
        tracing::info!(user.name = %user, kind, namespace, name, "{user} has made the {kind} {namespace}/{name}");
    }
    Ok(made)
}

/// What Kubernetes has against an object is for who wrote it; everything else is an error of the page.
pub fn refused<T>(answer: Result<T, ClusterError>) -> Result<Result<T, Vec<Mistake>>, AppError> {
    match answer {
        Ok(made) => Ok(Ok(made)),
        Err(ClusterError::Refused(status))
            if matches!(status.code, 400 | 404 | 409 | 413 | 422) =>
        {
            let mut mistakes = mistake::of_refusal(&status);
            if status.code == 409 && status.reason == "AlreadyExists" {
                mistakes = vec![Mistake::at(
                    "metadata.name",
                    "There is a job of this name already.",
                )];
            }
            Ok(Err(mistakes))
        }
        Err(error) => Err(error.into()),
    }
}
