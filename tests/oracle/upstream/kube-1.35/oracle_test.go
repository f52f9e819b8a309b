// Holds this minor's oracle to the answers in ../testdata.
package main

import (
	"testing"

	"muster.test/oracle/common/golden"
)

func TestGolden(t *testing.T) {
	golden.Check(t, minor, "kube-1.35")
}
