//! Work that ends: jobs, and cron jobs that make them.

pub mod cron_job;
pub mod failure_policy;
pub mod job;
pub mod job_update;
pub(crate) mod schedule;
