//! The routes, one file a subject.

pub mod automation_filter;
pub mod automations;
pub mod block_documents;
pub mod block_schemas;
pub mod block_types;
pub mod blocks;
pub mod cloud_events;
pub mod event_pages;
pub mod events;
pub mod firings;
pub mod letters;
pub mod meta;
pub mod metrics;
pub mod notify_test;
pub mod openapi;
pub mod page;
pub mod status;
pub mod templates;
