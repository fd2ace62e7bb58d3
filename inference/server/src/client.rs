//! The client of the walkthrough: classifies a picture by `Predict` of TensorFlow Serving's API and prints the answer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use carrel_inference::{Data, Tensor};
use clap::{Args, ValueEnum};
use tonic::Request;
use tonic::transport::Endpoint;

use crate::proto::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use crate::proto::tensorflow::serving::{ModelSpec, PredictRequest, PredictResponse};
use crate::tensor_proto;

mod table;
mod text;

/// The largest answer.
const LARGEST: usize = 64 << 20;

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// HOST:PORT of the server's gRPC
    #[arg(long, default_value = "localhost:9000")]
    pub server: String,
    /// The picture: JPEG, PNG, BMP or WebP; several are sent as one batch
    #[arg(long, required = true)]
    pub image: Vec<PathBuf>,
    #[arg(long, default_value = "inception")]
    pub model: String,
    #[arg(long, default_value = "predict_images")]
    pub signature: String,
    /// How many classes a table or JSON has of each picture
    #[arg(long, default_value_t = 5)]
    pub top: usize,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The longest that the server may take, in seconds
    #[arg(long, default_value_t = 10)]
    pub timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The whole answer as Protocol Buffers write themselves, as TensorFlow's client prints it
    Text,
    Table,
    Json,
}

/// What the client prints.
///
/// # Errors
/// Where a picture cannot be read, or the server does not answer.
pub async fn classify(options: &Options) -> anyhow::Result<String> {
    let read = |file: &PathBuf| {
        let bytes = std::fs::read(file);
        bytes.with_context(|| format!("could not read {}", file.display()))
    };
    let pictures: Vec<_> = options
        .image
        .iter()
        .map(read)
        .collect::<anyhow::Result<_>>()?;
    let answer = ask(options, pictures).await?;
    match options.format {
        Format::Text => Ok(text::write(&answer)),
        Format::Table => table::table(&options.image, &answer, options.top),
        Format::Json => table::json(&options.image, &answer, options.top),
    }
}

async fn ask(options: &Options, pictures: Vec<Vec<u8>>) -> anyhow::Result<PredictResponse> {
    let timeout = Duration::from_secs(options.timeout);
    let server = &options.server;
    let endpoint = Endpoint::from_shared(format!("http://{server}"));
    let endpoint = endpoint.with_context(|| format!("{server:?} is no HOST:PORT"))?;
    let channel = endpoint.connect_timeout(timeout).connect().await;
    let channel = channel.with_context(|| format!("could not reach {server}"))?;
    let images = Tensor::new([pictures.len()], Data::String(pictures))?;
    let mut request = Request::new(PredictRequest {
        model_spec: Some(ModelSpec {
            name: options.model.clone(),
            signature_name: options.signature.clone(),
            version_choice: None,
        }),
        inputs: HashMap::from([("images".to_owned(), tensor_proto::write(&images))]),
        output_filter: Vec::new(),
    });
    request.set_timeout(timeout);
    let client = PredictionServiceClient::new(channel);
    let answer = client
        .max_decoding_message_size(LARGEST)
        .predict(request)
        .await;
    let answer = answer.map_err(|status| {
        let code = status.code();
        anyhow::anyhow!("{server} answered {code:?}: {}", status.message())
    });
    Ok(answer?.into_inner())
}

/// The strings of an output.
fn strings<'a>(answer: &'a PredictResponse, name: &str) -> &'a [Bytes] {
    answer
        .outputs
        .get(name)
        .map(|one| &*one.string_val)
        .unwrap_or_default()
}

/// The numbers of an output.
fn numbers<'a>(answer: &'a PredictResponse, name: &str) -> &'a [f32] {
    answer
        .outputs
        .get(name)
        .map(|one| &*one.float_val)
        .unwrap_or_default()
}
