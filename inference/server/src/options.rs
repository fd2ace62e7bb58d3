//! What the server is told at its start; the names are TensorFlow Serving's, with underscores too.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the server listens
    #[arg(long, default_value = "::")]
    pub address: IpAddr,
    /// The port of gRPC
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// The port of HTTP
    #[arg(long, alias = "rest_api_port", default_value_t = 8000)]
    pub rest_api_port: u16,
    /// Listens at 8500 and 8001 for gRPC and at 8501 for HTTP too, the ports of TensorFlow Serving and Triton
    #[arg(long)]
    pub alias_ports: bool,
    /// A file with a bearer token in each line, of which requests must have one
    #[arg(long)]
    pub tokens: Option<PathBuf>,
    /// The key of the certificate by which both ports speak TLS, in PEM; both files are read anew when they change
    #[arg(long, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// That certificate, with those between it and its root
    #[arg(long, requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Lets requests load and unload models and bring another configuration
    #[arg(long)]
    pub model_control: bool,
    /// The name of the one model that is served
    #[arg(long, alias = "model_name", default_value = "default")]
    pub model_name: String,
    /// Its folder, with a folder for each version
    #[arg(
        long,
        alias = "model_base_path",
        required_unless_present = "model_config_file"
    )]
    pub model_base_path: Option<PathBuf>,
    /// A file that says which models are served, in place of these two
    #[arg(long, alias = "model_config_file", conflicts_with = "model_base_path")]
    pub model_config_file: Option<PathBuf>,
    /// How often folders and that file are looked at
    #[arg(long, alias = "file_system_poll_wait_seconds", default_value_t = 1)]
    pub file_system_poll_wait_seconds: u64,
    /// The library of ONNX Runtime, 1.31 or newer
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// The largest body of a request, in bytes
    #[arg(long, default_value_t = 64 << 20)]
    pub largest_body: usize,
    /// What bodies may take together while they are read and answered, in bytes
    #[arg(long, default_value_t = 1 << 30)]
    pub bodies: usize,
    /// How long requests may take to end once the server is asked to stop, in seconds
    #[arg(long, default_value_t = 30)]
    pub drain_seconds: u64,
    /// Belongs to the program that started it: says its ports in a line of JSON on standard output, ends once its standard
    /// input does, and removes this folder then
    #[arg(long, value_name = "FOLDER")]
    pub child: Option<PathBuf>,
}
