//! What is under `/approvals`: the files of the page, and what its scripts ask. It is no part of the API: it serves this page alone, in this
//! version.

mod answers;
mod enter;
mod files;
mod passkeys;

use axum::routing::{get, post};
use stead_api::right::Right;

use super::{Pace, Route};

/// The page's routes.
pub(crate) fn table() -> Vec<Route> {
    macro_rules! routes {
        ($($method:ident $path:literal [$($right:ident),*] $handler:path;)*) => {
            vec![$(Route {
                method: stringify!($method),
                path: $path,
                pace: Pace::Brief,
                needs: &[$(Right::$right),*],
                handler: $method($handler),
            }),*]
        };
    }
    routes! {
        get "/approvals" [] files::page;
        get "/approvals/{approval}" [] files::page;
        get "/approvals/assets/{file}" [] files::asset;
        get "/approvals/api/place" [] enter::place;
        post "/approvals/api/enter" [] enter::enter;
        post "/approvals/api/login" [] enter::login;
        post "/approvals/api/login/finish" [] enter::finish;
        post "/approvals/api/leave" [] enter::leave;
        get "/approvals/api/me" [Read] passkeys::me;
        post "/approvals/api/passkeys" [Read] passkeys::ask;
        get "/approvals/api/approvals" [Read] super::approvals::list;
        get "/approvals/api/approvals/{approval}" [Read] answers::show;
        post "/approvals/api/approvals/{approval}/approve" [Approve, Read] super::approvals::approve;
        post "/approvals/api/approvals/{approval}/deny" [Approve, Read] super::approvals::deny;
    }
}
