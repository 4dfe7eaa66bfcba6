//! What an automation does: the closed list of actions, their templates, and how each is performed.
//!
//! Read [`action`] first (the closed list), then one file of [`kind`] (a kind's shape and its deed), then
//! [`template`] (what users write inside actions). Nothing here evaluates a trigger or keeps state.

pub mod action;
pub mod attempt;
pub mod automation;
mod block;
mod datetime;
mod filters;
mod guards;
mod humanize;
pub mod hydrate;
pub mod kind;
mod labels;
pub mod limits;
mod notice;
pub mod options;
pub mod outcome_event;
pub mod perform;
mod program;
mod python;
mod rewrite;
pub mod scope;
mod shape;
pub mod template;
mod template_check;
mod text_filters;
pub mod triggered_action;
pub mod world;

pub use action::{Action, Kind};
pub use attempt::{Attempt, Reason, Verdict};
pub use automation::Automation;
pub use options::{OnUnknown, Options};
pub use perform::act;
pub use scope::Scope;
pub use triggered_action::TriggeredAction;
pub use world::World;
