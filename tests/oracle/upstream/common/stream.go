// Reads cases, has them evaluated side by side, and writes the answers in the order of the cases.

package common

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

// Serve answers every line of `in` on `out` until `in` ends.
func Serve(minor Minor, in io.Reader, out io.Writer) error {
	oracle, err := newOracle(minor)
	if err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	// The answers to come, in the order of the cases. Its length bounds how far reading runs ahead of writing.
	pending := make(chan chan []byte, 16*workers)
	jobs := make(chan job)
	for range workers {
		go func() {
			for job := range jobs {
				job.reply <- oracle.line(job.line)
			}
		}()
	}
	readErr := make(chan error, 1)
	go func() {
		readErr <- readLines(in, func(line []byte) {
			reply := make(chan []byte, 1)
			pending <- reply
			jobs <- job{line, reply}
		})
		close(jobs)
		close(pending)
	}()
	if err := writeInOrder(out, pending); err != nil {
		return err
	}
	return <-readErr
}

type job struct {
	line  []byte
	reply chan<- []byte
}

// readLines hands over every line that is not blank; lines may be of any length.
func readLines(in io.Reader, each func([]byte)) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			each(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// writeInOrder flushes whenever no further case waits, so that a caller who asks one case at a time gets its answer.
func writeInOrder(out io.Writer, pending <-chan chan []byte) error {
	writer := bufio.NewWriterSize(out, 1<<20)
	for reply := range pending {
		if _, err := writer.Write(<-reply); err != nil {
			return err
		}
		if len(pending) == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
	return writer.Flush()
}

// line answers one line of input with one line of output, whatever the line holds.
func (o *oracle) line(line []byte) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o.answer(line)); err != nil {
		buffer.Reset()
		_ = encoder.Encode(failed(nil, fmt.Errorf("encoding the answer: %w", err)))
	}
	return buffer.Bytes()
}

func (o *oracle) answer(line []byte) (result *answer) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		if asked.ID == nil {
			asked.ID = leadingID(line)
		}
		return failed(asked.ID, fmt.Errorf("reading the case: %w", err))
	}
	panicsBefore := o.panics.Load()
	defer func() {
		if caught := recover(); caught != nil {
			result = failed(asked.ID, fmt.Errorf("panic: %v\n%s", caught, debug.Stack()))
		}
		// Upstream's plugins also panic in goroutines of their own, whose results are then missing. Which of the cases in
		// flight it was cannot be told, so each of them says so.
		if o.panics.Load() != panicsBefore && result.Error == nil {
			result = failed(asked.ID, errors.New("a plugin panicked in a goroutine while this case was evaluated"))
		}
	}()
	evaluated, err := o.evaluate(&asked)
	if err != nil {
		return failed(asked.ID, err)
	}
	return evaluated
}

var idFirst = regexp.MustCompile(`^\{\s*"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)\s*[,}]`)

// leadingID finds the id of a line that is not JSON, if it comes first.
func leadingID(line []byte) json.RawMessage {
	if found := idFirst.FindSubmatch(line); found != nil && json.Valid(found[1]) {
		return found[1]
	}
	return nil
}

// silence keeps upstream's logging away from both streams, and its crash handler from ending the process.
func (o *oracle) silence() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	klog.SetLogger(logr.Discard())
	utilruntime.ReallyCrash = false
	utilruntime.PanicHandlers = append(utilruntime.PanicHandlers, o.countPanic)
}
