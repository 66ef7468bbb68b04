//! Request and response types of /v1 and its OpenAPI document; no implementation
