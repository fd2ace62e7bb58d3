//! `inception_client`: classifies a picture by a model server, with the arguments of TensorFlow Serving's example.

use carrel_model_server::client::{Options, classify};
use clap::Parser;

/// Classifies a picture by a model server
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    print!("{}", runtime.block_on(classify(&arguments.options))?);
    Ok(())
}
