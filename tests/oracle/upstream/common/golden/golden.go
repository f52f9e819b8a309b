// Package golden compares the answers of one minor's oracle with the ones that were checked by hand.
package golden

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"muster.test/oracle/common"
)

// Check runs every file of `testdata/cases` as one stream, and compares it with the file of the same name in the minor's folder of
// `testdata/answers`.
func Check(t *testing.T, minor common.Minor, name string) {
	testdata := filepath.Join("..", "testdata")
	files, err := filepath.Glob(filepath.Join(testdata, "cases", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", testdata, err)
	}
	for _, file := range files {
		topic := filepath.Base(file)
		t.Run(strings.TrimSuffix(topic, ".jsonl"), func(t *testing.T) {
			cases := read(t, file)
			var got bytes.Buffer
			if err := common.Serve(minor, bytes.NewReader(cases), &got); err != nil {
				t.Fatal(err)
			}
			compare(t, got.Bytes(), read(t, filepath.Join(testdata, "answers", name, topic)))
		})
	}
}

func read(t *testing.T, path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compare(t *testing.T, got, want []byte) {
	gotLines, wantLines := lines(got), lines(want)
	if len(gotLines) != len(wantLines) {
		t.Fatalf("%d answers, expected %d", len(gotLines), len(wantLines))
	}
	for i := range wantLines {
		if !reflect.DeepEqual(parse(t, gotLines[i]), parse(t, wantLines[i])) {
			t.Errorf("answer %d is\n%s\nexpected\n%s", i+1, gotLines[i], wantLines[i])
		}
	}
}

func lines(text []byte) [][]byte {
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

// parse forgets how an error is worded, which is up to Go's own packages.
func parse(t *testing.T, line []byte) map[string]any {
	var parsed map[string]any
	if err := json.Unmarshal(line, &parsed); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if parsed["error"] != nil {
		parsed["error"] = "some error"
	}
	return parsed
}
