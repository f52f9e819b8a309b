// Upstream's verdicts and scores of Kubernetes 1.35.4: cases on stdin, answers on stdout, a line of JSON each. See ../README.md.
package main

import (
	"context"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"muster.test/oracle/common"
)

var minor = common.Minor{
	Version: "v1.35.4",
	NewCache: func(ctx context.Context) internalcache.Cache {
		return internalcache.New(ctx, 0, nil)
	},
	Options: func(internalcache.Cache, *internalcache.Snapshot) []frameworkruntime.Option { return nil },
	Enqueue: func(ctx context.Context, queue internalqueue.SchedulingQueue, pod *v1.Pod) {
		queue.Add(klog.FromContext(ctx), pod)
	},
}

func main() {
	if err := common.Serve(minor, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
