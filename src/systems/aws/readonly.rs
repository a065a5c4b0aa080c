//! Clients that can't change anything: an operation that is no read is refused before it is sent.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::calls::is_read;

/// Refuses what is no read.
#[derive(Debug)]
pub(super) struct ReadOnly;

impl Intercept for ReadOnly {
    fn name(&self) -> &'static str {
        "ReadOnly"
    }

    // Not earlier: before the operation's own plugins are applied nobody knows its name.
    fn read_before_serialization(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match cfg.load::<Metadata>() {
            Some(operation) if is_read(operation.name()) => Ok(()),
            Some(operation) => Err(format!("{} is no read, and here nothing may be changed", operation.name()).into()),
            None => Err("an operation without a name can't be told from a change".into()),
        }
    }
}
