// The parts of a scheduler that evaluating one case takes, put together as upstream puts them together at its start.

package common

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	resourceslicetracker "k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkplugins "k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"
)

// Minor is what differs between the releases in upstream's Go interfaces.
type Minor struct {
	// Version is the release, such as "v1.35.4".
	Version string
	// NewCache makes upstream's scheduler cache.
	NewCache func(context.Context) internalcache.Cache
	// Options are further options of the framework, for this cache and snapshot.
	Options func(internalcache.Cache, *internalcache.Snapshot) []frameworkruntime.Option
	// Enqueue adds a pending pod to the queue.
	Enqueue func(context.Context, internalqueue.SchedulingQueue, *v1.Pod)
	// WatchTaintRules adds the informers for DeviceTaintRules; nil where the release has them off.
	WatchTaintRules func(informers.SharedInformerFactory, *resourceslicetracker.Options)
}

type scheduler struct {
	framework framework.Framework
	snapshot  *internalcache.Snapshot
	// plugins holds the instances that the framework made, by name, without the framework's wrappers.
	plugins map[string]fwk.Plugin
}

func (o *oracle) newScheduler(ctx context.Context, w *world, profile *config.KubeSchedulerProfile) (*scheduler, error) {
	factory, err := newFixedFactory(o.client, w.objects)
	if err != nil {
		return nil, err
	}
	schedulerCache, snapshot, err := o.fillCache(ctx, w)
	if err != nil {
		return nil, err
	}
	draManager, err := o.newDRAManager(ctx, factory)
	if err != nil {
		return nil, err
	}
	s := &scheduler{snapshot: snapshot, plugins: map[string]fwk.Plugin{}}
	options := []frameworkruntime.Option{
		frameworkruntime.WithClientSet(o.client),
		frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSharedDRAManager(draManager),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()),
		// Cases run side by side already.
		frameworkruntime.WithParallelism(1),
	}
	options = append(options, o.minor.Options(schedulerCache, snapshot)...)
	s.framework, err = frameworkruntime.NewFramework(ctx, s.recordingRegistry(), profile, options...)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	o.nominate(ctx, w, s.framework, factory)
	return s, nil
}

// recordingRegistry has upstream's plugins, and remembers each one that is made.
func (s *scheduler) recordingRegistry() frameworkruntime.Registry {
	registry := frameworkplugins.NewInTreeRegistry()
	for name, make := range registry {
		registry[name] = func(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
			plugin, err := make(ctx, args, handle)
			if err == nil {
				s.plugins[plugin.Name()] = plugin
			}
			return plugin, err
		}
	}
	return registry
}

// fillCache goes through the live cache, not through the snapshot that upstream's tests build by hand: the two differ for images,
// nodes that are gone, and volume claims in use.
func (o *oracle) fillCache(ctx context.Context, w *world) (internalcache.Cache, *internalcache.Snapshot, error) {
	logger := klog.FromContext(ctx)
	schedulerCache := o.minor.NewCache(ctx)
	for _, node := range w.nodes {
		schedulerCache.AddNode(logger, node)
	}
	for _, pod := range w.running {
		if err := schedulerCache.AddPod(logger, pod); err != nil {
			return nil, nil, fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	snapshot := internalcache.NewEmptySnapshot()
	return schedulerCache, snapshot, schedulerCache.UpdateSnapshot(logger, snapshot)
}

func (o *oracle) newDRAManager(ctx context.Context, factory informers.SharedInformerFactory) (fwk.SharedDRAManager, error) {
	// Without a client the tracker records no events, for which it would start goroutines.
	options := resourceslicetracker.Options{
		EnableConsumableCapacity: utilfeature.DefaultFeatureGate.Enabled(features.DRAConsumableCapacity),
		SliceInformer:            factory.Resource().V1().ResourceSlices(),
	}
	if o.minor.WatchTaintRules != nil {
		options.EnableDeviceTaintRules = true
		o.minor.WatchTaintRules(factory, &options)
	}
	tracker, err := resourceslicetracker.StartTracker(ctx, options)
	if err != nil {
		return nil, err
	}
	claims := assumecache.NewAssumeCache(klog.FromContext(ctx), factory.Resource().V1().ResourceClaims().Informer(), "ResourceClaim", "", nil)
	manager := dynamicresources.NewDRAManager(ctx, claims, tracker, factory)
	if utilfeature.DefaultFeatureGate.Enabled(features.DRAExtendedResource) {
		classes, ok := manager.DeviceClassResolver().(cache.ResourceEventHandler)
		if !ok {
			return nil, fmt.Errorf("the device class resolver is a %T", manager.DeviceClassResolver())
		}
		if _, err := factory.Resource().V1().DeviceClasses().Informer().AddEventHandler(classes); err != nil {
			return nil, err
		}
	}
	return manager, nil
}

// nominate puts the pods with a nominated node through upstream's queue, which decides what counts: releases up to 1.36 do not
// nominate a pod that PreEnqueue holds back.
func (o *oracle) nominate(ctx context.Context, w *world, framework framework.Framework, factory informers.SharedInformerFactory) {
	plugins := map[string]fwk.PreEnqueuePlugin{}
	for _, plugin := range framework.PreEnqueuePlugins() {
		plugins[plugin.Name()] = plugin
	}
	// As the profile stands in for any scheduler name, so do its plugins.
	byScheduler := map[string]map[string]fwk.PreEnqueuePlugin{}
	for _, pod := range w.nominated {
		byScheduler[pod.Spec.SchedulerName] = plugins
	}
	queue := internalqueue.NewSchedulingQueue(framework.QueueSortFunc(), factory, internalqueue.WithPreEnqueuePluginMap(byScheduler))
	for _, pod := range w.nominated {
		o.minor.Enqueue(ctx, queue, pod)
	}
	framework.SetPodNominator(queue)
	framework.SetPodActivator(queue)
}
