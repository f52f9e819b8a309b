//! A question to the engine that has no answer, as callers over HTTP are told.

use http::StatusCode;
use muster_kube::NoAnswer;
use muster_telemetry::serving::{Answer, failure};

/// Says why, and whether to come again or to ask another replica.
pub(crate) fn unanswered(reason: NoAnswer) -> Answer {
    match reason {
        NoAnswer::Busy => come_again(&reason.to_string()),
        NoAnswer::NotLeading | NoAnswer::NotSynced | NoAnswer::NotRunning => {
            let why = reason.to_string();
            failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &why, None)
        }
    }
}

/// Others are served first.
pub(crate) fn come_again(why: &str) -> Answer {
    failure(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", why, None)
}
