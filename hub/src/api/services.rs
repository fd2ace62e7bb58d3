//! `/hub/api/services`: programs that act in the Hub under a name of their own.

use axum::extract::{Path, State};
use http::StatusCode;
use schemars_of_aide::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::answer::{Answer, Created, Done};
use super::body::Body;
use super::{models, shapes};
use crate::access::permit::{ChangeServices, Hub};
use crate::access::scopes::{Reach, Scopes, Target};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::secret;
use crate::auth::username::is_service_name;
use crate::config::{self, service};
use crate::db::services::{NewClient, NewService, Service};
use crate::error::AppError;
use crate::servers::check_routes;
use crate::users::only_admins_grant;

/// POST /services/:service
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "ServiceSpec")]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    url: String,
    api_token: Option<String>,
    #[serde(default)]
    info: Map<String, Value>,
    display: Option<bool>,
    #[serde(default)]
    command: Vec<String>,
    oauth_client_id: Option<String>,
    oauth_redirect_uri: Option<String>,
    #[serde(default)]
    oauth_client_allowed_scopes: Vec<String>,
    #[serde(default)]
    oauth_no_confirm: bool,
    #[serde(default)]
    #[expect(dead_code, reason = "the address says it")]
    name: Option<String>,
}

/// GET /services: by name.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Answer<shapes::Services>, AppError> {
    let mut services = app.db.services().await?;
    if let Reach::Only {
        services: names, ..
    } = caller.reach("list:services")?
    {
        services.retain(|service| names.contains(&service.name));
    }
    let mut models = Map::new();
    for service in &services {
        models.insert(
            service.name.clone(),
            Value::Object(model(&app, service, &caller.scopes).await?),
        );
    }
    Ok(Answer::new(models))
}

/// GET /services/:service
pub async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Answer<shapes::Service>, AppError> {
    let readable = ["read:services", "read:services:name", "read:roles:services"];
    caller.require(&readable, Target::Service(&name))?;
    let service = find(&app, &name).await?;
    let model = model(&app, &service, &caller.scopes).await?;
    Ok(Answer::new(model))
}

