// Reads the Kubernetes objects of a case as they are: no defaults of the API server, but no unknown fields either.

package common

import (
	"encoding/json"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

var decoder = jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, scheme.Scheme, scheme.Scheme,
	jsonserializer.SerializerOptions{Strict: true})

// world is what the informers of a scheduler would hold.
type world struct {
	pod *v1.Pod
	// Every object, pods that are finished excepted, and with the pod of the case.
	objects []runtime.Object
	nodes   []*v1.Node
	// Pods on nodes, and pods that wait with a node nominated for them.
	running, nominated []*v1.Pod
}

func readWorld(asked *question) (*world, error) {
	w := &world{}
	for i, raw := range asked.Objects {
		object, _, err := decoder.Decode(raw, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("objects[%d]: %w", i, err)
		}
		w.add(object)
	}
	if isAbsent(asked.Pod) {
		return nil, errors.New("pod: missing")
	}
	w.pod = &v1.Pod{}
	kind := v1.SchemeGroupVersion.WithKind("Pod")
	object, _, err := decoder.Decode(asked.Pod, &kind, w.pod)
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	if object != runtime.Object(w.pod) {
		return nil, fmt.Errorf("pod: a %T", object)
	}
	identify(w.pod)
	w.objects = append(w.objects, w.pod)
	return w, nil
}

func (w *world) add(object runtime.Object) {
	switch object := object.(type) {
	case *v1.Node:
		w.nodes = append(w.nodes, object)
	case *v1.Pod:
		// The scheduler's pod informer leaves finished pods out by a field selector.
		if object.Status.Phase == v1.PodSucceeded || object.Status.Phase == v1.PodFailed {
			return
		}
		identify(object)
		if object.Spec.NodeName != "" {
			w.running = append(w.running, object)
		} else if object.Status.NominatedNodeName != "" {
			w.nominated = append(w.nominated, object)
		}
	}
	w.objects = append(w.objects, object)
}

// identify gives a pod without a UID one made of its name: upstream's cache and nominator tell pods apart by it alone.
func identify(pod *v1.Pod) {
	if pod.UID == "" {
		pod.UID = types.UID("pod:" + pod.Namespace + "/" + pod.Name)
	}
}

// isAbsent tells whether an optional field of a case was left out.
func isAbsent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}
