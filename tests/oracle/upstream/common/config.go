// Reads a KubeSchedulerConfiguration as kube-scheduler itself does: strictly, with its defaults, and validated.

package common

import (
	"fmt"
	"sync"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
)

const defaultConfig = `{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration"}`

// configs keeps what was read, by its text: thousands of cases share a few configurations.
type configs struct {
	byText sync.Map
}

type readConfig struct {
	profiles []config.KubeSchedulerProfile
	err      error
}

// profile is the one that the pod asks for, or the first. The caller owns it.
func (c *configs) profile(text []byte, schedulerName string) (*config.KubeSchedulerProfile, error) {
	if isAbsent(text) {
		text = []byte(defaultConfig)
	}
	known, ok := c.byText.Load(string(text))
	if !ok {
		profiles, err := readProfiles(text)
		known, _ = c.byText.LoadOrStore(string(text), readConfig{profiles, err})
	}
	read := known.(readConfig)
	if read.err != nil {
		return nil, fmt.Errorf("config: %w", read.err)
	}
	for i := range read.profiles {
		if read.profiles[i].SchedulerName == schedulerName {
			return read.profiles[i].DeepCopy(), nil
		}
	}
	return read.profiles[0].DeepCopy(), nil
}

func readProfiles(text []byte) ([]config.KubeSchedulerProfile, error) {
	object, kind, err := scheme.Codecs.UniversalDecoder().Decode(text, nil, nil)
	if err != nil {
		return nil, err
	}
	read, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("a %v", kind)
	}
	// Validation refuses what a release has dropped by the version it was written for.
	read.APIVersion = kind.GroupVersion().String()
	if err := validation.ValidateKubeSchedulerConfiguration(read); err != nil {
		return nil, err
	}
	return read.Profiles, nil
}
