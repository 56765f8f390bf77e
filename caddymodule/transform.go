package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"time"

	"github.com/itchyny/gojq"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of one run of a transformation.
const (
	transformTime   = time.Second // of the processor
	transformOutput = 16 << 20
	transformAtOnce = 4 // runs of one program; more of them wait
)

// transform is a compiled jq program.
type transform struct {
	code  *gojq.Code
	slots chan struct{}
}

func newTransform(program string) (*transform, error) {
	query, err := gojq.Parse(program)
	if err != nil {
		return nil, fmt.Errorf("jq program: %w", err)
	}
	if query, err = boundRepeats(query); err != nil {
		return nil, fmt.Errorf("jq program: %w", err)
	}
	if err := boundTexts(query); err != nil {
		return nil, fmt.Errorf("jq program: %w", err)
	}
	// no environment, no input(), no modules: a program sees its payload and nothing else
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }),
		gojq.WithFunction(boundedMultiply, 2, 2, multiply), gojq.WithFunction(boundedText, 0, 0, boundNumbers))
	if err != nil {
		return nil, fmt.Errorf("jq program: %w", err)
	}
	return &transform{code: code, slots: make(chan struct{}, transformAtOnce)}, nil
}

// run applies the program to a JSON payload. It must give exactly one value. An error is a verdict on the program and the payload, unless mayPass says otherwise.
func (t *transform) run(ctx context.Context, payload []byte) ([]byte, error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, errTransformWaited
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var input any
	if err := dec.Decode(&input); err != nil {
		return nil, errors.New("payload is not JSON")
	}
	if hasLongNumber(input) {
		return nil, errLongNumber
	}
	value, err := t.once(ctx, input)
	if errors.Is(err, errTransformMemory) || errors.Is(err, errTransformHeap) {
		value, err = t.once(ctx, input) // others may have taken the memory, or given some back with the program's
	}
	if err != nil {
		return nil, err
	}
	if jsonSize(value, transformOutput, verifiers.MaxJSONDepth) > transformOutput {
		return nil, fmt.Errorf("result is larger than %d bytes or nested deeper than %d levels", transformOutput, verifiers.MaxJSONDepth)
	}
	out, err := gojq.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the result: %w", err)
	}
	return out, nil
}

// Errors of a program that did not end as it should.
var (
	errNoValue         = errors.New("program gave no value")
	errSeveralValues   = errors.New("program gave more than one value")
	errTransformTime   = fmt.Errorf("program ran longer than %s", transformTime)
	errTransformMemory = fmt.Errorf("program took more than %d MiB of memory", transformMemory>>20)

	errTransformHeap   = fmt.Errorf("the gateway took more than %d MiB of memory while the program ran", transformMemory>>20)
	errTransformWaited = errors.New("other runs of the program took all the time")
	errTransformCut    = errors.New("the attempt's time was over before the program ended")
)

// mayPass reports whether a program failed because of what else went on, so that it may succeed at another time.
func mayPass(err error) bool {
	return errors.Is(err, errTransformHeap) || errors.Is(err, errTransformWaited) || errors.Is(err, errTransformCut)
}

// once runs the program within its bounds.
func (t *transform) once(ctx context.Context, input any) (any, error) {
	goruntime.LockOSThread()
	ctx, watch := watchRun(ctx)
	defer watch.cancel(nil)
	value, err := t.only(ctx, input)
	goruntime.UnlockOSThread() // before anything waits, which costs more on a locked thread
	own := watch.stop()
	if err == nil {
		return value, nil
	}
	if err = transformError(ctx, err); errors.Is(err, errTransformHeap) && own {
		return nil, errTransformMemory
	}
	return nil, err
}

// only runs the program and returns its one value.
func (t *transform) only(ctx context.Context, input any) (any, error) {
	iter := t.code.RunWithContext(ctx, input)
	value, ok := iter.Next()
	if !ok {
		return nil, errNoValue
	}
	if err, failed := value.(error); failed {
		return nil, err
	}
	if extra, more := iter.Next(); more {
		if err, failed := extra.(error); failed {
			return nil, err
		}
		return nil, errSeveralValues
	}
	return value, nil
}

// transformError says what kind of failure it was: jq's own messages quote the payload.
func transformError(ctx context.Context, err error) error {
	var halt *gojq.HaltError
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		if cause := context.Cause(ctx); errors.Is(cause, errTransformTime) || errors.Is(cause, errTransformHeap) {
			return cause
		}
		return errTransformCut
	case errors.Is(err, errRepeat):
		return errTransformMemory
	case errors.Is(err, errNoValue), errors.Is(err, errSeveralValues), errors.Is(err, errLongNumber):
		return err
	case errors.As(err, &halt):
		return errors.New("program halted")
	}
	return errors.New("program failed on this payload (error, or a value of an unexpected type)")
}
