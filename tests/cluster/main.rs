//! Muster against a real kube-apiserver and etcd, under the permissions that `deploy/` gives it.
//!
//! Run all of it with `cargo xtask test`, one test with `cargo test -p muster-tests --test cluster NAME`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod book;
mod broken;
mod cli;
mod coexistence;
mod dialects;
mod endpoints;
mod explain;
mod extenders;
mod gangs;
mod in_pod;
mod install;
mod kills;
mod leader;
mod metrics;
mod mixed;
mod permissions;
mod plain_pods;
mod prometheus;
mod proxy;
mod restarts;
mod scale;
mod snapshot;
mod standby;
mod top;
mod traces;
mod volumes;
