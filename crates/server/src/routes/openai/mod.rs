//! `/openai/v1`: what clients of OpenAI's API ask, put to agents and runs. The words are in [`crate::openai`]; these handlers read a
//! request, do what the handlers of `/v1` do, and translate the answer. The face is no part of the API's document: its form is other
//! people's.

mod ask;
mod chat;
mod conversations;
mod follow;
mod messages;
mod models;
mod responses;
mod stream;

use axum::routing::{delete, get, post};
use stead_api::right::Right;

use super::{Pace, Route};

/// The face's routes.
pub(crate) fn table() -> Vec<Route> {
    macro_rules! routes {
        ($($pace:ident $method:ident $path:literal [$($right:ident),*] $handler:path;)*) => {
            vec![$(Route {
                method: stringify!($method),
                path: $path,
                pace: Pace::$pace,
                needs: &[$(Right::$right),*],
                handler: $method($handler),
            }),*]
        };
    }
    routes! {
        Brief get "/openai/v1/models" [Read] models::list;
        Brief get "/openai/v1/models/{model}" [Read] models::show;
        Long post "/openai/v1/chat/completions" [Run, Read] chat::complete;
        Long post "/openai/v1/responses" [Run, Read] responses::create;
        Long get "/openai/v1/responses/{response}" [Read] responses::retrieve;
        Brief delete "/openai/v1/responses/{response}" [Read] responses::delete;
        Brief post "/openai/v1/responses/{response}/cancel" [Run, Read] responses::cancel;
        Brief get "/openai/v1/responses/{response}/input_items" [Read] responses::input_items;
        Long post "/anthropic/v1/messages" [Run, Read] messages::create;
        Brief post "/openai/v1/conversations" [Run, Read] conversations::create;
        Brief get "/openai/v1/conversations/{conversation}" [Read] conversations::retrieve;
        Brief post "/openai/v1/conversations/{conversation}" [Read] conversations::update;
        Brief delete "/openai/v1/conversations/{conversation}" [Read] conversations::delete;
        Brief get "/openai/v1/conversations/{conversation}/items" [Read] conversations::items;
        Brief post "/openai/v1/conversations/{conversation}/items" [Read] conversations::add;
        Brief get "/openai/v1/conversations/{conversation}/items/{item}" [Read] conversations::item;
        Brief delete "/openai/v1/conversations/{conversation}/items/{item}" [Read] conversations::remove;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_door_of_the_face_needs_a_token() {
        for route in super::table() {
            assert!(crate::openai::shape::is_face(route.path) && !route.needs.is_empty(), "{}", route.path);
        }
    }
}
