//! One generic API server for every kind.
//!
//! A request passes [`listener`](self) -> chain -> registry -> store and back; the folders stand in that
//! order. A kind is a [`Resource`]: data, and a [`Strategy`] where it needs one. This crate never names a
//! built-in kind.

pub mod admission;
pub mod audit;
pub mod backend;
pub mod catalog;
pub mod chain;
pub mod discovery;
mod dispatch;
pub mod encode;
pub mod flow_control;
pub mod health;
pub mod http_io;
pub mod listener;
pub mod mirror;
pub mod openapi;
pub mod pages;
pub mod registry;
pub mod request_info;
pub mod resource;
pub mod server;
pub mod strategy;
pub mod subresource;
mod swagger_ui;
pub mod table;
mod tcp;
mod throttle;
pub mod user;
pub mod yaml;

pub use resource::{Conversion, Resource, SelectableField, Verb, Verbs};
pub use strategy::{Context, Lookup, Strategy};
pub use subresource::{Behaviour, Subresource};
pub use table::{Column, TableConvertor};
pub use user::User;
