// Makes the program call itself by upstream's release, as the real binary does through linker flags: NodeDeclaredFeatures asks the
// version which features a pod needs.

package common

import (
	"fmt"
	_ "unsafe" // For the linkname below.

	"k8s.io/component-base/version"
)

// Upstream lets the version be set at run time only to a variant of the one linked in, and nobody links one in here.
//
//go:linkname gitVersion k8s.io/component-base/version.gitVersion
var gitVersion string

func presentAs(release string) error {
	gitVersion = release
	if err := version.SetDynamicVersion(release); err != nil {
		return err
	}
	if is := version.Get().String(); is != release {
		return fmt.Errorf("this calls itself %s, not %s", is, release)
	}
	return nil
}
