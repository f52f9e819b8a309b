//! Every default of the configuration, in one place. `config/muster.yaml` shows the same to users; a test compares.

use std::time::Duration;

/// The name that Muster answers to. Upstream: `default-scheduler`.
pub(crate) const SCHEDULER_NAME: &str = "muster";

/// The name of the lease. Upstream: `kube-scheduler`.
pub(crate) const LEASE_NAME: &str = "muster";

/// The first wait after a failed attempt, as upstream.
pub(crate) const POD_INITIAL_BACKOFF: Duration = Duration::from_secs(1);

/// The longest wait after a failed attempt, as upstream.
pub(crate) const POD_MAX_BACKOFF: Duration = Duration::from_secs(10);

/// How long a pod lies in the unschedulable section without any event, as upstream.
pub(crate) const POD_MAX_IN_UNSCHEDULABLE: Duration = Duration::from_secs(300);

/// The seed of tie-breaks.
pub(crate) const SEED: u64 = 0;

/// The most bindings on their way at once. One API server near by stops getting faster at 32, one that is far away later.
pub(crate) const BINDS_IN_FLIGHT: usize = 64;

/// Writes of conditions and events on their way at once: fewer than bindings, so that explaining never delays binding.
pub(crate) const STATUS_WRITES_IN_FLIGHT: usize = 16;

/// Where a collector on the same host takes OTLP over HTTP, by OpenTelemetry's own default. Upstream speaks gRPC, at port 4317.
pub(crate) const TRACING_ENDPOINT: &str = "http://localhost:4318/v1/traces";
