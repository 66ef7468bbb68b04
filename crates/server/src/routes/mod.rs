//! The resources of `/v1`, one small file each. A handler reads its input, asks the engine or the journal, and translates
//! the answer; it decides nothing about runs.

mod agents;
mod approvals;
mod approvers;
mod artifacts;
mod asked;
mod audit;
mod backup;
mod budgets;
mod cassettes;
mod delegation;
mod erasures;
mod export;
mod facts;
mod health;
mod links;
mod login;
mod metrics;
mod openai;
mod pages;
mod policies;
mod runs;
mod sandboxes;
mod sessions;
mod stream;
mod switches;
mod tokens;
mod trace;
mod usage;
mod versions;
mod views;
mod why;
mod workspace;

use axum::routing::{MethodRouter, get, post};
use stead_api::right::Right;

pub(crate) use audit::told as audit_entry;
pub(crate) use openai::table as openai;
pub(crate) use pages::table as pages;
pub(crate) use sessions::is_key;

use crate::http::app::Shared;

/// How long a request of a route may stay.
pub(crate) enum Pace {
    /// It takes a place for requests and ends within the request time-out.
    Brief,
    /// It may stay: it takes a place for followers, if it does.
    Long,
}

/// A route; the operations of `stead-api` name the same ones.
pub(crate) struct Route {
    /// In capitals.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the comparison with the document"))]
    pub(crate) method: &'static str,
    /// The path.
    pub(crate) path: &'static str,
    /// See [`Pace`].
    pub(crate) pace: Pace,
    /// What the token must allow.
    pub(crate) needs: &'static [Right],
    /// What answers.
    pub(crate) handler: MethodRouter<Shared>,
}

