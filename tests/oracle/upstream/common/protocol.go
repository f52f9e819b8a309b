// The lines that come in and go out: one case, one answer.

package common

import (
	"encoding/json"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
)

// question is one line of input.
type question struct {
	ID      json.RawMessage   `json:"id"`
	Objects []json.RawMessage `json:"objects"`
	Pod     json.RawMessage   `json:"pod"`
	Config  json.RawMessage   `json:"config"`
}

// answer is one line of output. A field that does not apply is null or empty, never absent.
type answer struct {
	ID             json.RawMessage        `json:"id"`
	PreEnqueue     *refusal               `json:"preenqueue"`
	PreFilter      *refusal               `json:"prefilter"`
	PreFilterNodes []string               `json:"prefilterNodes"`
	Nodes          map[string]nodeVerdict `json:"nodes"`
	Scoring        *refusal               `json:"scoring"`
	Scores         map[string]nodeScore   `json:"scores"`
	Error          *string                `json:"error"`
}

// refusal is a status of upstream's that is not a success.
type refusal struct {
	Code    string   `json:"code"`
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
}

// nodeVerdict says whether the pod fits the node; if not, it carries the refusal and, for nodes that no filter saw, the stage.
type nodeVerdict struct {
	OK bool `json:"ok"`
	*refusal
	Stage string `json:"stage,omitempty"`
}

type nodeScore struct {
	Total   int64            `json:"total"`
	Plugins map[string]int64 `json:"plugins"`
	Raw     map[string]int64 `json:"raw"`
}

func newAnswer(id json.RawMessage) *answer {
	if id == nil {
		id = json.RawMessage("null")
	}
	return &answer{ID: id, Nodes: map[string]nodeVerdict{}, Scores: map[string]nodeScore{}}
}

func failed(id json.RawMessage, err error) *answer {
	a := newAnswer(id)
	text := err.Error()
	a.Error = &text
	return a
}

// refusalFrom is nil for a success. The reasons are sorted, since upstream gathers some of them from maps.
func refusalFrom(status *fwk.Status) *refusal {
	if status.IsSuccess() {
		return nil
	}
	reasons := slices.Clone(status.Reasons())
	slices.Sort(reasons)
	if reasons == nil {
		reasons = []string{}
	}
	return &refusal{Code: status.Code().String(), Plugin: status.Plugin(), Reasons: reasons}
}
