// Informers that hold the objects of one case from the start: nothing is listed, watched or waited for, so that a case costs no
// goroutine and no round trip through a fake API server. Listers, indexers and event handlers work as after a sync.

package common

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/apps"
	"k8s.io/client-go/informers/core"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/informers/resource"
	"k8s.io/client-go/informers/storage"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// fixedFactory answers for the API groups that scheduler plugins look at during a cycle. The other groups come from the embedded
// factory, which is never started and so holds nothing.
type fixedFactory struct {
	informers.SharedInformerFactory
	client kubernetes.Interface

	mu      sync.Mutex
	objects map[reflect.Type][]runtime.Object
	made    map[reflect.Type]cache.SharedIndexInformer
}

// newFixedFactory refuses two objects of one kind and name, since an API server cannot hold both.
func newFixedFactory(client kubernetes.Interface, objects []runtime.Object) (*fixedFactory, error) {
	f := &fixedFactory{
		SharedInformerFactory: informers.NewSharedInformerFactory(client, 0),
		client:                client,
		objects:               map[reflect.Type][]runtime.Object{},
		made:                  map[reflect.Type]cache.SharedIndexInformer{},
	}
	type identity struct {
		kind reflect.Type
		key  string
	}
	seen := make(map[identity]bool, len(objects))
	for _, object := range objects {
		kind := reflect.TypeOf(object)
		key, err := cache.MetaNamespaceKeyFunc(object)
		if err != nil {
			return nil, err
		}
		if seen[identity{kind, key}] {
			return nil, fmt.Errorf("two objects of type %v are named %q", kind, key)
		}
		seen[identity{kind, key}] = true
		f.objects[kind] = append(f.objects[kind], object)
	}
	return f, nil
}

func (f *fixedFactory) Apps() apps.Interface         { return apps.New(f, "", nil) }
func (f *fixedFactory) Core() core.Interface         { return core.New(f, "", nil) }
func (f *fixedFactory) Resource() resource.Interface { return resource.New(f, "", nil) }
func (f *fixedFactory) Storage() storage.Interface   { return storage.New(f, "", nil) }

// InformerFor is where all typed accessors end.
func (f *fixedFactory) InformerFor(example runtime.Object, newInformer internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := reflect.TypeOf(example)
	if informer, ok := f.made[kind]; ok {
		return informer
	}
	informer := &fixedInformer{SharedIndexInformer: newInformer(f.client, 0), objects: f.objects[kind]}
	for _, object := range informer.objects {
		// Add fails only for objects without a key, which newFixedFactory has refused.
		_ = informer.GetIndexer().Add(object)
	}
	f.made[kind] = informer
	return informer
}

// fixedInformer is an informer that was never started, with a filled indexer.
type fixedInformer struct {
	cache.SharedIndexInformer
	objects []runtime.Object
}

func (i *fixedInformer) HasSynced() bool { return true }

func (i *fixedInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.replay(handler)
}

func (i *fixedInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.replay(handler)
}

func (i *fixedInformer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, _ cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.replay(handler)
}

// replay tells the handler about every object, as the initial list of a started informer would, before it returns.
func (i *fixedInformer) replay(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	registration, err := i.SharedIndexInformer.AddEventHandler(handler)
	if err != nil {
		return nil, err
	}
	for _, object := range i.objects {
		handler.OnAdd(object, true)
	}
	return registration, nil
}
