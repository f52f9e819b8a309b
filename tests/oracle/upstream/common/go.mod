// What the oracles of all Kubernetes minors share. It names no versions: it is built as a part of `../kube-*`, whose go.mod says
// which release of `k8s.io/kubernetes` and of its staging modules the imports mean.
module muster.test/oracle/common

go 1.25.0
