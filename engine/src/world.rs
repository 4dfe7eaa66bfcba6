//! [`EngineWorld`]: what actions may reach, over a running engine.

use crate::error::Error;
use crate::handle::Handle;
use crate::log::Log;
use crate::secret::SecretBox;
use std::sync::Arc;

/// What actions may reach.
#[derive(Clone, Debug, Default)]
pub struct WorldOptions {}

/// The world of actions.
pub struct EngineWorld {
    _handle: Handle,
}

impl EngineWorld {
    /// The world over an engine.
    pub fn new(handle: Handle, _: WorldOptions, _: Arc<SecretBox>, _: &Arc<dyn Log>) -> Result<Self, Error> {
        Ok(Self { _handle: handle })
    }

    /// The world as one action sees it.
    pub fn for_action(&self, _depth: u32) -> One { One }
}

/// x
pub struct One;
impl pavlov_actions::World for One {}
