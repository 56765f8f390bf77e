package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	goruntime "runtime"
	gometrics "runtime/metrics"
	"sync"
	"time"

	"github.com/itchyny/gojq"
)

const (
	transformMemory = 128 << 20 // by which one run may let the heap grow
	memoryInterval  = 5 * time.Millisecond
)

// limitMemory returns a context that ends with errTransformMemory when what is alive on the heap has grown by more than transformMemory since. The heap is
// everybody's, so it is a bound for programs that run wild and not an account of each; and a program ends between its steps, so one step can take more. stop ends the watch and waits for it.
func limitMemory(ctx context.Context) (limited context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	before := heapBytes()
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(memoryInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if heapBytes() > before+transformMemory {
				goruntime.GC() // most of it may be garbage
				if heapBytes() > before+transformMemory {
					cancel(errTransformMemory)
					return
				}
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
	}
}

// heapBytes is the memory of objects on the heap, those included that have not been swept yet.
func heapBytes() uint64 {
	sample := []gometrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64()
}

// boundedMultiply is the function that stands for jq's `*` in programs: the one operation that makes something huge of something small in a single step.
const boundedMultiply = "_sluice_multiply"

var errRepeat = errors.New("repeated string is too large")

// plainMultiply is jq's own `*`.
var plainMultiply = sync.OnceValues(func() (*gojq.Code, error) {
	query, err := gojq.Parse("$x * $y")
	if err != nil {
		return nil, err
	}
	return gojq.Compile(query, gojq.WithVariables([]string{"$x", "$y"}))
})

// multiply is jq's `*` with a bound for strings.
func multiply(_ any, args []any) any {
	x, y := args[0], args[1]
	text, isText := x.(string)
	times := y
	if !isText {
		if text, isText = y.(string); isText {
			times = x
		}
	}
	if isText && float64(len(text))*jqNumber(times) > transformOutput {
		return errRepeat
	}
	code, err := plainMultiply()
	if err != nil {
		return err
	}
	value, ok := code.Run(nil, x, y).Next()
	if !ok {
		return errNoValue
	}
	return value
}

// jqNumber is a jq number as a float; 0 for anything else.
func jqNumber(v any) float64 {
	switch n := v.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	case *big.Int:
		f, _ := new(big.Float).SetInt(n).Float64()
		return f
	case json.Number:
		f, err := n.Float64()
		if err != nil {
			return 0
		}
		return f
	}
	return 0
}

// boundRepeats makes a program call boundedMultiply wherever it multiplies.
func boundRepeats(query *gojq.Query) (*gojq.Query, error) {
	err := eachQuery(reflect.ValueOf(query), func(q *gojq.Query) error {
		var text string
		switch q.Op {
		case gojq.OpMul:
			text = fmt.Sprintf("%s(%s; %s)", boundedMultiply, q.Left, q.Right)
		case gojq.OpUpdateMul:
			text = fmt.Sprintf("(%s) as $_sluice_by | (%s) |= %s(.; $_sluice_by)", q.Right, q.Left, boundedMultiply)
		default:
			return nil
		}
		bounded, err := gojq.Parse(text)
		if err != nil {
			return err
		}
		bounded.Meta, bounded.Imports, bounded.FuncDefs = q.Meta, q.Imports, q.FuncDefs
		*q = *bounded
		return nil
	})
	return query, err
}

// eachQuery calls fn for each query within a program's syntax tree, inner ones first.
func eachQuery(v reflect.Value, fn func(*gojq.Query) error) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if err := eachQuery(v.Elem(), fn); err != nil {
			return err
		}
		if q, ok := v.Interface().(*gojq.Query); ok {
			return fn(q)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := eachQuery(v.Field(i), fn); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := eachQuery(v.Index(i), fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonSize is about how many bytes a value takes as JSON, at least; counting stops beyond the limit. A value that has more levels than it may is beyond any.
func jsonSize(v any, limit, levels int) int {
	size := 0
	if levels < 0 {
		return limit + 1
	}
	switch v := v.(type) {
	case string:
		size = len(v) + 2
	case []any:
		for i := 0; i < len(v) && size <= limit; i++ {
			size += jsonSize(v[i], limit-size, levels-1) + 1
		}
	case map[string]any:
		for key, value := range v {
			if size > limit {
				break
			}
			size += len(key) + 3 + jsonSize(value, limit-size, levels-1)
		}
	default:
		size = 1
	}
	return size
}
