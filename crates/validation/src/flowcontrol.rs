//! Flow control of requests: schemas that sort them, and levels of priority that share what can be served.

pub mod flow_schema;
pub mod priority_level;
