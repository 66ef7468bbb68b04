//! `/v1/sandboxes`: session sandboxes, their commands and their files. Elsewhere than on Linux every request is told that there are none.

#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod output;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(target_os = "linux")]
mod whole;

use super::Route;

/// Their routes.
#[cfg(target_os = "linux")]
pub(super) fn table() -> Vec<Route> {
    use axum::routing::{delete, get, patch, post, put};
    use stead_api::right::Right;

    use super::Pace;

    macro_rules! routes {
        ($($pace:ident $method:ident $name:literal $path:literal $handler:path;)*) => {
            vec![$(Route {
                method: $name,
                path: $path,
                pace: Pace::$pace,
                needs: &[Right::Sandbox],
                handler: $method($handler),
            }),*]
        };
    }
    routes! {
        Brief post "POST" "/v1/sandboxes" whole::create;
        Brief get "GET" "/v1/sandboxes" whole::list;
        Brief get "GET" "/v1/sandboxes/{sandbox}" whole::show;
        Brief patch "PATCH" "/v1/sandboxes/{sandbox}" whole::change;
        Brief delete "DELETE" "/v1/sandboxes/{sandbox}" whole::remove;
        Long post "POST" "/v1/sandboxes/{sandbox}/snapshot" whole::snapshot;
        Brief post "POST" "/v1/sandboxes/{sandbox}/exec" commands::start;
        Brief get "GET" "/v1/sandboxes/{sandbox}/exec" commands::list;
        Brief get "GET" "/v1/sandboxes/{sandbox}/exec/{exec}" commands::show;
        Long get "GET" "/v1/sandboxes/{sandbox}/exec/{exec}/output" output::read;
        Brief post "POST" "/v1/sandboxes/{sandbox}/exec/{exec}/stdin" commands::stdin;
        Brief post "POST" "/v1/sandboxes/{sandbox}/exec/{exec}/resize" commands::resize;
        Brief post "POST" "/v1/sandboxes/{sandbox}/exec/{exec}/kill" commands::kill;
        Long get "GET" "/v1/sandboxes/{sandbox}/files" files::read;
        Long put "PUT" "/v1/sandboxes/{sandbox}/files" files::write;
        Brief delete "DELETE" "/v1/sandboxes/{sandbox}/files" files::remove;
        Brief get "GET" "/v1/sandboxes/{sandbox}/files/stat" files::stat;
        Brief get "GET" "/v1/sandboxes/{sandbox}/files/list" files::list;
        Long get "GET" "/v1/sandboxes/{sandbox}/files/watch" watch::watch;
        Brief post "POST" "/v1/sandboxes/{sandbox}/files/mkdir" files::make_folder;
        Brief post "POST" "/v1/sandboxes/{sandbox}/files/move" files::rename;
    }
}

/// Their routes, where there are none.
#[cfg(not(target_os = "linux"))]
pub(super) fn table() -> Vec<Route> {
    use axum::routing::{MethodFilter, on};
    use stead_core::code;

    use super::Pace;
    use crate::http::failure::Failure;

    let none = || async { Failure::new(code::SANDBOX_UNAVAILABLE, "session sandboxes need Linux") };
    let theirs = stead_api::openapi::operations().into_iter().filter(|o| o.tag == "sandboxes");
    let route = |o: stead_api::openapi::Operation| {
        let filter = match o.method {
            "POST" => MethodFilter::POST,
            "PUT" => MethodFilter::PUT,
            "PATCH" => MethodFilter::PATCH,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        Route { method: o.method, path: o.path, pace: Pace::Brief, needs: o.rights, handler: on(filter, none) }
    };
    theirs.map(route).collect()
}
