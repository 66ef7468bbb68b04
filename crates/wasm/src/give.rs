//! What a component can import: the interfaces of `wasi:cli/command` 0.2 without sockets. Whatever else it asks for is not
//! there, and then it cannot be started.

use wasmtime::{Engine, component::Linker};
use wasmtime_wasi::{
    WasiView as _,
    cli::{WasiCli, WasiCliView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::{add_to_linker_proxy_interfaces_async, bindings},
    random::WasiRandom,
};

use crate::state::State;

/// Streams, clocks and random numbers; environment, exit and (absent) terminals; files below what is granted.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let to = &mut linker;
    add_to_linker_proxy_interfaces_async(to)?;
    bindings::random::insecure::add_to_linker::<State, WasiRandom>(to, |state| state.ctx().ctx.random())?;
    bindings::random::insecure_seed::add_to_linker::<State, WasiRandom>(to, |state| state.ctx().ctx.random())?;
    bindings::cli::exit::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::cli::environment::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::cli::terminal_input::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::cli::terminal_output::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::cli::terminal_stdin::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::cli::terminal_stdout::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::cli::terminal_stderr::add_to_linker::<State, WasiCli>(to, |state| state.cli())?;
    bindings::filesystem::types::add_to_linker::<State, WasiFilesystem>(to, |state| state.filesystem())?;
    bindings::filesystem::preopens::add_to_linker::<State, WasiFilesystem>(to, |state| state.filesystem())?;
    Ok(linker)
}
