//! `stead demo-service`: the stand-ins of the examples.

use clap::Args;
use stead_core::code;

use crate::{
    cli::Global,
    demo::{self, Service},
    error::{CliError, Outcome},
    exit::Exit,
    ui,
};

/// Serve a stand-in for a service of the examples; its state is kept in --data
///
/// Prints its URL as the first line and serves until it is told to stop.
#[derive(Debug, Args)]
pub(crate) struct DemoService {
    /// Which one
    service: Service,
    /// Port on loopback; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

pub(crate) async fn run(global: &Global, args: DemoService) -> Outcome {
    let data = &global.data;
    let router = demo::open(args.service, data)
        .map_err(|e| CliError::new(code::DATA_READONLY, format!("{}: {e}", data.display())))?;
    let (listener, addr) = demo::listen(args.port).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => CliError::new(code::PORT_IN_USE, format!("port {} is in use", args.port)),
        _ => CliError::from(e),
    })?;
    ui::text(&format!("http://{addr}\n"))?;
    axum::serve(listener, router).with_graceful_shutdown(stead_server::serve::told_to_stop()).await?;
    Ok(Exit::Ok)
}
