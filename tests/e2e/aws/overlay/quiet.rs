//! Reads that the emulator of RDS does not know, and that AWS answers with an empty list where there is nothing: API
//! reference, DescribePendingMaintenanceActions, DescribeDBClusterParameters.

use crate::aws::proxy::{Asked, Reply};

/// An empty answer to such a read.
pub fn reply(asked: &Asked) -> Option<Reply> {
    let list = match (asked.service.as_str(), asked.action.as_str()) {
        ("rds", "DescribePendingMaintenanceActions") => "PendingMaintenanceActions",
        ("rds", "DescribeDBClusterParameters") => "Parameters",
        _ => return None,
    };
    let action = &asked.action;
    let body = format!(
        "<{action}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><{action}Result><{list}></{list}>\
         </{action}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{action}Response>"
    );
    Some(Reply::new(200, "text/xml", body))
}
