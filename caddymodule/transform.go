package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/itchyny/gojq"
)

// Bounds of one run of a transformation.
const (
	transformTime   = time.Second
	transformOutput = 16 << 20
)

// transform is a compiled jq program.
type transform struct{ code *gojq.Code }

func newTransform(program string) (*transform, error) {
	query, err := gojq.Parse(program)
	if err != nil {
		return nil, fmt.Errorf("jq program: %w", err)
	}
	// no environment, no input(), no modules: a program sees its payload and nothing else
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }))
	if err != nil {
		return nil, fmt.Errorf("jq program: %w", err)
	}
	return &transform{code: code}, nil
}

// run applies the program to a JSON payload. It must give exactly one value.
func (t *transform) run(ctx context.Context, payload []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var input any
	if err := dec.Decode(&input); err != nil {
		return nil, errors.New("payload is not JSON")
	}
	ctx, cancel := context.WithTimeout(ctx, transformTime)
	defer cancel()
	iter := t.code.RunWithContext(ctx, input)
	value, ok := iter.Next()
	if !ok {
		return nil, errors.New("program gave no value")
	}
	if err, failed := value.(error); failed {
		return nil, transformError(err)
	}
	if extra, more := iter.Next(); more {
		if err, failed := extra.(error); failed {
			return nil, transformError(err)
		}
		return nil, errors.New("program gave more than one value")
	}
	out, err := gojq.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the result: %w", err)
	}
	if len(out) > transformOutput {
		return nil, fmt.Errorf("result is larger than %d bytes", transformOutput)
	}
	return out, nil
}

// transformError says what kind of failure it was: jq's own messages quote the payload.
func transformError(err error) error {
	var halt *gojq.HaltError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("program ran longer than %s", transformTime)
	case errors.As(err, &halt):
		return errors.New("program halted")
	}
	return errors.New("program failed on this payload (error, or a value of an unexpected type)")
}
