//! `/v1/login`: how people log in. It is open: who is not logged in yet must be able to ask.

use axum::{Json as Body, extract::State};
use stead_api::login::Login;

use crate::http::{
    app::Shared,
    failure::{Answer, Failure},
};

pub(super) async fn show(State(app): State<Shared>) -> Answer<Body<Login>> {
    let login = app.people.as_ref().and_then(|people| people.login());
    let none = || Failure::not_found("a login").hint("this server knows tokens only: set STEAD_TOKEN");
    login.map(Body).ok_or_else(none)
}
