//! The messages and services of `proto/`, as the build makes them.

/// All of `proto/`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// TensorFlow's own messages.
#[allow(clippy::all, clippy::pedantic)]
pub mod tensorflow {
    tonic::include_proto!("tensorflow");

    /// Those of its serving API.
    pub mod serving {
        tonic::include_proto!("tensorflow.serving");
    }
}

/// KServe's.
#[allow(clippy::all, clippy::pedantic)]
pub mod inference {
    tonic::include_proto!("inference");
}
