//! The tool `command`: a program in a fresh box at each call, its words made of the model's arguments.

mod plan;
mod tool;

pub(crate) use plan::Plan;
