//! Makes the messages and services of `proto/` without protoc.

use std::path::PathBuf;

use protox::prost::Message as _;

const FILES: [&str; 3] = [
    "proto/tensorflow.proto",
    "proto/tensorflow_serving.proto",
    "proto/inference.proto",
];

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let builder = tonic_prost_build::configure();
    // The bytes of tensors stay where they were received.
    let builder = builder.codec_path("crate::grpc::codec::Weighed");
    builder.bytes(".").compile_fds(descriptors)?;
    Ok(())
}
