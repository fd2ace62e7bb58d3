//! The OpenAPI document of the API, made from the route table and the types of its handlers.

use aide::OperationInput;
use aide::axum::ApiRouter;
use aide::generate::GenContext;
use aide::openapi::{
    Info, MediaType, OpenApi, Operation, Parameter, ParameterData, ParameterSchemaOrContent,
    QueryStyle, ReferenceOr, RequestBody, Response, SchemaObject, SecurityRequirement, Server,
};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use schemars_of_aide::{JsonSchema, Schema, json_schema};
use serde_json::{Value, json};

use super::body::Body;
use super::listing::Wanted;
use crate::app::{App, JUPYTERHUB_VERSION};
use crate::auth::caller::{Caller, PerhapsCaller};
use crate::names::{GroupName, Named, OfOwner};
use crate::peer::Client;

/// Scheme of security by the header `Authorization`.
const TOKEN: &str = "token";
pub(super) const JSON: &str = "application/json";
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The routes of the API, and the document about them beside them.
pub fn documented(api: ApiRouter<App>, prefix: &str) -> Router<App> {
    let mut document = OpenApi {
        info: Info {
            title: String::from("JupyterHub's REST API, as Carrel serves it"),
            version: JUPYTERHUB_VERSION.to_owned(),
            ..Info::default()
        },
        servers: vec![Server {
            url: prefix.to_owned(),
            ..Server::default()
        }],
        ..OpenApi::default()
    };
    let router = api.finish_api(&mut document);
    let document = Bytes::from(completed(&document).to_string());
    let answer = move || async move { ([(header::CONTENT_TYPE, JSON)], document) };
    router.route("/openapi.json", get(answer))
}

/// With what the types of handlers do not say: words of paths, names of operations, and how one says who one is.
fn completed(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["components"]["securitySchemes"][TOKEN] = json!({
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`token` or `Bearer`, a space, and an API token. A login in a browser counts too.",
    });
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        let words = words(path);
        for method in METHODS {
            let Some(operation) = item.get_mut(method) else {
                continue;
            };
            let parts = path.split(['/', '{', '}']).filter(|part| !part.is_empty());
            let mut parts: Vec<&str> = parts.collect();
            if path.ends_with('/') {
                // Of the Hub itself, or of a user's default server.
                parts.push("default");
            }
            operation["operationId"] = json!(format!("{method}_{}", parts.join("_")));
            operation["tags"] = json!([parts[0]]);
            let parameters = &mut operation["parameters"];
            if parameters.is_null() {
                *parameters = json!([]);
            }
            if let Some(parameters) = parameters.as_array_mut() {
                parameters.retain(|parameter| parameter["in"] != "path");
                parameters.extend(words.iter().cloned());
            }
        }
    }
    document
}

/// The parameters that stand in braces.
fn words(path: &str) -> Vec<Value> {
    let words = path.split('{').skip(1);
    let names = words.filter_map(|word| word.split_once('}').map(|(name, _)| name));
    let parameter = |name| {
        let schema = json!({ "type": "string", "minLength": 1 });
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    names.map(parameter).collect()
}

impl OperationInput for Caller {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        let requirement = [(TOKEN.to_owned(), Vec::new())];
        operation.security.push(requirement.into_iter().collect());
    }
}

/// The body may say it in place of a token.
impl OperationInput for PerhapsCaller {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        Caller::operation_input(ctx, operation);
        operation.security.push(SecurityRequirement::default());
    }
}

/// The connection tells it.
impl OperationInput for Client {}

/// What they read stands in the path.
impl OperationInput for Named {}
impl OperationInput for GroupName {}
impl OperationInput for OfOwner {}

impl OperationInput for Wanted {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        for (name, what) in [
            ("offset", "How many of the list to pass over."),
            ("limit", "How many of it to show, at most 200."),
        ] {
            let number = json_schema!({ "type": "integer" });
            operation.parameters.push(query(name, what, number));
        }
    }
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let body = RequestBody {
            content: [(JSON.to_owned(), media(ctx.schema.subschema_for::<T>()))].into(),
            ..RequestBody::default()
        };
        operation.request_body = Some(ReferenceOr::Item(body));
    }
}

/// A word of the query that may be absent.
fn query(name: &str, description: &str, schema: Schema) -> ReferenceOr<Parameter> {
    let parameter_data = ParameterData {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: None,
        format: ParameterSchemaOrContent::Schema(object(schema)),
        example: None,
        examples: Default::default(),
        explode: None,
        extensions: Default::default(),
    };
    ReferenceOr::Item(Parameter::Query {
        parameter_data,
        allow_reserved: false,
        style: QueryStyle::Form,
        allow_empty_value: None,
    })
}

fn object(json_schema: Schema) -> SchemaObject {
    SchemaObject {
        json_schema,
        external_docs: None,
        example: None,
    }
}

fn media(schema: Schema) -> MediaType {
    MediaType {
        schema: Some(object(schema)),
        ..MediaType::default()
    }
}

/// JSON of this shape.
pub(super) fn json(schema: Schema) -> Response {
    response(vec![(JSON, schema)])
}

/// One of these content types, each with its shape.
pub(super) fn response(kinds: Vec<(&'static str, Schema)>) -> Response {
    let names: Vec<_> = kinds.iter().map(|(kind, _)| *kind).collect();
    let description = names.join(" or ");
    let content = kinds
        .into_iter()
        .map(|(kind, schema)| (kind.to_owned(), media(schema)));
    Response {
        description,
        content: content.collect(),
        ..Response::default()
    }
}

pub(super) fn without_body(description: &str) -> Response {
    Response {
        description: description.to_owned(),
        ..Response::default()
    }
}
