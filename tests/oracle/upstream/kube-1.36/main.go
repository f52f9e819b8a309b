// Upstream's verdicts and scores of Kubernetes 1.36.3: cases on stdin, answers on stdout, a line of JSON each. See ../README.md.
package main

import (
	"context"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/features"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"muster.test/oracle/common"
)

var minor = common.Minor{
	Version: "v1.36.3",
	NewCache: func(ctx context.Context) internalcache.Cache {
		return internalcache.New(ctx, nil, utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload))
	},
	Options: func(schedulerCache internalcache.Cache, _ *internalcache.Snapshot) []frameworkruntime.Option {
		return []frameworkruntime.Option{
			frameworkruntime.WithPodGroupManager(schedulerCache),
			frameworkruntime.WithPodsInPreBind(frameworkruntime.NewPodsInPreBindMap()),
		}
	},
	Enqueue: func(ctx context.Context, queue internalqueue.SchedulingQueue, pod *v1.Pod) {
		queue.Add(ctx, pod)
	},
}

func main() {
	if err := common.Serve(minor, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
