//! The Jupyter wire protocol: frames, signatures, and the messages in them.
pub mod content;
pub mod frames;
pub mod message;
pub mod signature;
