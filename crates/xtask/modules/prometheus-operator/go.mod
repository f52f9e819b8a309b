// The Prometheus operator's definitions of its kinds, a part of its module: tests install them (`src/prometheus_operator.rs`).
module muster.test/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.92.1