/// All routes.
pub(crate) fn table() -> Vec<Route> {
    macro_rules! routes {
        ($($pace:ident $method:ident $path:literal [$($right:ident),*] $handler:path;)*) => {
            vec![$(Route {
                method: routes!(@name $method),
                path: $path,
                pace: Pace::$pace,
                needs: &[$(Right::$right),*],
                handler: $method($handler),
            }),*]
        };
        (@name get) => { "GET" };
        (@name post) => { "POST" };
    }
    let mut table = sandboxes::table();
    table.extend(routes! {
        Long post "/v1/agents" [Apply] agents::apply;
        Brief get "/v1/agents" [Read] agents::list;
        Brief get "/v1/agents/{agent}" [Read] agents::show;
        Brief get "/v1/agents/{agent}/versions" [Read] versions::list;
        Brief get "/v1/agents/{agent}/versions/{version}" [Read] agents::version;
        Brief post "/v1/agents/{agent}/aliases/{alias}" [Apply, Read] versions::set_alias;
        Brief post "/v1/agents/{agent}/aliases/{alias}/confirm" [Apply, Read] versions::confirm;
        Brief post "/v1/agents/{agent}/rollback" [Apply, Read] versions::rollback;
        Brief get "/v1/agents/{agent}/diff" [Read] versions::compare;
        Brief post "/v1/sessions" [Run, Read] sessions::open;
        Brief get "/v1/sessions" [Read] sessions::list;
        Brief get "/v1/sessions/{session}" [Read] sessions::show;
        Brief post "/v1/sessions/{session}/runs" [Run] sessions::start;
        Brief post "/v1/runs" [Run] runs::start;
        Brief get "/v1/runs" [Read] runs::list;
        Long get "/v1/runs/{run}" [Read] runs::show;
        Brief get "/v1/runs/{run}/facts" [Read] facts::list;
        Long get "/v1/runs/{run}/stream" [Read] stream::follow;
        Long get "/v1/runs/{run}/export" [Read] export::export;
        Brief get "/v1/runs/{run}/artifacts" [Read] artifacts::list;
        Brief get "/v1/runs/{run}/artifacts/{name}" [Read] artifacts::get;
        Brief get "/v1/runs/{run}/workspace" [Read] workspace::list;
        Brief get "/v1/runs/{run}/workspace/file" [Read] workspace::file;
        Long get "/v1/runs/{run}/workspace/archive" [Read] workspace::archive;
        Brief get "/v1/runs/{run}/why" [Read] why::why;
        Brief get "/v1/runs/{run}/context" [Read] why::context;
        Brief get "/v1/runs/{run}/trace" [Read] trace::trace;
        Long get "/v1/runs/{run}/cassette" [Read] cassettes::show;
        Brief post "/v1/runs/{run}/pause" [Run, Read] runs::pause;
        Brief post "/v1/runs/{run}/resume" [Run, Read] runs::resume;
        Brief post "/v1/runs/{run}/cancel" [Run, Read] runs::cancel;
        Brief post "/v1/runs/{run}/kill" [Run, Read] runs::kill;
        Brief post "/v1/runs/cancel" [Run, Read] switches::cancel_all;
        Brief post "/v1/runs/{run}/renew" [Run, Read] delegation::renew;
        Brief post "/v1/introspect" [Read] delegation::introspect;
        Brief post "/v1/runs/{run}/limit" [Admin, Read] runs::limit_boxes;
        Brief get "/v1/approvals" [Read] approvals::list;
        Brief get "/v1/approvals/notices" [Read] asked::notices;
        Brief post "/v1/approvals/notices/{notice}/test" [Admin, Read] asked::test;
        Brief get "/v1/approvals/{approval}" [Read] approvals::show;
        Brief get "/v1/approvals/{approval}/question" [Read] approvals::question;
        Brief post "/v1/approvals/{approval}/approve" [Approve, Read] approvals::approve;
        Brief post "/v1/approvals/{approval}/deny" [Approve, Read] approvals::deny;
        Brief get "/v1/approvers" [Read] approvers::show;
        Brief get "/v1/approvers/entries" [Read] approvers::entries;
        Brief post "/v1/approvers/entries" [Read] approvers::add;
        Long post "/v1/policies" [Apply, Read] policies::apply;
        Brief get "/v1/policies" [Read] policies::list;
        Long post "/v1/policies/check" [Read] policies::check;
        Long post "/v1/policies/replay" [Read] policies::replay;
        Brief get "/v1/policies/{epoch}" [Read] policies::show;
        Long post "/v1/policies/{epoch}/rollback" [Apply, Read] policies::rollback;
        Long post "/v1/policies/{epoch}/confirm" [Apply, Read] policies::confirm;
        Brief get "/v1/audit/logs" [Read] audit::logs;
        Brief get "/v1/audit/{log}/checkpoint" [Read] audit::checkpoint;
        Brief get "/v1/audit/{log}/tile/{tile}" [Read] audit::tile;
        Brief get "/v1/audit/{log}/entries" [Read] audit::entries;
        Brief get "/v1/audit/{log}/inclusion" [Read] audit::inclusion;
        Brief get "/v1/audit/{log}/consistency" [Read] audit::consistency;
        Long get "/v1/audit/{log}/bundle" [Read] audit::bundle;
        Long get "/v1/runs/{run}/verify" [Read] audit::verify_run;
        Long post "/v1/audit/erasures" [Admin, Read] erasures::erase;
        Brief get "/v1/audit/erasures" [Admin, Read] erasures::list;
        Brief post "/v1/audit/holds" [Admin, Read] erasures::place;
        Brief get "/v1/audit/holds" [Admin, Read] erasures::holds;
        Brief post "/v1/audit/holds/{hold}/release" [Admin, Read] erasures::release;
        Long get "/v1/backup" [Admin] backup::backup;
        Brief get "/v1/backup/subject-keys" [Admin] backup::subject_keys;
        Brief get "/v1/budgets" [Read] budgets::list;
        Brief post "/v1/budgets" [Apply, Read] budgets::set;
        Brief get "/v1/switches" [Read] switches::list;
        Brief post "/v1/switches" [Apply, Read] switches::turn;
        Brief get "/v1/usage" [Read] usage::show;
        Brief post "/v1/runs/{run}/token" [Admin, Read] tokens::mint;
        Brief get "/.well-known/jwks.json" [] tokens::keys;
        Brief get "/.well-known/openid-configuration" [] tokens::provider;
        Brief get "/v1/login" [] login::show;
        Brief post "/v1/login/links" [Read] links::make;
        Brief get "/v1/approvers/requests" [Read] links::requests;
        Brief get "/v1/status" [] health::status;
        Brief get "/v1/openapi.json" [] health::openapi;
        Long get "/healthz" [] health::alive;
        Long get "/readyz" [] health::ready;
        Long get "/metrics" [Metrics] metrics::metrics;
    });
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_document_names_every_route_with_its_rights_and_no_other() {
        let routed: BTreeSet<_> = super::table().iter().map(|r| (r.method, r.path, r.needs)).collect();
        let told: BTreeSet<_> = stead_api::openapi::operations().iter().map(|o| (o.method, o.path, o.rights)).collect();
        assert_eq!(routed, told);
    }
}
