// One scheduling cycle for one pod with upstream's own plugins, cache and nominator, up to the scores: every node is looked at,
// every feasible node is scored, and nothing is bound.

package common

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/go-logr/logr"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type oracle struct {
	minor   Minor
	configs configs
	client  *fake.Clientset
	panics  atomic.Int64
}

func newOracle(minor Minor) (*oracle, error) {
	o := &oracle{minor: minor, client: fake.NewClientset()}
	o.silence()
	metrics.Register()
	return o, presentAs(minor.Version)
}

func (o *oracle) countPanic(context.Context, any) { o.panics.Add(1) }

func (o *oracle) evaluate(asked *question) (*answer, error) {
	w, err := readWorld(asked)
	if err != nil {
		return nil, err
	}
	profile, err := o.configs.profile(asked.Config, w.pod.Spec.SchedulerName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	defer cancel()
	scheduler, err := o.newScheduler(ctx, w, profile)
	if err != nil {
		return nil, err
	}
	defer scheduler.framework.Close()
	cycle := cycle{scheduler: scheduler, ctx: ctx, state: framework.NewCycleState(), pod: w.pod, answer: newAnswer(asked.ID)}
	return cycle.answer, cycle.run()
}

// cycle fills an answer, step by step.
type cycle struct {
	*scheduler
	ctx    context.Context
	state  *framework.CycleState
	pod    *v1.Pod
	answer *answer
}

func (c *cycle) run() error {
	for _, plugin := range c.framework.PreEnqueuePlugins() {
		if status := plugin.PreEnqueue(c.ctx, c.pod); !status.IsSuccess() {
			// Only the runners of the framework name the plugin in its status; this step has no runner there.
			status.SetPlugin(plugin.Name())
			c.answer.PreEnqueue = refusalFrom(status)
			return nil
		}
	}
	all, err := c.snapshot.NodeInfos().List()
	if err != nil || len(all) == 0 {
		// Upstream gives up before PreFilter when there are no nodes.
		return err
	}
	narrowed, status, narrowers := c.framework.RunPreFilterPlugins(c.ctx, c.state, c.pod)
	if !status.IsSuccess() {
		c.answer.PreFilter = refusalFrom(status)
		return nil
	}
	if !narrowed.AllNodes() {
		c.answer.PreFilterNodes = sets.List(narrowed.NodeNames)
	}
	return c.score(c.filter(all, narrowed, narrowers))
}

// filter judges every node and returns those that fit, in the order of their names.
func (c *cycle) filter(all []fwk.NodeInfo, narrowed *fwk.PreFilterResult, narrowers sets.Set[string]) []fwk.NodeInfo {
	// Upstream has one status for all nodes outside of the narrowed set; this is it, word for word.
	outside := fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(narrowers)))
	var feasible []fwk.NodeInfo
	for _, node := range all {
		name := node.Node().Name
		if !narrowed.AllNodes() && !narrowed.NodeNames.Has(name) {
			c.answer.Nodes[name] = nodeVerdict{refusal: refusalFrom(outside), Stage: "prefilter"}
			continue
		}
		status := c.framework.RunFilterPluginsWithNominatedPods(c.ctx, c.state, c.pod, node)
		c.answer.Nodes[name] = nodeVerdict{OK: status.IsSuccess(), refusal: refusalFrom(status)}
		if status.IsSuccess() {
			feasible = append(feasible, node)
		}
	}
	slices.SortFunc(feasible, func(a, b fwk.NodeInfo) int { return cmp.Compare(a.Node().Name, b.Node().Name) })
	return feasible
}

// score scores even a single feasible node, which upstream would take unscored.
func (c *cycle) score(feasible []fwk.NodeInfo) error {
	if len(feasible) == 0 {
		return nil
	}
	if status := c.framework.RunPreScorePlugins(c.ctx, c.state, c.pod, feasible); !status.IsSuccess() {
		c.answer.Scoring = refusalFrom(status)
		return nil
	}
	scored, status := c.framework.RunScorePlugins(c.ctx, c.state, c.pod, feasible)
	if !status.IsSuccess() {
		c.answer.Scoring = refusalFrom(status)
		return nil
	}
	for i, node := range feasible {
		score := nodeScore{Total: scored[i].TotalScore, Plugins: map[string]int64{}}
		for _, plugin := range scored[i].Scores {
			score.Plugins[plugin.Name] = plugin.Score
		}
		if !c.framework.HasScorePlugins() {
			// What upstream's prioritizeNodes gives when nothing is configured to score.
			score.Total = 1
		}
		var err error
		if score.Raw, err = c.raw(node); err != nil {
			return err
		}
		c.answer.Scores[node.Node().Name] = score
	}
	return nil
}

// raw asks the plugins that score this pod once more: the framework keeps only what normalising and weighting made of the scores.
func (c *cycle) raw(node fwk.NodeInfo) (map[string]int64, error) {
	raw := map[string]int64{}
	for _, entry := range c.framework.ListPlugins().Score.Enabled {
		if c.state.GetSkipScorePlugins().Has(entry.Name) {
			continue
		}
		value, status := c.plugins[entry.Name].(fwk.ScorePlugin).Score(c.ctx, c.state, c.pod, node)
		if !status.IsSuccess() {
			return nil, fmt.Errorf("raw score of %s: %w", entry.Name, status.AsError())
		}
		raw[entry.Name] = value
	}
	return raw, nil
}
