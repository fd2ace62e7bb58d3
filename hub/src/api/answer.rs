//! What the API answers with: each type says status and shape, for who calls and for the OpenAPI document alike.

use std::marker::PhantomData;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::response::{IntoResponse, IntoResponseParts, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use schemars_of_aide::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::openapi;
use crate::error::AppError;

/// JSON of the shape `T`.
#[derive(Debug)]
pub struct Answer<T, const STATUS: u16 = 200> {
    json: Bytes,
    shape: PhantomData<fn() -> T>,
}

pub type Created<T> = Answer<T, 201>;

impl<T, const STATUS: u16> Answer<T, STATUS> {
    pub fn new(value: impl Into<Value>) -> Self {
        Self::written(value.into().to_string().into())
    }

    /// Of JSON that was written before.
    pub fn written(json: Bytes) -> Self {
        Self {
            json,
            shape: PhantomData,
        }
    }
}

impl<T, const STATUS: u16> IntoResponse for Answer<T, STATUS> {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, openapi::JSON)];
        (status(STATUS), kind, self.json).into_response()
    }
}

impl<T: JsonSchema, const STATUS: u16> OperationOutput for Answer<T, STATUS> {
    type Inner = T;

    fn operation_response(ctx: &mut GenContext, _: &mut Operation) -> Option<Described> {
        Some(openapi::json(ctx.schema.subschema_for::<T>()))
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        let response = Self::operation_response(ctx, operation);
        response
            .map(|response| (Some(STATUS), response))
            .into_iter()
            .collect()
    }
}

/// An answer with headers of its own.
#[derive(Debug)]
pub struct WithHeaders<A>(Response, PhantomData<fn() -> A>);

impl<A: IntoResponse> WithHeaders<A> {
    pub fn new(headers: impl IntoResponseParts, answer: A) -> Self {
        Self((headers, answer).into_response(), PhantomData)
    }
}

impl<A> IntoResponse for WithHeaders<A> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<A: OperationOutput> OperationOutput for WithHeaders<A> {
    type Inner = A::Inner;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        A::inferred_responses(ctx, operation)
    }
}

/// Nothing more to say.
#[derive(Debug)]
pub struct Done<const STATUS: u16 = 204>;

impl<const STATUS: u16> IntoResponse for Done<STATUS> {
    fn into_response(self) -> Response {
        status(STATUS).into_response()
    }
}

impl<const STATUS: u16> OperationOutput for Done<STATUS> {
    type Inner = ();

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, Described)> {
        vec![(Some(STATUS), openapi::without_body("Done."))]
    }
}

/// What was asked for is done (`STATUS`), or goes on after the answer (202).
#[derive(Debug)]
pub enum Begun<const STATUS: u16> {
    Done,
    GoesOn,
}

impl<const STATUS: u16> IntoResponse for Begun<STATUS> {
    fn into_response(self) -> Response {
        match self {
            Self::Done => status(STATUS),
            Self::GoesOn => StatusCode::ACCEPTED,
        }
        .into_response()
    }
}

impl<const STATUS: u16> OperationOutput for Begun<STATUS> {
    type Inner = ();

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, Described)> {
        vec![
            (Some(STATUS), openapi::without_body("Done.")),
            (Some(202), openapi::without_body("Begun, and goes on.")),
        ]
    }
}

/// An answer that is no JSON, or not always.
#[derive(Debug)]
pub struct Other<K>(Response, PhantomData<fn() -> K>);

impl<K> Other<K> {
    pub fn new(response: impl IntoResponse) -> Self {
        Self(response.into_response(), PhantomData)
    }
}

impl<K> IntoResponse for Other<K> {
    fn into_response(self) -> Response {
        self.0
    }
}

/// Content types of an [`Other`], each with its shape.
pub trait Kinds {
    fn kinds(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)>;
}

impl<K: Kinds> OperationOutput for Other<K> {
    type Inner = ();

    fn inferred_responses(
        ctx: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        vec![(Some(200), openapi::response(K::kinds(&mut ctx.schema)))]
    }
}

/// Whatever is wrong is told in the same form.
impl OperationOutput for AppError {
    type Inner = ();

    fn inferred_responses(
        ctx: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        let error = ctx.schema.subschema_for::<super::shapes::Failure>();
        vec![(None, openapi::json(error))]
    }
}

/// Statuses are constants of this crate.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::OK)
}