/// POST /services/:service: one that runs elsewhere.
pub async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    body: Body<Spec>,
) -> Result<Created<shapes::Service>, AppError> {
    caller.permit(ChangeServices(Hub))?;
    if app.db.service(&name).await?.is_some() {
        return Err(taken(&name));
    }
    let spec = body.object()?;
    let spec = spec.ok_or_else(|| AppError::bad_request("Invalid service data"))?;
    check(&caller, &name, &spec)?;
    let client = client(&app, &name, &spec).await?;
    let hash = spec.api_token.as_deref().map(secret::hash);
    let new = NewService {
        name: &name,
        admin: spec.admin,
        url: &spec.url,
        info: &spec.info,
        display: spec.display.unwrap_or(true),
        token_hash: hash.as_deref(),
        command: &[],
        oauth_no_confirm: spec.oauth_no_confirm,
        client,
    };
    match app.db.add_service(new).await {
        Ok(true) => {}
        Ok(false) => return Err(taken(&name)),
        Err(crate::db::DbError::Database(error)) if error.is_unique_violation() => {
            return Err(AppError::conflict(
                "Somebody has this api_token already; generate another",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    info!(
        service = name,
        by = caller.principal.name(),
        "Service {name} was added"
    );
    update_routes(&app).await;
    let service = find(&app, &name).await?;
    let model = model(&app, &service, &caller.scopes).await?;
    Ok(Created::new(model))
}

/// The next check of the routes does it where this one cannot.
async fn update_routes(app: &App) {
    if let Err(error) = check_routes(app).await {
        let cause = crate::chain::chain(&error);
        warn!(cause, "Could not check the routes");
    }
}

/// The OAuth client that a new service has, where it has one.
async fn client<'s>(
    app: &App,
    name: &str,
    spec: &'s Spec,
) -> Result<Option<NewClient<'s>>, AppError> {
    let (id, uri) = (&spec.oauth_client_id, &spec.oauth_redirect_uri);
    let service = config::Service {
        name: name.to_owned(),
        url: spec.url.clone(),
        oauth_client_id: id.clone(),
        oauth_redirect_uri: uri.clone(),
        oauth_no_confirm: spec.oauth_no_confirm,
        ..config::Service::default()
    };
    let place = app.urls.public(&app.urls.service(name));
    let Some((client_id, redirect_uri)) = service.oauth_client(&place) else {
        return Ok(None);
    };
    let error = service::oauth_error(id.as_deref(), uri.as_deref());
    let nowhere = spec.url.is_empty() && uri.is_none();
    let error = error.or(nowhere.then_some("oauth_redirect_uri is missing"));
    if let Some(error) = error {
        return Err(AppError::bad_request(error));
    }
    if app.db.oauth_client(&client_id).await?.is_some() {
        return Err(AppError::conflict(format!(
            "The OAuth client {client_id} exists already"
        )));
    }
    Ok(Some(NewClient {
        client_id,
        redirect_uri,
        allowed_scopes: &spec.oauth_client_allowed_scopes,
    }))
}

fn check(caller: &Caller, name: &str, spec: &Spec) -> Result<(), AppError> {
    if !is_service_name(name) {
        return Err(AppError::bad_request(
            "The name of a service has up to 255 letters, digits, and characters of -_.~",
        ));
    }
    if !spec.command.is_empty() {
        return Err(AppError::bad_request(format!(
            "Can not create managed service {name} at runtime"
        )));
    }
    if let Some(error) = service::url_error(&spec.url) {
        return Err(AppError::bad_request(format!("url: {error}")));
    }
    let allowed = spec.oauth_client_allowed_scopes.iter().map(String::as_str);
    // These mean the visitor's own, whatever whoever adds the service holds.
    let of_visitors =
        |scope: &str| !["inherit", "self"].contains(&scope) && !scope.ends_with("!user");
    let of_visitors = !allowed.clone().all(of_visitors);
    let allowed = Scopes::parse(allowed, caller.principal.owner())?;
    if !allowed.is_subset(&caller.scopes) || (of_visitors && !caller.principal.is_admin()) {
        return Err(AppError::bad_request(
            "oauth_client_allowed_scopes must be among the scopes of who adds the service",
        ));
    }
    only_admins_grant(&caller.principal, spec.admin)?;
    let lengths = secret::SHORTEST..=secret::MAX_TOKEN_LENGTH;
    if spec
        .api_token
        .as_ref()
        .is_some_and(|token| !lengths.contains(&token.len()))
    {
        return Err(AppError::bad_request(format!(
            "api_token must have {} to {} characters",
            secret::SHORTEST,
            secret::MAX_TOKEN_LENGTH
        )));
    }
    Ok(())
}

/// DELETE /services/:service
pub async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Done<200>, AppError> {
    caller.permit(ChangeServices(Hub))?;
    let service = app.db.service(&name).await?;
    let service =
        service.ok_or_else(|| AppError::not_found(format!("Service {name} does not exist")))?;
    if service.configured {
        return Err(AppError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("Service {name} is not modifiable at runtime"),
        ));
    }
    app.db.remove_service(service.id).await?;
    info!(
        service = name,
        by = caller.principal.name(),
        "Service {name} was deleted"
    );
    update_routes(&app).await;
    Ok(Done)
}

async fn find(app: &App, name: &str) -> Result<Service, AppError> {
    let service = app.db.service(name).await?;
    service.ok_or_else(|| AppError::not_found(format!("No such service: {name}")))
}

/// Also for who asks who they are.
pub(super) async fn model(
    app: &App,
    service: &Service,
    scopes: &Scopes,
) -> Result<Map<String, Value>, AppError> {
    let roles = models::role_names(app.db.roles_of_service(service.id).await?);
    Ok(models::service(app, service, &roles, scopes))
}

fn taken(name: &str) -> AppError {
    AppError::conflict(format!("Service {name} already exists"))
}
