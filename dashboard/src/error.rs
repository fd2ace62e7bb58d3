//! What can go wrong in a request. It rides on the response until a layer around all routes gives it a body.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::access::Denied;
use crate::cluster::ClusterError;
use crate::training::TrainingError;
use carrel_service::HubError;

#[derive(Debug, Clone)]
pub enum AppError {
    /// Something to read: what happened and what to do.
    Told {
        status: StatusCode,
        message: String,
        advice: Option<String>,
    },
    /// A visitor who is to log in first.
    LogIn,
}

impl AppError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Told {
            status,
            message: message.into(),
            advice: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    #[must_use]
    pub fn advise(self, text: &str) -> Self {
        match self {
            Self::Told {
                status, message, ..
            } => Self::Told {
                status,
                message,
                advice: Some(text.to_owned()),
            },
            other => other,
        }
    }
}

impl From<ClusterError> for AppError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Refused(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::BAD_GATEWAY);
                // Of this program's own rights: the visitor was asked about before.
                if matches!(code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                    tracing::error!(error = %status.message, "Kubernetes refuses this program");
                    return Self::new(
                        StatusCode::BAD_GATEWAY,
                        format!("Kubernetes refuses this program: {}", status.message),
                    )
                    .advise("Its service account lacks a right (rbac of the chart); tell your administrator.");
                }
                Self::new(code, status.message.clone())
            }
            ClusterError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                .advise("Try again in a moment."),
            ClusterError::Away(cause) => {
                tracing::error!(error = cause, "Kubernetes does not answer");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Kubernetes does not answer.",
                )
                .advise("Jobs go on meanwhile. Try again in a moment.")
            }
        }
    }
}

impl From<Denied> for AppError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Cluster(error) => error.into(),
            Denied::Right { .. } => Self::forbidden(denied.to_string()).advise(
                "The missing permission is given by a Role or ClusterRole of Kubernetes; ask your administrator for it.",
            ),
        }
    }
}

impl From<HubError> for AppError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Refused | HubError::NoUser => Self::LogIn,
            HubError::NoAccess(_) => Self::forbidden(
                "The Hub does not let you use this dashboard.",
            )
            .advise("A role with the scope access:services!service=dashboard gives it; ask your administrator."),
            HubError::Away(cause) => {
                tracing::error!(error = cause, "The Hub does not answer");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The Hub does not answer, so nobody knows who you are.")
                    .advise("Try again in a moment.")
            }
        }
    }
}

impl From<TrainingError> for AppError {
    fn from(error: TrainingError) -> Self {
        match error {
            TrainingError::NotAllowed => Self::forbidden(error.to_string())
                .advise("Log out and in again. If that does not help, tell your administrator: users need the scope access:services!service=training, and so does this dashboard (oauth_client_allowed_scopes)."),
            TrainingError::Refused(status, message) => Self::new(status, message),
            TrainingError::Away(cause) => {
                tracing::error!(error = cause, "The jobs service does not answer");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The jobs service does not answer.")
                    .advise("Jobs go on meanwhile. Try again in a moment.")
            }
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Told { status, .. } => *status,
            Self::LogIn => StatusCode::UNAUTHORIZED,
        };
        let mut response = status.into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(self);
        response
    }
}
